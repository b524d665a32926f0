"""Ops that other formats have and specs do not: arithmetic with constants, from which a normaliser makes
ops of ours. No spec can name them; what is left of them at the end is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from archforge.class_vars import read_once
from archforge.ir import Op, ParamDecl, TensorType
from archforge.ops.base import Array
from archforge.ops.erf import erf
from archforge.ops.lazy_numpy import np

__all__ = [
    "AddAlong",
    "Erf",
    "ForeignOp",
    "MaxAlong",
    "MeanAlong",
    "MultiplyAlong",
    "NormAlong",
    "Power",
]


@read_once
class ForeignOp(Op):
    """An op without a name in specs; `says` is what messages call it."""

    says: ClassVar[str]

    @property
    def kind(self) -> str:
        return type(self).says


class _Along(ForeignOp):
    """An op with one number for each position along `axis`, the batch not counted."""

    axis: int

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        return {"": ParamDecl((inputs[0].shape[self.axis],))}

    def _spread(self, params: Mapping[str, Array], x: Array) -> Array:
        return params[""].reshape(-1, *(1,) * (x.ndim - 2 - self.axis))


class AddAlong(_Along):
    """x + constants along an axis."""

    says: ClassVar[str] = "added constants"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return inputs[0] + self._spread(params, inputs[0])


class MultiplyAlong(_Along):
    """x * constants along an axis."""

    says: ClassVar[str] = "a product with constants"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return inputs[0] * self._spread(params, inputs[0])


class _Over(ForeignOp):
    """A value of all elements along `axes`, the batch not counted; these have an extent of 1 then."""

    axes: tuple[int, ...]

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        return TensorType(tuple(1 if axis in self.axes else n for axis, n in enumerate(x.shape)))

    def _in_array(self) -> tuple[int, ...]:
        return tuple(axis + 1 for axis in self.axes)


class MeanAlong(_Over):
    """Mean of the elements along axes."""

    says: ClassVar[str] = "a mean along axes"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.asarray(inputs[0].mean(self._in_array(), keepdims=True))


class MaxAlong(_Over):
    """Largest of the elements along axes."""

    says: ClassVar[str] = "a maximum along axes"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.asarray(inputs[0].max(self._in_array(), keepdims=True))


class NormAlong(_Over):
    """Square root of the sum of squares along axes."""

    says: ClassVar[str] = "a norm along axes"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.asarray(np.sqrt(np.square(inputs[0]).sum(self._in_array(), keepdims=True)))


class Power(ForeignOp):
    """x to the power of a number."""

    says: ClassVar[str] = "a power"

    exponent: float

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.asarray(inputs[0] ** self.exponent)


class Erf(ForeignOp):
    """The error function of each element."""

    says: ClassVar[str] = "the error function"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.asarray(erf(inputs[0]), inputs[0].dtype)
