"""The longer one of the two branches of a sum comes first: a block is its body, then the shortcut."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "add" or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if sight.depth(first) >= sight.depth(second):
        return None
    return Replacement(node.op, (second, first))


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("body", "conv", "x", out=4), step("sum", "add", "x", "body"))


RULE = Rule("add_order", 7, _apply, _examples)
