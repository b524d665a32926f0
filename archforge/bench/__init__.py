"""Inference measured beside other libraries: each contestant in a process of its own, all taking turns.

`archforge bench` and `benchmarks/inference.py` both measure with this package.
"""
