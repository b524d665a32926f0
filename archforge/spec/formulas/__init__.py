"""Formulas: compiled from text, evaluated within bounds."""
