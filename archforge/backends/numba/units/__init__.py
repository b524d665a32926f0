"""Units of work, Python functions that Numba compiles: one for each kind of step, which does a part of it.

They are imported only when something must be compiled. Units of a step are independent, so that these
functions know nothing of threads; they allocate nothing and raise nothing. Each takes the address of its
record, its number, and the address of scratch memory. Read `intrinsics.py` for what they are made of, then
`elementwise.py`, the simplest, `direct_conv.py`, and `scheduler.py`, the loop that calls them all.
"""
