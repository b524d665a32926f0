"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Reach, TensorType
from archforge.ops.base import (
    OUTPUT,
    Array,
    Axis,
    Backward,
    Example,
    Gradients,
    Op,
    array_axis,
    resolve_axis,
    whole_along,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import before_softmax, softmax_along, sum_along

__all__ = ["LogSoftmax", "Softmax"]


class Softmax(Op):
    """exp(x) over its sum along `axis`: the features of (features,), the channels of a map. The
    features of (time, features) are `axis: -1`.

    Attributes:
        axis: axis along which the outputs sum to 1
    """

    op = "softmax"
    gradient_reads = OUTPUT

    axis: Axis = 0

    examples = (
        Example({}, ((6,),)),
        Example({}, ((4, 2, 3),), "channels of a map"),
        Example({"axis": -1}, ((3, 5),), "every time step"),
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
        return softmax_along(x, array_axis(self.axis, x))

    def gradient(self, back: Backward) -> Gradients:
        y, dy = back.output, back.dy
        return Gradients((before_softmax(dy, y, array_axis(self.axis, y)),))


class LogSoftmax(Softmax):
    """Logarithm of softmax, without the underflow of its small values."""

    op = "log_softmax"
    is_idempotent = True

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        axis = array_axis(self.axis, x)
        shifted = x - x.max(axis, keepdims=True)
        y: Array = shifted - np.log(sum_along(np.exp(shifted), axis))
        return y

    def gradient(self, back: Backward) -> Gradients:
        y, dy = back.output, back.dy
        return Gradients((dy - np.exp(y) * dy.sum(array_axis(self.axis, y), keepdims=True),))
