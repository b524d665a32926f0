"""A product with a reciprocal is a quotient: so exporters spell `rsqrt`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import Power
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "multiply" or len(node.inputs) != 2:
        return None
    for x, factor in (node.inputs, node.inputs[::-1]):
        inverse = sight.only(factor, Power.says)
        if inverse and isinstance(inverse.op, Power) and inverse.op.exponent == -1:
            return Replacement(op_class("divide")(), (x, *inverse.inputs))
    return None


def _examples() -> Iterator[ForeignGraph]:
    for order in (("x", "inverse"), ("inverse", "x")):
        yield draft(
            step("some", "sigmoid", "x"),
            step("inverse", Power(exponent=-1), "some"),
            step("end", "multiply", *order),
        )


RULE = Rule("reciprocal", 0, _apply, _examples)
