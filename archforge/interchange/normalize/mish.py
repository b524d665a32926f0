"""x * tanh(softplus(x)) is `mish`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "multiply" or len(node.inputs) != 2:
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        bend = sight.maker(gate, "tanh")
        soft = sight.maker(bend.inputs[0], "softplus") if bend else None
        if soft is not None and soft.inputs == (x,):
            return Replacement(op_class("mish")(), (x,))
    return None


def _examples() -> Iterator[ForeignGraph]:
    for inputs in (("x", "bend"), ("bend", "x")):
        yield draft(
            step("soft", "softplus", "x"), step("bend", "tanh", "soft"), step("end", "multiply", *inputs)
        )


RULE = Rule("mish", 0, _apply, _examples)
