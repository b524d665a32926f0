"""x * sigmoid(x) is `silu`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]

GATED = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "multiply" or len(node.inputs) != 2:
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        maker = sight.maker(gate, *GATED)
        if maker is not None and maker.inputs == (x,):
            return Replacement(op_class(GATED[maker.op.kind])(), (x,))
    return None


def _examples() -> Iterator[ForeignGraph]:
    for gate in GATED:
        yield draft(step("gate", gate, "x"), step("product", "multiply", "x", "gate"))
        yield draft(step("gate", gate, "x"), step("product", "multiply", "gate", "x"))


RULE = Rule("silu", 1, _apply, _examples)
