"""Values with their channels last: MLX's convolutions take [N, *spatial, C], the reference [N, C, *spatial].

Only the number of axes matters, so that a value (time, features) moves its axes as a 1-D map does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx

from archforge.ir import TensorType

__all__ = ["Params", "axis_of", "channels_first", "channels_last", "moved", "padded"]

Params = Mapping[str, mx.array]


def axis_of(axis: int, x: TensorType) -> int:
    """The axis of a value that holds axis `axis` of `x`, which is counted from 0 without the batch."""
    return axis or len(x.shape)


def channels_first(x: mx.array) -> mx.array:
    """A value in the reference's order of axes."""
    return mx.moveaxis(x, -1, 1)


def channels_last(x: mx.array) -> mx.array:
    """A value from the reference's order of axes."""
    return mx.moveaxis(x, 1, -1)


def moved(array: Any, axis: int, to: int) -> Any:
    """A parameter with an axis at another place: an array of NumPy, or of MLX where training packs it."""
    order = list(range(array.ndim))
    order.insert(to % array.ndim, order.pop(axis))
    return array.transpose(order)


def padded(x: mx.array, widths: Sequence[tuple[int, int]], value: float = 0.0) -> mx.array:
    """`x` with `value` around its spatial axes, (before, after) for each; negative numbers crop."""
    added = [(max(a, 0), max(b, 0)) for a, b in widths]
    if any(map(any, added)):
        x = mx.pad(x, [(0, 0), *added, (0, 0)], constant_values=value)
    if all(a >= 0 and b >= 0 for a, b in widths):
        return x
    kept = [slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape[1:], strict=False)]
    return x[(slice(None), *kept)]
