"""Weights in the files of other frameworks: one module a format, each a function from a file to arrays by
name.

`archforge.data.arrays` has the table of them. Nothing that a file holds is executed.
"""
