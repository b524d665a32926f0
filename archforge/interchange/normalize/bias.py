"""Constants that are added to each channel of a convolution, or to each feature of a linear layer, are its
bias."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import AddAlong
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.ops.scale import Offset

__all__ = ["RULE"]

LAYERS = ("conv", "conv_transpose", "linear")


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, AddAlong | Offset):
        return None
    layer = sight.only(node.inputs[0], *LAYERS)
    if layer is None or sight.is_shared(layer) or layer.op.attributes()["bias"]:
        return None
    params = sight.params(layer)
    out = layer.op.attributes()["out"]
    bias: Array
    if isinstance(node.op, Offset):
        if out != 1:
            return None  # one number for several channels is no bias that anybody trained
        bias = np.full(out, node.op.number, params["weight"].dtype)
    else:
        if node.op.axis != _channels(layer, sight):
            return None
        bias = sight.params(node)[""].astype(params["weight"].dtype)
    op = layer.op.model_copy(update={"bias": True})
    return Replacement(op, layer.inputs, {**params, "bias": bias})


def _channels(layer: Node, sight: Sight) -> int:
    """The axis of the outputs of a layer."""
    if layer.op.kind != "linear":
        return 0
    axis, (x,) = layer.op.attributes()["axis"], sight.types(layer)
    return len(x.shape) - 1 if axis is None else int(axis) % len(x.shape)


def _examples() -> Iterator[ForeignGraph]:
    yield draft(step("conv", "conv", "x", out=3, kernel=3, bias=False), step("sum", AddAlong(axis=0), "conv"))
    yield draft(step("one", "conv", "x", out=1, bias=False), step("sum", "offset", "one", number=0.5))
    yield draft(
        step("fc", "linear", "x", out=3, bias=False), step("sum", AddAlong(axis=1), "fc"), shape=(4, 5)
    )


RULE = Rule("bias", 0, _apply, _examples)
