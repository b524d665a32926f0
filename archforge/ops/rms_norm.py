"""Normalisation by the root mean square."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Init, ParamDecl, Reach, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Axis,
    Backward,
    Epsilon,
    Example,
    Flag,
    Gradients,
    Op,
    array_axis,
    other_axes,
    resolve_axis,
    whole_along,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import mean_along

__all__ = ["RmsNorm"]


class RmsNorm(Op):
    """The elements along `axis` over their root mean square, times weight: a layer norm without mean and
    bias. weight: float[extent of the axis]. Source: arXiv:1910.07467, equation 4; torch.nn.RMSNorm.

    Attributes:
        axis: axis that is normalised
        eps: added to the mean square before its root is taken, so that nothing is divided by 0
        affine: multiplies each position along the axis by a trained factor
    """

    op = "rms_norm"
    gradient_reads = INPUTS

    axis: Axis = -1
    eps: Epsilon = 1e-6
    affine: Flag = True

    examples = (
        Example({}, ((6,),)),
        Example({"eps": 0.1}, ((3, 5),), "every token"),
        Example({"axis": 0}, ((5, 2, 3),), "channels of a map"),
        Example({"affine": False}, ((2, 3, 4),)),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        resolve_axis(self.axis, x)
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        shape = (x.shape[resolve_axis(self.axis, x)],)
        return {"weight": ParamDecl(shape, "weight", Init("constant", 1.0))} if self.affine else {}

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return whole_along({resolve_axis(self.axis, x)}, x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        axis, normal, _ = self._normal(inputs[0])
        return normal * _along(params["weight"], axis, normal) if self.affine else normal

    def _normal(self, x: Array) -> tuple[int, Array, Array]:
        """The axis, `x` normalised along it, and its root mean square there."""
        axis = array_axis(self.axis, x)
        root: Array = np.sqrt(mean_along(np.square(x), axis) + self.eps)
        return axis, x / root, root

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        axis, normal, root = self._normal(x)
        params = {}
        if self.affine:
            params = {"weight": (dy * normal).sum(other_axes(x, axis))}
            dy = dy * _along(back.params["weight"], axis, x)
        return Gradients(((dy - normal * mean_along(dy * normal, axis)) / root,), params)


def _along(weight: Array, axis: int, x: Array) -> Array:
    """One number for each position along an axis, shaped to be spread over `x`."""
    return weight.reshape(-1, *(1,) * (x.ndim - 1 - axis))
