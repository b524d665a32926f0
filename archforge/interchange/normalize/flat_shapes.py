"""Another shape just before `flatten`, or before another one, makes no difference."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]

SHAPES = ("reshape", "flatten")


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind not in SHAPES:
        return None
    if sight.types(node)[0] == sight.type(node.name):
        return Replacement(op_class("identity")(), node.inputs)
    before = sight.only(node.inputs[0], *SHAPES)
    return Replacement(node.op, before.inputs) if before else None


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("shape", "reshape", "x", shape=(6, 20)), step("flat", "flatten", "shape"))
    yield draft(step("flat", "flatten", "x"), step("shape", "reshape", "flat", shape=(20, 6)))
    yield draft(step("pool", "global_avg_pool", "x", keep=False), step("flat", "flatten", "pool"))
    yield draft(step("same", "reshape", "x", shape=(4, 6, 5)), step("end", "relu", "same"))


RULE = Rule("flat_shapes", 2, _apply, _examples)
