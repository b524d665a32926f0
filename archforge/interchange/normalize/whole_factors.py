"""A map that is resized by whole factors is what `upsample` makes of it."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.interchange.translation import bound_op
from archforge.ir import Node
from archforge.ops.resize import Resize

__all__ = ["RULE"]

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, Resize):
        return None
    (x,), y = sight.types(node), sight.type(node.name)
    factors = [after // before for before, after in zip(x.spatial, y.spatial, strict=True)]
    if any(n * f != m for n, f, m in zip(x.spatial, factors, y.spatial, strict=True)):
        return None
    if node.op.mode == "linear" and node.op.corners != "asymmetric":
        corners = node.op.corners == "align_corners"
        op = bound_op("upsample", factor=tuple(factors), mode=_LINEAR[len(factors)], align_corners=corners)
    elif node.op.mode in ("nearest", "nearest_exact"):
        op = bound_op("upsample", factor=tuple(factors))
    else:
        return None
    return Replacement(op, node.inputs)


def _examples() -> Iterator[ForeignGraph]:
    for attributes in (
        {"mode": "linear", "corners": "align_corners"},
        {"mode": "linear"},
        {"mode": "nearest"},
        {"mode": "nearest_exact"},
    ):
        yield draft(step("resized", "resize", "x", size=(12, 15), **attributes))


RULE = Rule("whole_factors", 0, _apply, _examples)
