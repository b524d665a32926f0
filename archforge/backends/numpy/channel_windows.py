"""Windows over each channel by itself: depthwise convolutions, and pools, axis by axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from archforge.backends.numpy.bands import BandReader, bands
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

BAND_BYTES = 1 << 17  # of results, which are read again for each place of the kernel
# Numbers that are added one after the other in float32, and those of one matrix product. Sums of more would
# lose more than 1e-6, that of a million equal numbers 1e-2.
MOST_IN_FLOAT32, MOST_IN_PRODUCT = 8, 16


def depthwise(op: Conv, x: TensorType) -> Kernel:
    """A depthwise convolution: one product of a band for each place of the kernel."""
    window, sizes = op.window(x), x.spatial
    reader = BandReader(window, sizes)
    per_row = 4 * math.prod((*window.output[1:], x.channels))

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        # For a whole row of windows: products of short arrays take twice as long.
        weight = params["weight"].reshape(op.out, -1).T
        row = (len(weight), *window.output[1:], op.out)
        along = weight.reshape(len(weight), *(1,) * (len(row) - 2), op.out)
        return {**params, "weight": np.ascontiguousarray(np.broadcast_to(along, row))}

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        for band in bands(len(x), window.output[0], per_row, BAND_BYTES):
            y = out[band]
            memory, product = scratch(reader.shape(band, sizes, x.shape[-1]), y.shape)
            seen = reader.read(x, band, memory)
            taps = (seen[(slice(None), *s)] for s in _taps(window, y.shape[1]))
            for i, (tap, weight) in enumerate(zip(taps, params["weight"], strict=True)):
                np.multiply(tap, weight, out=product if i else y)
                if i:
                    np.add(y, product, out=y)
            yield band

    return in_parts(parts, pack, ("rows", *window.output[1:]))


def _taps(window: Window, rows: int) -> list[Part]:
    """Slices of the elements under each place of the kernel, for windows in `rows` rows of results."""
    stop = (rows - 1) * window.stride[0] + 1
    return [(slice(s[0].start, s[0].start + stop, s[0].step), *s[1:]) for _, s in window.taps()]


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
        for band in bands(len(x), window.output[0], per_row, BAND_BYTES):
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
