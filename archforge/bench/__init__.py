"""Measuring inference beside other libraries: each contestant in a process of its own, all in turn.

`archforge bench` and `benchmarks/inference.py` both measure with what is here.
"""
