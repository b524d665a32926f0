"""Memory of activations: the most that is alive at once."""

from __future__ import annotations

from archforge.ir import TypedGraph

__all__ = ["BYTES_PER_ELEMENT", "activation_peak"]

BYTES_PER_ELEMENT = 4  # float32


def activation_peak(typed: TypedGraph) -> int:
    """Elements of one image that are alive at once, at the worst node.

    Alive at a node are its output, its inputs, and every value that a later node or an output reads.
    Every op writes a new array: nothing is computed in place or fused. Nodes run in the graph's order.
    """
    last_use: dict[str, int] = {}
    for place, node in enumerate(typed.nodes):
        last_use.update(dict.fromkeys(node.inputs, place))
    for value in typed.outputs.values():
        last_use[value] = len(typed.nodes)
    alive = peak = sum(t.size for t in typed.inputs.values())
    for place, node in enumerate(typed.nodes):
        alive += typed.types[node.name].size
        peak = max(peak, alive)
        if node.name not in last_use:
            alive -= typed.types[node.name].size
        alive -= sum(typed.types[v].size for v in set(node.inputs) if last_use[v] == place)
    return peak
