"""Global response normalisation."""

from __future__ import annotations

from collections.abc import Mapping

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
    array_axis,
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

    op = "global_response_norm"
    aliases = ("grn",)
    gradient_reads = INPUTS

    axis: Axis = 0
    eps: Epsilon = 1e-6

    examples = (
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
        norms, mean = self._norms(x, array_axis(self.axis, x))
        weight, bias = (params[name].reshape(norms.shape[1:]) for name in ("weight", "bias"))
        y: Array = x * (1 + weight * (norms / mean)) + bias
        return y

    def _norms(self, x: Array, axis: int) -> tuple[Array, Array]:
        """The norm of each channel's map, and their mean plus eps, with extents of 1 along the other axes."""
        norms = np.sqrt(sum_along(np.square(x), other_axes(x, 0, axis)))
        return norms, mean_along(norms, axis) + self.eps

    def gradient(self, back: Backward) -> Gradients:
        """The norm of a map of zeros has gradient 0."""
        (x,), dy, axis = back.inputs, back.dy, array_axis(self.axis, back.dy)
        norms, mean = self._norms(x, axis)
        weight, response = back.params["weight"].reshape(norms.shape[1:]), norms / mean
        dresponse = sum_along(dy * x * weight, other_axes(x, 0, axis))
        dnorms = dresponse / mean - mean_along(dresponse * norms, axis) / np.square(mean)
        directions = x / np.where(norms > 0, norms, 1)
        dx = dy * (1 + weight * response) + dnorms * directions
        others = other_axes(x, axis)
        return Gradients((dx,), {"weight": (dy * x * response).sum(others), "bias": dy.sum(others)})
