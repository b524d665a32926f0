"""A concatenation that begins with all of another one reads that one's value: so dense blocks are chains."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "concat" or len(node.inputs) < 3:
        return None
    longest: Node | None = None
    for other in sight.concats_before(node):
        length = len(other.inputs)
        is_longer = longest is None or length > len(longest.inputs)
        is_prefix = 1 < length < len(node.inputs) and node.inputs[:length] == other.inputs
        if other.op == node.op and is_longer and is_prefix:
            longest = other
    if longest is None:
        return None
    return Replacement(node.op, (longest.name, *node.inputs[len(longest.inputs) :]))


def _examples() -> Iterator[ForeignGraph]:
    yield draft(
        step("a", "relu", "x"),
        step("two", "concat", "x", "a"),
        step("b", "conv", "two", out=3),
        step("three", "concat", "x", "a", "b"),
        step("c", "conv", "three", out=2),
        step("four", "concat", "x", "a", "b", "c"),
    )


RULE = Rule("concat_prefix", 3, _apply, _examples)
