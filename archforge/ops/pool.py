"""Pooling over sliding windows: the largest element, the mean and the Lp norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Annotated, Any

from pydantic import Field

from archforge.ir import ELEMENTWISE, Reach, ShapeError, TensorType
from archforge.ops.base import (
    INPUTS,
    OUTPUT,
    Array,
    Backward,
    Example,
    Extent,
    Flag,
    Gradients,
    Op,
    Padding,
    PositiveReal,
    require_rank,
)
from archforge.ops.lazy_numpy import np
from archforge.ops.window import Window, crop_spatial, pad_spatial, padded_zeros, resolve_window

__all__ = ["AvgPool", "LpPool", "MaxPool"]

Step = Annotated[
    Extent | None,
    Field(description="a positive whole number, a list of one per axis, or null for the kernel's extent"),
]

# Windows and inputs on which every kind of pool is tested.
_WINDOWS: tuple[tuple[dict[str, Any], tuple[int, ...], str], ...] = (
    ({"kernel": 2}, (3, 6, 7), "stride is the kernel"),
    ({"kernel": 3, "stride": 2, "padding": 1}, (2, 7, 8), ""),
    ({"kernel": 3, "stride": 2, "ceil": True}, (2, 6, 8), "partial windows"),
    ({"kernel": 3, "stride": 2, "padding": 1, "ceil": True}, (2, 6, 5), "partial windows over padding"),
    ({"kernel": 3, "stride": 2, "ceil": True}, (2, 2, 2), "one window, and it is partial"),
    ({"kernel": (1, 2), "stride": 1, "padding": "same_upper"}, (2, 4, 5), "uneven"),
    ({"kernel": 3, "stride": 2, "padding": ((0, 1), (1, 0))}, (2, 6, 6), "asymmetric"),
    ({"kernel": 3, "stride": 1, "padding": "same"}, (3, 6), "1-D"),
    ({"kernel": (1, 2, 2)}, (2, 3, 4, 5), "3-D"),
)
_EXAMPLES = tuple(Example(attributes, (shape,), note) for attributes, shape, note in _WINDOWS)


class _PoolOp(Op):
    """A pool over sliding windows. x: float[N, C, *spatial] with 1 to 3 spatial axes.

    Attributes:
        kernel: extent of the window along each spatial axis, in elements
        stride: elements of the input from a window to the next, along each spatial axis
        padding: elements put around the input, at both ends of each spatial axis, at most half of the window;
            `same` and `same_upper` follow from the kernel
        ceil: adds a last, partial window where the stride leaves elements over, as `ceil_mode` in torch
    """

    kernel: Extent
    stride: Step = None
    padding: Padding = 0
    ceil: Flag = False

    @property
    def is_idle(self) -> bool:
        return self.stride in (None, 1) and self.kernel == 1 and self.padding in (0, "same", "same_upper")

    def window(self, x: TensorType) -> Window:
        """The window over `x`. Raises `ShapeError` if it does not fit."""
        return self._window(x, 1)

    def _window(self, x: TensorType, dilation: int | tuple[int, ...]) -> Window:
        stride = self.kernel if self.stride is None else self.stride
        window = resolve_window(
            x, kernel=self.kernel, stride=stride, padding=self.padding, dilation=dilation, ceil=self.ceil
        )
        for pads, reach in zip(window.padding, window.reach, strict=True):
            if max(pads) > reach // 2:
                raise ShapeError(
                    "padding must be at most half of the window, or a window could see nothing else",
                    "padding",
                    label=f"{max(pads)} > {reach} // 2",
                    code="E0404",
                )
        return window

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), f"`{self.kind}`")
        return TensorType((x.channels, *self.window(x).output))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (ELEMENTWISE, *self.window(*inputs).reaches())


class MaxPool(_PoolOp):
    """Largest element of each window. Padding counts as -inf, not 0.

    Attributes:
        dilation: elements of the input from a tap of the window to the next, along each spatial axis
    """

    op = "max_pool"
    gradient_reads = INPUTS | OUTPUT

    dilation: Extent = 1

    examples = (
        *_EXAMPLES,
        Example({"kernel": 2, "stride": 1, "dilation": 2, "padding": 1}, ((2, 5, 6),), "dilated"),
    )

    def window(self, x: TensorType) -> Window:
        return self._window(x, self.dilation)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        window = self.window(TensorType(x.shape[1:]))
        padded = pad_spatial(x, window, -np.inf)
        y = np.full((*x.shape[:2], *window.output), -np.inf, x.dtype)
        for _, slices in window.taps():
            np.maximum(y, padded[(slice(None), slice(None), *slices)], out=y)
        return y

    def gradient(self, back: Backward) -> Gradients:
        """The first of several largest elements of a window, in the order of rows, takes it all."""
        (x,), y, dy = back.inputs, back.output, back.dy
        window = self.window(TensorType(x.shape[1:]))
        padded = pad_spatial(x, window, -np.inf)
        dpadded, is_free = np.zeros_like(padded), np.ones(y.shape, bool)
        for _, slices in window.taps():
            under = (slice(None), slice(None), *slices)
            takes = padded[under] == y
            takes &= is_free
            dpadded[under] += dy * takes
            is_free ^= takes
        return Gradients((crop_spatial(dpadded, window, x.shape[2:]),))


class AvgPool(_PoolOp):
    """Mean of each window: its sum over the number of its elements.

    Padding counts as elements of value 0 if `count_include_pad`; what a partial window of `ceil`
    overhangs never counts. Source: torch.nn.AvgPool2d.

    Attributes:
        count_include_pad: counts padding as elements of value 0; without it the mean is of the elements
            inside the input
    """

    op = "avg_pool"

    count_include_pad: Flag = True

    examples = (
        *_EXAMPLES,
        *(Example({**e.attributes, "count_include_pad": False}, e.inputs, e.note) for e in _EXAMPLES),
    )

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        window = self.window(TensorType(x.shape[1:]))
        counts = window_counts(window, x.shape[2:], include_padding=self.count_include_pad)
        return window_sums(x, window) / counts.astype(x.dtype)

    def gradient(self, back: Backward) -> Gradients:
        sizes = back.inputs[0].shape[2:]
        window = self.window(TensorType(back.inputs[0].shape[1:]))
        counts = window_counts(window, sizes, include_padding=self.count_include_pad)
        return Gradients((_spread(back.dy / counts.astype(back.dy.dtype), window, sizes),))


class LpPool(_PoolOp):
    """Lp norm of each window: the sum of |x|^norm, to the power 1 / norm.

    Padding counts as 0. A partial window of `ceil` is scaled up to the extent of a full one, as in
    torch; torch does not take |x|, which matters for odd norms of negative elements only.
    Source: torch.nn.LPPool2d; ONNX LpPool.

    Attributes:
        norm: power p of the norm: 2 is the root of the sum of squares
    """

    op = "lp_pool"
    gradient_reads = INPUTS | OUTPUT

    norm: PositiveReal = 2.0

    examples = (
        *_EXAMPLES,
        Example({"kernel": 2, "norm": 1}, ((2, 4, 4),), "sum of magnitudes"),
        Example({"kernel": 2, "norm": 3.0}, ((2, 4, 4),)),
    )

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        window = self.window(TensorType(x.shape[1:]))
        return (window_sums(np.abs(x) ** self.norm, window) * self._scale(x, window)) ** (1 / self.norm)

    def gradient(self, back: Backward) -> Gradients:
        """A window of zeros has gradient 0."""
        (x,), y = back.inputs, back.output
        window = self.window(TensorType(x.shape[1:]))
        is_zero = y == 0
        weighed = np.where(is_zero, 0, back.dy * self._scale(x, window)) * np.where(is_zero, 1, y) ** (
            1 - self.norm
        )
        slope = np.sign(x) * np.abs(np.where(x == 0, 1, x)) ** (self.norm - 1)
        return Gradients((slope * _spread(weighed, window, x.shape[2:]),))

    def _scale(self, x: Array, window: Window) -> Array:
        """Elements of a full window over those of each window, padding included: float[*output]."""
        counts = window_counts(window, x.shape[2:], include_padding=True)
        scale: Array = (math.prod(window.kernel) / counts).astype(x.dtype)
        return scale


def window_sums(x: Array, window: Window) -> Array:
    """Sum of each window of `x` float[N, C, *spatial], in its dtype; padding counts as 0."""
    y = pad_spatial(x, window).astype(np.promote_types(x.dtype, np.float64))
    along = zip(window.kernel, window.stride, window.dilation, window.output, strict=True)
    for axis, (places, stride, dilation, length) in enumerate(along, start=2):
        before = (slice(None),) * axis
        starts = range(0, places * dilation, dilation)
        y = reduce(np.add, (y[(*before, slice(a, a + (length - 1) * stride + 1, stride))] for a in starts))
    return y.astype(x.dtype)


def _spread(dy: Array, window: Window, sizes: tuple[int, ...]) -> Array:
    """The gradient of `window_sums` over maps of `sizes`: each element of `dy` for its whole window."""
    padded = padded_zeros((*dy.shape[:2], *sizes), window, dy.dtype)
    for _, slices in window.taps():
        padded[(slice(None), slice(None), *slices)] += dy
    return crop_spatial(padded, window, sizes)


def window_counts(window: Window, sizes: tuple[int, ...], *, include_padding: bool) -> Array:
    """Number of elements of each window over `sizes`: float64[*output], undilated."""
    counts: Array = np.ones(())
    for axis, (before, after) in enumerate(window.padding):
        low, high = (-before, sizes[axis] + after) if include_padding else (0, sizes[axis])
        starts = np.arange(window.output[axis]) * window.stride[axis] - before
        ends = np.minimum(starts + window.kernel[axis], high)
        counts = counts[..., None] * (ends - np.maximum(starts, low))
    return counts
