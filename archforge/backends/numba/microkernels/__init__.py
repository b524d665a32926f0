"""Microkernels: loops written as explicit vectors in LLVM IR, made for exactly the sizes that a call needs.

Read `vectors.py`, the language that they are written in, then `product_tiles.py`, which has the picture of a
tile; `record_reader.py` is how they read a record and write results, `window_tiles.py` and
`winograd_transforms.py` are the others.
"""
