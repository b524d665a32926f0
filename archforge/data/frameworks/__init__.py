"""Weights in the files of other frameworks: one module a format, each a function from a file to arrays by
name.

`archforge.data.arrays` has the table of them. Nothing that a file holds is executed.
"""

__all__ = ["COUNTER"]

# The end of the name of what torch counts for a batch norm, and no output depends on.
COUNTER = ".num_batches_tracked"
