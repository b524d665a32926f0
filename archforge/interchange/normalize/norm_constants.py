"""Constants of each channel by which a batch norm is multiplied, or that are added to it, are its weight and
bias, unless it has trained ones: then they are a scale of the channels behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, AddAlong | MultiplyAlong) or node.op.axis != 0:
        return None
    norm = sight.only(node.inputs[0], "bn")
    if norm is None or sight.is_shared(norm):
        return None
    constants, params = sight.params(node)[""], sight.params(norm)
    if not _is_all(0, params.get("bias")):
        return None
    if isinstance(node.op, AddAlong):
        params["bias"] = constants
    elif _is_all(1, params.get("weight")):
        params["weight"] = constants
    else:
        return None
    op = norm.op.model_copy(update={"affine": True, "scale": "weight" in params, "center": "bias" in params})
    return Replacement(op, norm.inputs, params)


def _is_all(number: int, param: Array | None) -> bool:
    """True for a parameter that is not there, or is this number in each channel, as if it were not."""
    return param is None or bool((param == number).all())


def _examples() -> Iterator[ForeignGraph]:
    product, more = MultiplyAlong(axis=0), AddAlong(axis=0)
    for attributes in ({"affine": False, "eps": 0.1}, {"center": False}, {}):
        norm = step("norm", "bn", "x", **attributes)
        yield _untrained(draft(norm, step("product", product, "norm")))
        yield _untrained(draft(norm, step("product", product, "norm"), step("sum", more, "product")))
    yield draft(step("norm", "bn", "x", center=False), step("sum", more, "norm"))


def _untrained(example: ForeignGraph) -> ForeignGraph:
    """The example with a weight of 1 and a bias of 0 in its norm."""
    plain = {name: np.ones_like(array) for name, array in example.arrays.items() if name == "norm.weight"}
    plain |= {name: np.zeros_like(array) for name, array in example.arrays.items() if name == "norm.bias"}
    return replace(example, arrays={**example.arrays, **plain})


RULE = Rule("norm_constants", 0, _apply, _examples)
