"""Distributions of fresh parameters, one file each."""
