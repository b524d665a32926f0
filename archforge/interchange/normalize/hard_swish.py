"""relu6(x + 3) / 6 is `hard_sigmoid`, and x * relu6(x + 3) / 6 is `hard_swish`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node, Op
from archforge.ops import op_class

__all__ = ["RULE"]

TOLERANCE = 1e-6  # of a sixth in float32


def _is_sixth(op: Op) -> bool:
    return op.kind == "scale" and abs(op.attributes()["factor"] - 1 / 6) < TOLERANCE


def _shifted(value: str, sight: Sight) -> str | None:
    """x where the value is relu6(x + 3)."""
    clipped = sight.maker(value, "relu6")
    added = sight.maker(clipped.inputs[0], "offset") if clipped else None
    return added.inputs[0] if added and added.op.attributes()["number"] == 3 else None


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not _is_sixth(node.op):
        return None
    x = _shifted(node.inputs[0], sight)
    if x is not None:
        return Replacement(op_class("hard_sigmoid")(), (x,))
    product = sight.maker(node.inputs[0], "multiply")
    if product is None or len(product.inputs) != 2:
        return None
    for x, gate in (product.inputs, product.inputs[::-1]):
        if _shifted(gate, sight) == x:
            return Replacement(op_class("hard_swish")(), (x,))
    return None


def _examples() -> Iterator[ForeignGraph]:
    shifted = (step("shifted", "offset", "x", number=3.0), step("clipped", "relu6", "shifted"))
    yield draft(*shifted, step("share", "scale", "clipped", factor=1 / 6))
    for inputs in (("x", "clipped"), ("clipped", "x")):
        yield draft(
            *shifted, step("product", "multiply", *inputs), step("share", "scale", "product", factor=1 / 6)
        )


RULE = Rule("hard_swish", 0, _apply, _examples)
