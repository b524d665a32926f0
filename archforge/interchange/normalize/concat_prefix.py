"""A concatenation that begins with all of another one reads that one's value: so dense blocks are chains."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "concat" or len(node.inputs) < 3:
        return None
    prefixes = [other for other in sight.concats_before(node) if _is_prefix(other, node)]
    if not prefixes:
        return None
    longest = max(prefixes, key=lambda other: len(other.inputs))
    return Replacement(node.op, (longest.name, *node.inputs[len(longest.inputs) :]))


def _is_prefix(other: Node, node: Node) -> bool:
    length = len(other.inputs)
    return other.op == node.op and 1 < length < len(node.inputs) and node.inputs[:length] == other.inputs


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
