"""Epilogue fusion: a sum with another value and an activation are computed while a kernel writes its result.

Fusion is a part of planning and no pass, so that no op exists which a spec could not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archforge.ir import Node, TypedGraph
from archforge.plan.contract import Chain, Kernel

__all__ = ["fused"]


def fused(
    nodes: Sequence[Node], typed: TypedGraph, kernels: Mapping[str, Kernel | None], wanted: Iterable[str]
) -> list[Chain]:
    """The nodes as chains, each at the place of its last node, where all that it reads is there.

    What a caller wants to see, or a second node reads, ends its chain.
    """
    uses: dict[str, int] = dict.fromkeys(wanted, 2)
    for node in nodes:
        for value in node.inputs:
            uses[value] = uses.get(value, 0) + 1
    place = {node.name: i for i, node in enumerate(nodes)}
    chains: dict[str, Chain] = {}  # by the value that each leaves
    for node in nodes:
        chain = Chain(node)
        # The latest producer first: an earlier one would have to wait, and keep its inputs alive.
        for value in sorted(node.inputs, key=lambda v: -place.get(v, -1)):
            before = chains.get(value)
            longer = before.followed_by(node) if before and uses[value] == 1 else None
            if longer and _can_absorb(kernels[longer.node.name], node, typed):
                chain = longer
                del chains[value]
                break
        chains[node.name] = chain
    return list(chains.values())


def _can_absorb(kernel: Kernel | None, node: Node, typed: TypedGraph) -> bool:
    """True if the kernel has the node's op for its epilogue, on values of one type and without parameters."""
    types = {typed.types[v] for v in (node.name, *node.inputs)}
    return (
        kernel is not None
        and node.op.kind in kernel.absorbs
        and len(types) == 1
        and not node.op.params(*typed.input_types(node))
    )
