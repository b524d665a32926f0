"""What Numba compiles: one function for each kind of step, which does one unit of it.

Imported only when something must be compiled. Units of a step are independent, so that these functions
know nothing of threads; they allocate nothing and raise nothing.
"""
