"""Sums and means of reference kernels, which are added up in float64: in float32 the mean of a million equal
numbers would be 1e-2 off where they do not lie side by side."""

from __future__ import annotations

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["mean_along", "sum_along"]


def sum_along(x: Array, axes: int | tuple[int, ...]) -> Array:
    """Sum along axes, which stay with extent 1, in the dtype of `x`."""
    made: Array = x.sum(axes, dtype=np.promote_types(x.dtype, np.float64), keepdims=True)
    return made.astype(x.dtype)


def mean_along(x: Array, axes: int | tuple[int, ...]) -> Array:
    """Mean along axes, which stay with extent 1, in the dtype of `x`."""
    made: Array = x.mean(axes, dtype=np.promote_types(x.dtype, np.float64), keepdims=True)
    return made.astype(x.dtype)
