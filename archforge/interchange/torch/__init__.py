"""PyTorch: `ops` is the table of our ops as its functions, `network` makes a module of a graph,
`modules` tells what a module holds and computes.

torch is imported by the functions that need it.
"""
