"""Constants of each channel by which a batch norm is multiplied, or that are added to it, are its weight and
bias."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, AddAlong | MultiplyAlong) or node.op.axis != 0:
        return None
    norm = sight.only(node.inputs[0], "bn")
    if norm is None or sight.is_shared(norm):
        return None
    constants, params = sight.params(node)[""], sight.params(norm)
    if isinstance(node.op, AddAlong):
        params["bias"] = params["bias"] + constants if "bias" in params else constants
    else:
        params["weight"] = params["weight"] * constants if "weight" in params else constants
        if "bias" in params:
            params["bias"] = params["bias"] * constants
    op = norm.op.model_copy(update={"affine": True, "scale": "weight" in params, "center": "bias" in params})
    return Replacement(op, norm.inputs, params)


def _examples() -> Iterator[ForeignGraph]:
    for attributes in ({"affine": False, "eps": 0.1}, {"scale": False}, {}):
        norm = step("norm", "bn", "x", **attributes)
        yield draft(norm, step("product", MultiplyAlong(axis=0), "norm"))
        yield draft(norm, step("sum", AddAlong(axis=0), "norm"))
        yield draft(
            norm, step("product", MultiplyAlong(axis=0), "norm"), step("sum", AddAlong(axis=0), "product")
        )


RULE = Rule("norm_constants", 0, _apply, _examples)
