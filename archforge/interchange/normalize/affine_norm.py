"""A product and then a sum with constants along the axis of a `layer_norm`, or the channels of a `group_norm`
or `instance_norm`, are its weight and its bias.
"""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.group_norm import GroupNorm
from archforge.ops.instance_norm import InstanceNorm
from archforge.ops.layer_norm import LayerNorm

__all__ = ["RULE"]

Norm = GroupNorm | InstanceNorm | LayerNorm


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, AddAlong):
        return None
    product = sight.only(node.inputs[0], MultiplyAlong.says)
    norm = sight.only(product.inputs[0], "layer_norm", "group_norm", "instance_norm") if product else None
    if product is None or norm is None or not isinstance(norm.op, Norm) or norm.op.affine:
        return None
    axes = norm.op.axes(*sight.types(norm)) if isinstance(norm.op, LayerNorm) else (0,)
    if axes != (node.op.axis,) or axes != (product.op.attributes()["axis"],):
        return None
    params = {"weight": sight.params(product)[""], "bias": sight.params(node)[""]}
    return Replacement(norm.op.model_copy(update={"affine": True}), norm.inputs, params)


def _examples() -> Iterator[ForeignGraph]:
    for axis in (0, 2):
        yield draft(
            step("norm", "layer_norm", "x", axis=axis, eps=0.1, affine=False),
            step("product", MultiplyAlong(axis=axis), "norm"),
            step("sum", AddAlong(axis=axis), "product"),
        )
    for kind, attributes in (("group_norm", {"groups": 2}), ("instance_norm", {})):
        yield draft(
            step("norm", kind, "x", eps=0.1, affine=False, **attributes),
            step("product", MultiplyAlong(axis=0), "norm"),
            step("sum", AddAlong(axis=0), "product"),
        )


RULE = Rule("affine_norm", 0, _apply, _examples)
