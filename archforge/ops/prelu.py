"""Parametric ReLU."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Init, ParamDecl, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Example,
    Flag,
    Gradients,
    Op,
    along_channels,
    other_axes,
)
from archforge.ops.lazy_numpy import np

__all__ = ["Prelu"]


class Prelu(Op):
    """x where it is positive, weight * x elsewhere, with one trained slope, or one per channel.

    x: float[N, C, *]; weight: float[1] or float[C]. Source: arXiv:1502.01852; torch.nn.PReLU.

    Attributes:
        per_channel: trains a slope for each channel; without it one slope serves all
    """

    op = "prelu"
    gradient_reads = INPUTS

    per_channel: Flag = False

    examples = (
        Example({}, ((3, 4, 5),)),
        Example({"per_channel": True}, ((3, 4, 5),)),
        Example({"per_channel": True}, ((6,),)),
    )

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        slopes = inputs[0].channels if self.per_channel else 1
        return {"weight": ParamDecl((slopes,), "weight", Init("constant", 0.25))}

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return np.where(x > 0, x, x * along_channels(params["weight"], x))

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy, weight = back.inputs, back.dy, back.params["weight"]
        by_slope = np.where(x > 0, 0, dy * x).sum(other_axes(x, 1) if self.per_channel else None)
        dx = np.where(x > 0, dy, dy * along_channels(weight, x))
        return Gradients((dx,), {"weight": by_slope.reshape(weight.shape)})
