"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from archforge.ir import Reach, TensorType
from archforge.ops.base import Array, Axis, Example, Op, resolve_axis, whole_along
from archforge.ops.lazy_numpy import np

__all__ = ["LogSoftmax", "Softmax"]


class Softmax(Op):
    """exp(x) over its sum along `axis`: the features of (features,), the channels of a map. The
    features of (time, features) are `axis: -1`.

    Attributes:
        axis: axis along which the outputs sum to 1
    """

    op: ClassVar[str] = "softmax"

    axis: Axis = 0

    examples: ClassVar = (
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
        shifted, total = self._shifted(inputs[0])
        return np.exp(shifted) / total

    def _shifted(self, x: Array) -> tuple[Array, Array]:
        """`x` less its maximum, so that no exponential overflows, and the sum of exponentials."""
        axis = resolve_axis(self.axis, TensorType(x.shape[1:])) + 1
        shifted = x - x.max(axis, keepdims=True)
        return shifted, np.exp(shifted).sum(axis, keepdims=True)


class LogSoftmax(Softmax):
    """Logarithm of softmax, without the underflow of its small values."""

    op: ClassVar[str] = "log_softmax"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        shifted, total = self._shifted(inputs[0])
        return shifted - np.log(total)
