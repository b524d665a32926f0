"""A product with one constant for each channel is `layer_scale`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import MultiplyAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.scale import LayerScale

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, MultiplyAlong) or node.op.axis != 0:
        return None
    (x,) = sight.types(node)
    op = LayerScale()
    return Replacement(op, node.inputs, {"": sight.params(node)[""].reshape(op.params(x)[""].shape)})


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("product", MultiplyAlong(axis=0), "x"), step("end", "relu", "product"))


RULE = Rule("layer_scale", 8, _apply, _examples)
