"""A value over its norm along an axis, which is kept from 0, is `l2_normalize`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import NormAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.clip import Clamp
from archforge.ops.l2_normalize import L2Normalize

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "divide" or len(node.inputs) != 2:
        return None
    x, below = node.inputs
    least = sight.only(below, "clip")
    norm = sight.only(least.inputs[0], NormAlong.says) if least else None
    if least is None or norm is None or not isinstance(least.op, Clamp) or not isinstance(norm.op, NormAlong):
        return None
    eps = least.op.min
    if norm.inputs != (x,) or len(norm.op.axes) != 1 or least.op.max is not None:
        return None
    return Replacement(L2Normalize(axis=norm.op.axes[0], eps=eps), (x,)) if eps and 0 < eps <= 1 else None


def _examples() -> Iterator[ForeignGraph]:
    for axis in range(3):
        yield draft(
            step("small", "scale", "x", factor=0.1),
            step("norm", NormAlong(axes=(axis,)), "small"),
            step("least", "clip", "norm", min=0.6),
            step("end", "divide", "small", "least"),
        )


RULE = Rule("l2_normalize", 0, _apply, _examples)
