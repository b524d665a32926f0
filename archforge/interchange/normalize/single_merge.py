"""A merge of one value is that value."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.arity is not None or len(node.inputs) != 1:
        return None
    return Replacement(op_class("identity")(), node.inputs)


def _examples() -> Iterator[ForeignGraph]:
    for merge in ("add", "concat", "multiply", "subtract"):
        yield draft(step("merge", merge, "x"), step("end", "relu", "merge"))


RULE = Rule("single_merge", 0, _apply, _examples)
