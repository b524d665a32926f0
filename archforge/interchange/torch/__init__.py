"""PyTorch: `ops` is the table of our ops as its functions, `network` makes a module of a graph.

torch is imported when a module is made.
"""
