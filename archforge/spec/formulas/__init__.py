"""Formulas: compiled from text, evaluated within bounds.

`formula` has the values, `functions` what they compute with, `compiler` makes the one from text by the
other; `failures` are the exceptions that end an evaluation.
"""
