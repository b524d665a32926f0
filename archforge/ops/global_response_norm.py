"""Global response normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from archforge.ir import WHOLE, Init, ParamDecl, Reach, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Axis,
    Backward,
    Epsilon,
    Example,
    Gradients,
    Op,
    other_axes,
    require_rank,
    resolve_axis,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import mean_along, sum_along

__all__ = ["GlobalResponseNorm"]


class GlobalResponseNorm(Op):
    """x + weight * x * response + bias, where the response of a channel is the L2 norm of its whole
    map over the mean of the norms of all channels, plus eps.

    x: float[N, C, *spatial] with 1 to 3 spatial axes, or with the channels at `axis`; weight, bias:
    float[C], which start at 0. Source: arXiv:2301.00808, section 3, algorithm 1.

    Attributes:
        axis: axis of the channels, which are compared with their mean
        eps: added to the mean of the norms, so that nothing is divided by 0
    """

    op: ClassVar[str] = "global_response_norm"
    aliases: ClassVar[tuple[str, ...]] = ("grn",)
    gradient_reads: ClassVar = INPUTS

    axis: Axis = 0
    eps: Epsilon = 1e-6

    examples: ClassVar = (
        Example({}, ((3, 4, 5),)),
        Example({"axis": -1, "eps": 0.1}, ((4, 5, 3),), "channels last, as inside ConvNeXt v2"),
        Example({}, ((2, 6),), "1-D"),
        Example({}, ((2, 3, 2, 4),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`global_response_norm`")
        resolve_axis(self.axis, x)
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        shape = (x.shape[resolve_axis(self.axis, x)],)
        zeros = Init("constant", 0.0)
        return {"weight": ParamDecl(shape, "weight", zeros), "bias": ParamDecl(shape, "weight", zeros)}

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(self.infer(*inputs).shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        axis = resolve_axis(self.axis, TensorType(x.shape[1:])) + 1
        others = tuple(a for a in range(1, x.ndim) if a != axis)
        norms = np.sqrt(sum_along(np.square(x), others))
        response = norms / (mean_along(norms, axis) + self.eps)
        along = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))
        y: Array = x * (1 + params["weight"].reshape(along) * response) + params["bias"].reshape(along)
        return y

    def gradient(self, back: Backward) -> Gradients:
        """The norm of a map of zeros has gradient 0."""
        (x,), dy = back.inputs, back.dy
        axis = resolve_axis(self.axis, TensorType(x.shape[1:])) + 1
        weight = back.params["weight"].reshape(tuple(n if a == axis else 1 for a, n in enumerate(x.shape)))
        spatial = other_axes(x, 0, axis)
        norms = np.sqrt(np.square(x).sum(spatial, keepdims=True))
        mean = norms.mean(axis, keepdims=True) + self.eps
        response = norms / mean
        dresponse = (dy * x * weight).sum(spatial, keepdims=True)
        through_mean = (dresponse * norms).mean(axis, keepdims=True) / np.square(mean)
        dnorms = dresponse / mean - through_mean
        directions = x / np.where(norms > 0, norms, 1)
        dx = dy * (1 + weight * response) + dnorms * directions
        others = other_axes(x, axis)
        return Gradients((dx,), {"weight": (dy * x * response).sum(others), "bias": dy.sum(others)})
