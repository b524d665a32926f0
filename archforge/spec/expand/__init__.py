"""Expansion of a spec to a typed graph: steps walked, shapes inferred, nodes named.

`expand` is the whole; `walk` takes the steps, with `for_rows` for the rows of loops; `naming` names what it
found, and `assemble` freezes it.
"""
