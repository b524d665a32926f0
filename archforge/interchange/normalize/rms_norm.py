"""A value over the root of its mean square along an axis is an `rms_norm`, with constants along that axis its
weight.
"""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import MeanAlong, MultiplyAlong, Power
from archforge.interchange.normalize.layer_norm import MEANS, SQUARES, averaged, squared
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node, Op
from archforge.ops.rms_norm import RmsNorm

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if isinstance(node.op, MultiplyAlong):
        return _weighed(node, node.op.axis, sight)
    if node.op.kind != "divide" or len(node.inputs) != 2:
        return None
    x, below = node.inputs
    root = sight.only(below, Power.says)
    sum_ = sight.only(root.inputs[0], "offset") if root else None
    mean = averaged(sight.only(sum_.inputs[0], *MEANS) if sum_ else None, sight)
    if root is None or sum_ is None or mean is None or root.op.attributes()["exponent"] != 0.5:
        return None
    (square, axes), eps = mean, sum_.op.attributes()["number"]
    if len(axes) != 1 or not 0 < eps <= 1 or squared(sight.only(square, *SQUARES)) != x:
        return None
    return Replacement(RmsNorm(axis=axes[0], eps=eps, affine=False), (x,))


def _weighed(product: Node, axis: int, sight: Sight) -> Replacement | None:
    norm = sight.only(product.inputs[0], "rms_norm")
    if norm is None or not isinstance(norm.op, RmsNorm) or norm.op.affine:
        return None
    if norm.op.axis % len(sight.type(norm.name).shape) != axis:
        return None
    op = norm.op.model_copy(update={"affine": True})
    return Replacement(op, norm.inputs, {"weight": sight.params(product)[""]})


def _examples() -> Iterator[ForeignGraph]:
    means = (MeanAlong(axes=(0,)), MeanAlong(axes=(2,)), MeanAlong(axes=(1,)))
    squares: tuple[str | Op, ...] = ("multiply", Power(exponent=2), "multiply")
    for mean, square in zip(means, squares, strict=True):
        reads = ("x", "x") if isinstance(square, str) else ("x",)
        yield draft(
            step("squares", square, *reads),
            step("mean", mean, "squares"),
            step("more", "offset", "mean", number=0.1),
            step("root", Power(exponent=0.5), "more"),
            step("norm", "divide", "x", "root"),
            step("end", MultiplyAlong(axis=mean.axes[0]), "norm"),
        )
    yield draft(
        step("squares", "multiply", "x", "x"),
        step("mean", "global_avg_pool", "squares"),
        step("more", "offset", "mean", number=0.1),
        step("root", Power(exponent=0.5), "more"),
        step("norm", "divide", "x", "root"),
        shape=(3, 5),
    )


RULE = Rule("rms_norm", 0, _apply, _examples)
