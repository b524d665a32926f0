"""A spec from YAML text to a typed graph, and back to text.

In the order in which a spec passes through them:

- `yaml`: text to a tree of plain values, each with its place.
- `formulas`: `=4*width` compiled once and evaluated within bounds.
- `syntax`: the tree as a document of arguments, blocks and steps.
- `resolve`: a spec found by name, and merged with what it extends and imports.
- `binding`: names with their values, and the arguments of a call checked against their declarations.
- `expand`: the steps walked, shapes inferred, nodes named.
- `printing`: a document or a graph as the text of a spec.
- `schema`: the same language as JSON Schema, for editors.
"""
