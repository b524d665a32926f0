"""Convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import mlx.core as mx

from archforge.backends.mlx.channels_last import Params, moved, padded
from archforge.backends.mlx.sums import mean, pairwise
from archforge.ir import TensorType
from archforge.ops.adaptive_pool import AdaptiveAvgPool, AdaptiveMaxPool, windows
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.conv_transpose import ConvTranspose
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.pool import AvgPool, LpPool, MaxPool, window_counts
from archforge.ops.unfold import Unfold
from archforge.ops.window import Window
from archforge.plan import Kernel

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "conv",
    "conv_transpose",
    "global_avg_pool",
    "global_max_pool",
    "lp_pool",
    "max_pool",
    "unfold",
]


def conv(op: Conv, x: TensorType) -> Kernel | None:
    """A convolution over any number of axes; None where MLX has no groups for it."""
    window = op.window(x)
    if not _can_group(op.groups, window):
        return None
    if op.groups == 1 and window.is_pointwise(x.spatial):
        return _pointwise(op)

    symmetric = all(before == after for before, after in window.padding)

    def run(params: Params, x: mx.array) -> mx.array:
        y = mx.conv_general(
            x if symmetric else padded(x, window.padding),
            params["weight"],
            stride=window.stride,
            padding=[before for before, _ in window.padding] if symmetric else 0,
            kernel_dilation=window.dilation,
            groups=op.groups,
        )
        return y + params["bias"] if op.bias else y

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        return {**params, "weight": moved(params["weight"], 1, -1)}  # [O, *kernel, I]

    return Kernel(run, pack, packing=op.kind)


def _pointwise(op: Conv) -> Kernel:
    """A convolution with a kernel of one element: the product of each position's channels with a matrix."""

    def run(params: Params, x: mx.array) -> mx.array:
        y = x @ params["weight"]
        return y + params["bias"] if op.bias else y

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        weight = params["weight"]
        return {**params, "weight": weight.reshape(weight.shape[:2]).T}  # [I, O]

    return Kernel(run, pack, packing=(op.kind, "pointwise"))


def conv_transpose(op: ConvTranspose, x: TensorType) -> Kernel | None:
    """A transposed convolution, as a convolution with the kernel turned round, over the input with stride - 1
    zeros between its elements.

    None where MLX has no groups for it. Source: arXiv:1603.07285, chapter 4.
    """
    window = op.window(x)
    if not _can_group(op.groups, window):
        return None
    inputs, outputs = x.channels // op.groups, op.out // op.groups
    margin = [reach - 1 for reach in window.reach]
    full = [(n - 1) * s + r for n, s, r in zip(x.spatial, window.stride, window.reach, strict=True)]
    crop = [
        (-before, size + before - whole)  # what `after` and `output_padding` come to
        for (before, _), size, whole in zip(window.padding, op.infer(x).spatial, full, strict=True)
    ]

    def run(params: Params, x: mx.array) -> mx.array:
        y = mx.conv_general(
            x,
            params["weight"],
            padding=margin,
            kernel_dilation=window.dilation,
            input_dilation=window.stride,
            groups=op.groups,
            flip=True,
        )
        y = padded(y, crop)
        return y + params["bias"] if op.bias else y

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        weight = params["weight"].reshape(op.groups, inputs, outputs, *window.kernel)
        weight = moved(weight, 1, -1).reshape(op.out, *window.kernel, inputs)
        return {**params, "weight": weight}

    return Kernel(run, pack, packing=op.kind)


def _can_group(groups: int, window: Window) -> bool:
    """True if MLX has it; it "can only handle groups != 1 in 1D or 2D convolutions"."""
    return groups == 1 or len(window.kernel) < 3


def max_pool(op: MaxPool, x: TensorType) -> Kernel:
    """The largest of each window."""
    window, sizes = op.window(x), x.spatial
    return Kernel(
        lambda params, x: _over_windows(mx.maximum, padded(x, window.margins(sizes), -math.inf), window)
    )


def avg_pool(op: AvgPool, x: TensorType) -> Kernel:
    """The mean of each window."""
    window, sizes = op.window(x), x.spatial

    def run(params: Params, x: mx.array) -> mx.array:
        return (_window_sums(x, window, sizes) * params["share"]).astype(x.dtype)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        counts = window_counts(window, sizes, include_padding=op.count_include_pad)
        return {"share": 1 / counts[..., None]}

    return Kernel(run, pack)


def lp_pool(op: LpPool, x: TensorType) -> Kernel:
    """The p-norm of each window."""
    window, sizes = op.window(x), x.spatial

    def run(params: Params, x: mx.array) -> mx.array:
        total = _window_sums(mx.abs(x).astype(mx.float32) ** op.norm, window, sizes)
        return ((total * params["share"]) ** (1 / op.norm)).astype(x.dtype)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        counts = window_counts(window, sizes, include_padding=True)
        return {"share": math.prod(window.kernel) / counts[..., None]}

    return Kernel(run, pack)


def _window_sums(x: mx.array, window: Window, sizes: tuple[int, ...]) -> mx.array:
    """The sum of each window, in float32; padding counts as 0."""
    return _over_windows(mx.add, padded(x.astype(mx.float32), window.margins(sizes)), window)


def _over_windows(combine: Callable[[mx.array, mx.array], mx.array], x: mx.array, window: Window) -> mx.array:
    """The combination of the elements of each window over padded maps, axis by axis."""
    along = zip(window.kernel, window.stride, window.dilation, window.output, strict=True)
    for axis, (places, stride, dilation, length) in enumerate(along, start=1):
        before = (slice(None),) * axis
        starts = (place * dilation for place in range(places))
        x = pairwise(combine, [x[(*before, slice(a, a + (length - 1) * stride + 1, stride))] for a in starts])
    return x


def global_avg_pool(op: GlobalAvgPool, x: TensorType) -> Kernel:
    """The mean of each whole map."""
    axes, shape = range(1, len(x.shape)), op.infer(x).shape
    return Kernel(lambda params, x: mean(x, axes).astype(x.dtype).reshape(len(x), *shape[1:], shape[0]))


def global_max_pool(op: GlobalMaxPool, x: TensorType) -> Kernel:
    """The largest of each whole map."""
    axes = list(range(1, len(x.shape)))
    return Kernel(lambda params, x: mx.max(x, axes, keepdims=op.keep))


def adaptive_avg_pool(op: AdaptiveAvgPool, x: TensorType) -> Kernel:
    """Means over parts of a map, axis by axis."""
    return _over_parts(mean, x.spatial, op.infer(x).spatial)


def adaptive_max_pool(op: AdaptiveMaxPool, x: TensorType) -> Kernel:
    """The largest of parts of a map, axis by axis."""
    return _over_parts(lambda part, axes: mx.max(part, axes, keepdims=True), x.spatial, op.infer(x).spatial)


def _over_parts(
    reduce: Callable[[mx.array, list[int]], mx.array], sizes: tuple[int, ...], counts: tuple[int, ...]
) -> Kernel:
    """One number for each of `counts` parts along each axis."""

    def run(params: Params, x: mx.array) -> mx.array:
        dtype = x.dtype
        for axis, (size, count) in enumerate(zip(sizes, counts, strict=True), start=1):
            before = (slice(None),) * axis
            parts = (x[(*before, window)] for window in windows(size, count))
            x = mx.concatenate([reduce(part, [axis]) for part in parts], axis)
        return x.astype(dtype)

    return Kernel(run)


def unfold(op: Unfold, x: TensorType) -> Kernel:
    """The elements under each position of a window, one tap after the other."""
    window = op.window(x)

    def run(params: Params, x: mx.array) -> mx.array:
        x = padded(x, window.padding)
        taps = [x[(slice(None), *under)] for _, under in window.taps()]
        return mx.stack(taps, -1).reshape(len(x), -1, x.shape[-1] * len(taps))

    return Kernel(run)
