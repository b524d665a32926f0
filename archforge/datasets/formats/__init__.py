"""Formats of data, one file each."""
