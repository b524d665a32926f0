"""Memory of activations: the most that is alive at once."""

from __future__ import annotations

from archforge.ir import TypedGraph
from archforge.lifetimes import lifetimes, sizes_alive

__all__ = ["BYTES_PER_ELEMENT", "activation_peak", "activations_alive"]

BYTES_PER_ELEMENT = 4  # float32


def activation_peak(typed: TypedGraph) -> int:
    """Elements of one image that are alive at once, at the worst node, as `activations_alive` has them."""
    return max(activations_alive(typed), default=sum(t.size for t in typed.inputs.values()))


def activations_alive(typed: TypedGraph) -> list[int]:
    """Elements of one image that are alive at each node.

    Alive at a node are its output, its inputs, and every value that a later node or an output reads.
    Every op writes a new array: nothing is computed in place or fused. Nodes run in the graph's order.
    """
    nodes = ((node.name, node.inputs) for node in typed.nodes)
    lives = lifetimes(nodes, typed.inputs, typed.outputs.values())
    sizes = {name: type_.size for name, type_ in typed.types.items()}
    return sizes_alive(lives, sizes, len(typed.nodes))
