"""A product with 1 and a sum with 0 change nothing."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.identity import Identity
from archforge.ops.scale import Offset, Scale

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    is_one = isinstance(node.op, Scale) and node.op.factor == 1
    is_zero = isinstance(node.op, Offset) and node.op.number == 0
    return Replacement(Identity(), node.inputs) if is_one or is_zero else None


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("product", "scale", "x", factor=1), step("end", "relu", "product"))
    yield draft(step("sum", "offset", "x", number=0), step("end", "relu", "sum"))


RULE = Rule("neutral", 0, _apply, _examples)
