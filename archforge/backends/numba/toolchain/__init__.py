"""Recipes to machine code: compiled for this machine, kept in a cache, linked and called."""
