"""A graph as a spec that a person would write: blocks with arguments, formulas, loops.

`tree` finds the steps, lists and branches of a graph, `blocks` what occurs several times, with `variants` for
what is nearly the same, `formulas` what attributes have in common, `loops` what is repeated. `names` and
`writing` make the text, and `proof` reads it again: no text leaves that does not say the same graph, node by
node. `folding` runs them. All of it works on the graph alone, wherever it came from.
"""

from archforge.interchange.decompile.folding import Folded, fold

__all__ = ["Folded", "fold"]
