"""x less its mean, over the root of the mean square of that and a small number, is `layer_norm`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import MeanAlong, Power
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.layer_norm import LayerNorm

__all__ = ["MEANS", "RULE", "SQUARES", "averaged", "squared"]

MEANS = (MeanAlong.says, "global_avg_pool")
SQUARES = (Power.says, "multiply")

Mean = tuple[str, tuple[int, ...]]  # the value, and the axes along which it is the mean


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "divide" or len(node.inputs) != 2:
        return None
    root = sight.maker(node.inputs[1], Power.says)
    sum_ = sight.maker(root.inputs[0], "offset") if root else None
    if root is None or sum_ is None or root.op.attributes()["exponent"] != 0.5:
        return None
    eps, variance = sum_.op.attributes()["number"], _mean(sum_.inputs[0], sight)
    centred = _centred(node.inputs[0], sight)
    if variance is None or centred is None or eps <= 0 or variance[1] != centred[1]:
        return None
    if _centred(squared(sight.maker(variance[0], *SQUARES)), sight) != centred:
        return None
    x, axes = centred
    return Replacement(LayerNorm(axis=axes[0] if len(axes) == 1 else axes, eps=eps, affine=False), (x,))


def _mean(value: str, sight: Sight) -> Mean | None:
    """Value and axes that this is the mean of."""
    return averaged(sight.maker(value, *MEANS), sight)


def _centred(value: str, sight: Sight) -> Mean | None:
    """Value and axes whose mean is taken from the value to make this."""
    difference = sight.maker(value, "subtract")
    mean = _mean(difference.inputs[1], sight) if difference and len(difference.inputs) == 2 else None
    return mean if difference and mean and mean[0] == difference.inputs[0] else None


def averaged(mean: Node | None, sight: Sight) -> Mean | None:
    """The value that one of MEANS reads, and the axes of it along which it is the mean, which stay."""
    if mean is None:
        return None
    if isinstance(mean.op, MeanAlong):
        return mean.inputs[0], mean.op.axes
    (x,) = sight.types(mean)
    return (mean.inputs[0], tuple(range(1, len(x.shape)))) if mean.op.attributes()["keep"] else None


def squared(square: Node | None) -> str:
    """The value that one of SQUARES is the square of; empty if it is none."""
    if square is None:
        return ""
    if isinstance(square.op, Power):
        return square.inputs[0] if square.op.exponent == 2 else ""
    return square.inputs[0] if len(square.inputs) == 2 and len({*square.inputs}) == 1 else ""


def _examples() -> Iterator[ForeignGraph]:
    means = (MeanAlong(axes=(0,)), MeanAlong(axes=(0, 2)), "global_avg_pool")
    squares = (Power(exponent=2), "multiply")
    for mean in means:
        for square in squares:
            keep = {"keep": True} if isinstance(mean, str) else {}
            factors = ("centred",) * (2 if isinstance(square, str) else 1)
            yield draft(
                step("mean", mean, "x", **keep),
                step("centred", "subtract", "x", "mean"),
                step("square", square, *factors),
                step("variance", mean, "square", **keep),
                step("sum", "offset", "variance", number=0.1),
                step("root", Power(exponent=0.5), "sum"),
                step("normal", "divide", "centred", "root"),
            )


RULE = Rule("layer_norm", 0, _apply, _examples)
