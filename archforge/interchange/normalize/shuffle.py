"""Channels dealt into groups, groups and channels exchanged, and joined again: `shuffle`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.shuffle import Shuffle

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "reshape":
        return None
    turned = sight.only(node.inputs[0], "permute")
    dealt = sight.only(turned.inputs[0], "reshape") if turned else None
    if turned is None or dealt is None:
        return None
    (x,), groups = sight.types(dealt), sight.type(dealt.name).shape
    order = (1, 0, *range(2, len(groups)))
    joined = sight.type(node.name)
    if turned.op.attributes()["order"] != order or joined != x or groups[2:] != x.spatial:
        return None
    return Replacement(Shuffle(groups=groups[0]), dealt.inputs)


def _examples() -> Iterator[ForeignGraph]:
    yield draft(
        step("dealt", "reshape", "x", shape=(2, 3, 6, 5)),
        step("turned", "permute", "dealt", order=(1, 0, 2, 3)),
        step("joined", "reshape", "turned", shape=(6, 6, 5)),
        shape=(6, 6, 5),
    )


RULE = Rule("shuffle", 0, _apply, _examples)
