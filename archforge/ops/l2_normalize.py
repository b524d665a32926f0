"""Vectors of length 1."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Reach, TensorType
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
    resolve_axis,
    whole_along,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import sum_along

__all__ = ["L2Normalize"]


class L2Normalize(Op):
    """The elements along `axis` over their L2 norm: the root of the sum of their squares, or `eps` where that
    is larger. Source: torch.nn.functional.normalize.

    Attributes:
        axis: axis along which the squares of the outputs sum to 1
        eps: smallest number that is divided by
    """

    op = "l2_normalize"
    is_idempotent = True
    gradient_reads = INPUTS

    axis: Axis = -1
    eps: Epsilon = 1e-12

    examples = (
        Example({}, ((6,),)),
        Example({}, ((3, 5),), "every token"),
        Example({"axis": 0, "eps": 1e-6}, ((4, 2, 3),), "channels of a map"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        resolve_axis(self.axis, x)
        return x

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return whole_along({resolve_axis(self.axis, x)}, x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        y: Array = x / np.maximum(self._norm(x)[1], self.eps)
        return y

    def _norm(self, x: Array) -> tuple[int, Array]:
        """The axis, and the norm along it."""
        axis = array_axis(self.axis, x)
        return axis, np.sqrt(sum_along(np.square(x), axis))

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        axis, norm = self._norm(x)
        divisor = np.maximum(norm, self.eps)
        y = x / divisor
        along = np.where(norm >= self.eps, sum_along(dy * y, axis), 0)
        return Gradients((((dy - y * along) / divisor).astype(dy.dtype),))
