"""The difference of two networks: which layers and blocks belong together, what changed, and its effect.

`graph_parts` makes a tree of a graph, `alignment` finds the parts of two that belong together, `changes` says
what differs in them, `grouped` joins what is alike.
"""
