"""JSON Schema of specs, for editors.

`schema` is the whole; `fixed_parts` are the same for every spec, `values` describe attributes and
arguments.
"""
