"""Sums and means of reference kernels, which are added up in float64: in float32 the mean of a million equal
numbers would be 1e-2 off where they do not lie side by side."""

from __future__ import annotations

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = [
    "before_softmax",
    "before_standardised",
    "mean_along",
    "softmax_along",
    "standardised",
    "sum_along",
]


def sum_along(x: Array, axes: int | tuple[int, ...]) -> Array:
    """Sum along axes, which stay with extent 1, in the dtype of `x`."""
    made: Array = x.sum(axes, dtype=np.promote_types(x.dtype, np.float64), keepdims=True)
    return made.astype(x.dtype)


def mean_along(x: Array, axes: int | tuple[int, ...]) -> Array:
    """Mean along axes, which stay with extent 1, in the dtype of `x`."""
    made: Array = x.mean(axes, dtype=np.promote_types(x.dtype, np.float64), keepdims=True)
    return made.astype(x.dtype)


def standardised(x: Array, axes: int | tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """`x` less its mean along axes over its deviation, and that deviation along them, the root of the biased
    variance plus `eps`."""
    centred = x - mean_along(x, axes)
    deviation: Array = np.sqrt(mean_along(np.square(centred), axes) + eps)
    return centred / deviation, deviation


def before_standardised(dy: Array, y: Array, deviation: Array, axes: int | tuple[int, ...]) -> Array:
    """The gradient before `standardised`, from `dy` behind it and what it made: through mean and deviation,
    which depend on every element along the axes."""
    dx: Array = (dy - mean_along(dy, axes) - y * mean_along(dy * y, axes)) / deviation
    return dx


def softmax_along(x: Array, axis: int) -> Array:
    """Exponentials over their sum along an axis. The maximum is taken off first, so that none overflows."""
    powers = np.exp(x - x.max(axis, keepdims=True))
    shares: Array = powers / sum_along(powers, axis)
    return shares


def before_softmax(dy: Array, y: Array, axis: int) -> Array:
    """The gradient before `softmax_along`, from `dy` behind it and what it made."""
    dx: Array = y * (dy - (dy * y).sum(axis, keepdims=True))
    return dx
