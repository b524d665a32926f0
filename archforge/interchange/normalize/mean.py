"""A mean or a maximum along axes is a global pool over a map of them, one channel for each index of the
others."""

from __future__ import annotations

import math
from collections.abc import Iterator

from archforge.interchange.foreign import MaxAlong, MeanAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.permute import Permute
from archforge.ops.reshape import Reshape

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, MaxAlong | MeanAlong):
        return None
    (x,) = sight.types(node)
    axes = node.op.axes
    others = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    extents = tuple(x.shape[axis] for axis in axes)
    channels = math.prod(x.shape[axis] for axis in others)
    names = (f"{node.name}.turned", f"{node.name}.map", f"{node.name}.pool")
    if len(axes) > 3 or any(name in sight.draft.graph.types for name in names):
        return None
    pool = GlobalAvgPool if isinstance(node.op, MeanAlong) else GlobalMaxPool
    before = (
        Node(names[0], Permute(order=(*others, *axes)), node.inputs, 0, None, names[0]),
        Node(names[1], Reshape(shape=(channels, *extents)), names[:1], 0, None, names[1]),
        Node(names[2], pool(keep=len(others) > 1), names[1:2], 0, None, names[2]),
    )
    return Replacement(Reshape(shape=sight.type(node.name).shape), names[2:], before=before)


def _examples() -> Iterator[ForeignGraph]:
    for axes in ((0,), (1,), (0, 1), (0, 2), (0, 1, 2)):
        yield draft(step("mean", MeanAlong(axes=axes), "x"))
        yield draft(step("max", MaxAlong(axes=axes), "x"))


# After norms, of which a mean is a part.
RULE = Rule("mean", 8, _apply, _examples)
