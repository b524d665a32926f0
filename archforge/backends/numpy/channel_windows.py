"""Windows over each channel by itself: depthwise convolutions, and pools, axis by axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from archforge.backends.numpy.bands import BandReader, bands, windows
from archforge.backends.numpy.call_memory import Scratch
from archforge.backends.numpy.epilogues import Part, in_parts
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.global_pool import GlobalAvgPool
from archforge.ops.pool import AvgPool, MaxPool, window_counts
from archforge.ops.window import Window
from archforge.plan import Kernel

__all__ = ["avg_pool", "depthwise", "global_avg_pool", "max_pool"]

LONG = 1024  # floats of a vector that outlast the time between two of them
# Of results: of depthwise convolutions, and of pools, which read them again for each place of the kernel.
DEPTHWISE_BYTES, POOL_BYTES = 1 << 19, 1 << 17
# Numbers that are added one after the other in float32, and those of one matrix product. Sums of more would
# lose more than 1e-6, that of a million equal numbers 1e-2.
MOST_IN_FLOAT32, MOST_IN_PRODUCT = 8, 16


def depthwise(op: Conv, x: TensorType) -> Kernel:
    """A depthwise convolution: for each stretch of an image's row, all places of the kernel one after the
    other, while the stretch is in the cache."""
    window, sizes = op.window(x), x.spatial
    reader = BandReader(window, sizes)
    per_row = 4 * math.prod((*window.output[1:], x.channels))
    stretch = _stretch(window, x.channels)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        weight = params["weight"].reshape(op.out, -1).T
        return {**params, "weight": np.ascontiguousarray(np.tile(weight, stretch))}

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        for band in bands(len(x), window.output[0], per_row, DEPTHWISE_BYTES):
            y = out[band]
            (memory,) = scratch(reader.shape(band, sizes, x.shape[-1]))
            seen = windows(reader.read(x, band, memory), window, y.shape[1])
            _sum_of_products(seen, params["weight"], y)
            yield band

    return in_parts(parts, pack, ("stretches", stretch))


def _stretch(window: Window, channels: int) -> int:
    """Pixels of a row whose channels are taken as one vector: as few as reach `LONG`, of which rows are made
    up. 1 where they do not lie side by side in the source."""
    if len(window.output) < 2 or window.stride[-1] > 1:
        return 1
    width = window.output[-1]
    return next(n for n in range(1, width + 1) if width % n == 0 and (n == width or n * channels >= LONG))


def _sum_of_products(seen: Array, weight: Array, out: Array) -> None:
    """Write the sums over the kernel of windows [N, *pixels, *kernel, C], times weights
    [kernel, stretch * C], to `out` [N, *pixels, C]."""
    axes, channels = out.ndim, out.shape[-1]
    stretch = weight.shape[1] // channels
    steps, item = seen.strides, seen.itemsize
    pixels, kernel = seen.shape[: axes - 1], seen.shape[axes - 1 : -1]
    if stretch > 1 and {steps[axes - 2], out.strides[-2]} == {item * channels}:
        *rows, width = pixels
        seen = as_strided(
            seen,
            (*rows, width // stretch, *kernel, stretch * channels),
            (*steps[: axes - 2], stretch * steps[axes - 2], *steps[axes - 1 :]),
            writeable=False,
        )
        out = out.reshape(*rows, width // stretch, stretch * channels, copy=False)
    else:  # pixels that are parts of others, in a concatenation
        weight = weight[:, :channels]
    places, last = range(axes - 1), 2 * axes
    inner = range(axes, axes + len(kernel))
    terms: list[Any] = [seen, [*places, *inner, last], weight.reshape(*kernel, -1), [*inner, last]]
    np.einsum(*terms, [*places, last], out=out)


def max_pool(op: MaxPool, x: TensorType) -> Kernel:
    """The largest of each window."""
    return _pool(op.window(x), x, np.maximum, -math.inf)


def avg_pool(op: AvgPool, x: TensorType) -> Kernel:
    """The mean of each window."""
    window = op.window(x)
    counts = window_counts(window, x.spatial, include_padding=op.count_include_pad)
    return _pool(window, x, np.add, 0.0, (1 / counts[..., None]).astype(np.float32))


def _pool(
    window: Window, x: TensorType, reduce: np.ufunc, value: float, share: Array | None = None
) -> Kernel:
    """A kernel that reduces windows axis by axis; `value` is the padding, `share` a factor of results."""
    sizes = x.spatial
    reader = BandReader(window, sizes, value)
    per_row = 4 * math.prod((*sizes[1:], x.channels))

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        for band in bands(len(x), window.output[0], per_row, POOL_BYTES):
            y = out[band]
            padded = [n + sum(m) for n, m in zip(sizes, reader.margins, strict=True)]
            shapes = [(*y.shape[: axis + 1], *padded[axis:], y.shape[-1]) for axis in range(1, len(padded))]
            memory, *between = scratch(reader.shape(band, sizes, x.shape[-1]), *shapes)
            seen = reader.read(x, band, memory)
            for axis, made in enumerate([*between, y]):
                _reduce(reduce, seen, axis, window, made)
                seen = made
            if share is not None:
                np.multiply(y, share[band[1]], out=y)
            yield band

    return in_parts(parts)


def _reduce(reduce: np.ufunc, x: Array, axis: int, window: Window, out: Array) -> None:
    """Reduce windows along one spatial axis of `x` to `out`."""
    step, length = window.stride[axis], out.shape[axis + 1]
    before = (slice(None),) * (axis + 1)
    starts = [i * window.dilation[axis] for i in range(window.kernel[axis])]
    first, *others = (x[(*before, slice(a, a + (length - 1) * step + 1, step))] for a in starts)
    made = out
    if reduce is np.add and len(starts) > MOST_IN_FLOAT32:
        made = first = first.astype(np.float64)
    elif not others:
        np.copyto(out, first)
    for other in others:
        reduce(first, other, out=made)
        first = made
    if made is not out:
        np.copyto(out, made, casting="same_kind")


def global_avg_pool(op: GlobalAvgPool, x: TensorType) -> Kernel:
    """The mean of each map: products of parts of it with equal shares, whose sums are added up in float64."""
    area = math.prod(x.spatial)
    parts, rest = divmod(area, MOST_IN_PRODUCT)
    share = np.full((1, MOST_IN_PRODUCT), 1 / area, np.float32)

    def run(params: Mapping[str, Array], x: Array, *, out: Array, scratch: Scratch) -> None:
        images, channels = len(x), x.shape[-1]
        x = x.reshape(images, area, channels, copy=False)
        whole = x[:, rest:].reshape(images, parts, MOST_IN_PRODUCT, channels, copy=False)
        (sums,) = scratch((images, 1 + parts, 1, channels))
        np.matmul(share[:, :rest], x[:, :rest], out=sums[:, 0])
        np.matmul(share, whole, out=sums[:, 1:])
        made = sums.sum(1, dtype=np.float64)
        np.copyto(out.reshape(made.shape, copy=False), made, casting="same_kind")

    return Kernel(run)
