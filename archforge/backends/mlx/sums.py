"""Sums in float32, whatever the dtype of the values: of parts first, so that long ones lose no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mlx.core as mx

__all__ = ["mean", "pairwise", "total"]

MOST = 32  # numbers that are summed at once: on the CPU one after the other


def total(x: mx.array, axes: Sequence[int]) -> mx.array:
    """Sum along axes, which stay with extent 1."""
    x = x.astype(mx.float32)
    if math.prod(x.shape[axis] for axis in axes) <= MOST:
        return mx.sum(x, axes, keepdims=True)
    for axis in axes:
        while x.shape[axis] > 1:
            parts = -(-x.shape[axis] // MOST)
            widths = [(0, parts * MOST - x.shape[axis] if a == axis else 0) for a in range(x.ndim)]
            shape = (*x.shape[:axis], parts, MOST, *x.shape[axis + 1 :])
            x = mx.sum(mx.pad(x, widths).reshape(shape), axis + 1)
    return x


def mean(x: mx.array, axes: Sequence[int]) -> mx.array:
    """Mean along axes, which stay with extent 1."""
    return total(x, axes) / math.prod(x.shape[axis] for axis in axes)


def pairwise(combine: Callable[[mx.array, mx.array], mx.array], values: Sequence[mx.array]) -> mx.array:
    """The combination of all values: of neighbours first, then of what these make."""
    while len(values) > 1:
        paired = [combine(x, y) for x, y in zip(values[::2], values[1::2], strict=False)]
        values = [*paired, *values[2 * len(paired) :]]
    return values[0]
