"""x / 2 * (1 + erf(x / sqrt(2))), in any order of the products, is `gelu`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from archforge.interchange.foreign import Erf
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops import op_class

__all__ = ["RULE"]

TOLERANCE = 1e-6


def _bell(value: str, sight: Sight) -> str | None:
    """x where the value is 1 + erf(x / sqrt(2))."""
    added = sight.maker(value, "offset")
    if added is None or added.op.attributes()["number"] != 1:
        return None
    erf = sight.maker(added.inputs[0], Erf.says)
    scaled = sight.maker(erf.inputs[0], "scale") if erf else None
    if scaled is None or abs(scaled.op.attributes()["factor"] - math.sqrt(0.5)) > TOLERANCE:
        return None
    return scaled.inputs[0]


def _half(value: str, sight: Sight) -> str | None:
    """x where the value is x / 2."""
    scaled = sight.maker(value, "scale")
    return scaled.inputs[0] if scaled and scaled.op.attributes()["factor"] == 0.5 else None


def _apply(node: Node, sight: Sight) -> Replacement | None:
    product = node
    halved = _half(node.name, sight)
    if halved is not None:
        product = sight.maker(halved, "multiply") or node
    if product.op.kind != "multiply" or len(product.inputs) != 2:
        return None
    for x, bell in (product.inputs, product.inputs[::-1]):
        half = x if halved is not None else _half(x, sight)
        if half is not None and _bell(bell, sight) == half:
            return Replacement(op_class("gelu")(), (half,))
    return None


def _examples() -> Iterator[ForeignGraph]:
    bell = (
        step("scaled", "scale", "x", factor=math.sqrt(0.5)),
        step("erf", Erf(), "scaled"),
        step("bell", "offset", "erf", number=1.0),
    )
    yield draft(*bell, step("product", "multiply", "x", "bell"), step("half", "scale", "product", factor=0.5))
    yield draft(*bell, step("half", "scale", "x", factor=0.5), step("product", "multiply", "half", "bell"))


RULE = Rule("gelu", 0, _apply, _examples)
