"""x plus its product with the norms of its channels over their mean, with constants along the channels, is
`global_response_norm`.
"""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import AddAlong, MeanAlong, MultiplyAlong, NormAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.global_response_norm import GlobalResponseNorm

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "add" or len(node.inputs) != 2:
        return None
    for x, change in (node.inputs, node.inputs[::-1]):
        sum_ = sight.only(change, AddAlong.says)
        product = sight.only(sum_.inputs[0], MultiplyAlong.says) if sum_ else None
        if sum_ is None or product is None:
            continue
        axis = sum_.op.attributes()["axis"]
        found = _weighed(product.inputs[0], x, axis, sight)
        if found is None or product.op.attributes()["axis"] != axis:
            continue
        params = {"weight": sight.params(product)[""], "bias": sight.params(sum_)[""]}
        return Replacement(GlobalResponseNorm(axis=axis, eps=found), (x,), params)
    return None


def _weighed(value: str, x: str, axis: int, sight: Sight) -> float | None:
    """The small number, where the value is the product of x and its response along that axis: of both, or of
    what both are with their axes in another order."""
    turned, before = sight.only(value, "permute"), sight.maker(x, "permute")
    if turned and before and turned.op == before.op:
        order = turned.op.attributes()["order"]
        return _weighed(turned.inputs[0], before.inputs[0], order[axis], sight)
    product = sight.only(value, "multiply")
    if product is None or len(product.inputs) != 2 or x not in product.inputs:
        return None
    found = _response(product.inputs[product.inputs[0] == x], x, sight)
    return found[1] if found and found[0] == axis else None


def _response(value: str, x: str, sight: Sight) -> tuple[int, float] | None:
    """The axis of the channels and the small number, where the value is the norms of the channels of x over
    their mean."""
    quotient = sight.maker(value, "divide")
    sum_ = sight.maker(quotient.inputs[1], "offset") if quotient else None
    mean = sight.maker(sum_.inputs[0], MeanAlong.says) if sum_ else None
    norms = sight.maker(quotient.inputs[0], NormAlong.says) if quotient else None
    if sum_ is None or mean is None or norms is None or mean.inputs != (norms.name,) or norms.inputs != (x,):
        return None
    axes, eps = mean.op.attributes()["axes"], sum_.op.attributes()["number"]
    others = {*range(len(sight.type(x).shape))} - {*axes}
    return (
        (axes[0], eps) if len(axes) == 1 and {*norms.op.attributes()["axes"]} == others and eps > 0 else None
    )


def _examples() -> Iterator[ForeignGraph]:
    for axis in (0, 2):
        others = tuple(a for a in range(3) if a != axis)
        for last in (("x", "sum"), ("sum", "x")):
            yield draft(
                step("norms", NormAlong(axes=others), "x"),
                step("mean", MeanAlong(axes=(axis,)), "norms"),
                step("more", "offset", "mean", number=0.1),
                step("response", "divide", "norms", "more"),
                step("weighed", "multiply", "x", "response"),
                step("product", MultiplyAlong(axis=axis), "weighed"),
                step("sum", AddAlong(axis=axis), "product"),
                step("end", "add", *last),
            )
    yield draft(
        step("norms", NormAlong(axes=(0, 1)), "x"),
        step("mean", MeanAlong(axes=(2,)), "norms"),
        step("more", "offset", "mean", number=0.1),
        step("response", "divide", "norms", "more"),
        step("weighed", "multiply", "x", "response"),
        step("turned", "permute", "weighed", order=(2, 0, 1)),
        step("product", MultiplyAlong(axis=0), "turned"),
        step("sum", AddAlong(axis=0), "product"),
        step("first", "permute", "x", order=(2, 0, 1)),
        step("end", "add", "first", "sum"),
    )


RULE = Rule("response_norm", 0, _apply, _examples)
