"""A product or a sum with constants along an axis, of which no layer is a part, is one with a free
parameter."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class
from archforge.ops.parameter import FreeParameter

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    name = f"{node.name}.constants"
    if not isinstance(node.op, AddAlong | MultiplyAlong) or name in sight.draft.graph.types:
        return None
    constants = sight.params(node)[""]
    rank = len(sight.type(node.name).shape)
    shape = tuple(constants.size if axis == node.op.axis else 1 for axis in range(rank))
    stored = Node(name, FreeParameter(shape=shape, batch_axis=False), node.inputs, 0, None, name)
    merge = op_class("add" if isinstance(node.op, AddAlong) else "multiply")()
    arrays = {name: constants.reshape(shape)}
    return Replacement(merge, (*node.inputs, name), before=(stored,), arrays=arrays)


def _examples() -> Iterator[ForeignGraph]:
    for op in (AddAlong, MultiplyAlong):
        for axis in (1, 2):
            yield draft(step("merged", op(axis=axis), "x"))
    yield draft(step("sum", AddAlong(axis=0), "x"))


# After layers, norms and scales of channels, which such constants are mostly a part of.
RULE = Rule("along_axis", 9, _apply, _examples)
