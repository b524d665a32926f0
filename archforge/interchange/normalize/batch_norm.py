"""A product and then a sum with constants of each channel is a batch norm whose statistics were worked in."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.lazy_numpy import np

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, AddAlong) or node.op.axis != 0:
        return None
    product = sight.only(node.inputs[0], MultiplyAlong.says)
    if product is None or product.op.attributes()["axis"] != 0:
        return None
    weight, bias = (sight.params(each)[""] for each in (product, node))
    op = BatchNorm()
    # A variance of 1 - eps, which eps makes 1.
    params = {
        "weight": weight,
        "bias": bias,
        "running_mean": np.zeros_like(weight),
        "running_var": np.full_like(weight, 1 - op.eps),
    }
    return Replacement(op, product.inputs, params)


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("product", MultiplyAlong(axis=0), "x"), step("sum", AddAlong(axis=0), "product"))


RULE = Rule(
    "batch_norm",
    1,
    _apply,
    _examples,
    note="{n} batch norms are written as products and sums: their statistics are worked into weight and bias",
)
