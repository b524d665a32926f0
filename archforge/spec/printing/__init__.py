"""Specs as text, in one layout.

`scalars` writes single values, `layout` lays out lists and mappings of them. `document` prints a document
that was read, comments kept; `graph` prints a typed graph as a flat spec, with `graph_names` for the names
of its steps and `graph_steps` for the steps. Whatever is printed is read again before it is given away: it
must say the same.
"""
