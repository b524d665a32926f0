"""A permutation of a permutation is one, or nothing where the second undoes the first."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    before = sight.maker(node.inputs[0], "permute") if node.op.kind == "permute" else None
    if before is None:
        return None
    first, second = (each.op.attributes()["order"] for each in (before, node))
    order = tuple(first[axis] for axis in second)
    if order == tuple(range(len(order))):
        return Replacement(op_class("identity")(), before.inputs)
    return Replacement(node.op.model_copy(update={"order": order}), before.inputs)


def _examples() -> Iterator[ForeignGraph]:
    for order in ((2, 0, 1), (1, 2, 0)):
        yield draft(
            step("one", "permute", "x", order=(1, 2, 0)),
            step("two", "permute", "one", order=order),
            step("end", "relu", "two"),
        )


RULE = Rule("turned_twice", 0, _apply, _examples)
