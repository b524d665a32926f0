"""Bands of rows that fit a cache, and windows over them.

A kernel is called as `run(params, *inputs, out=..., scratch=..., epilogue=...)` with values float32 [N,
*spatial, C], whose pixels may lie further apart than C where they are inside a concatenation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from archforge.ops.base import Array
from archforge.ops.window import Window

__all__ = [
    "Band",
    "BandReader",
    "bands",
    "pixels",
    "windows",
]

BAND_BYTES = 2 << 20  # what is worked on at a time: the L2 caches of two cores or more

# Images and rows of their first spatial axis: all rows of several images, or some rows of one.
Band = tuple[slice, slice]


def bands(batch: int, rows: int, row_bytes: int, most: int = BAND_BYTES) -> Iterator[Band]:
    """Bands of at most `most` bytes and at least a row each, that cover so many images of so many rows."""
    fitting = rows_within(most, row_bytes)
    images = max(1, fitting // rows)
    height = -(-rows // -(-rows // fitting))
    for n in range(0, batch, images):
        for a in range(0, rows, height):
            yield slice(n, min(n + images, batch)), slice(a, min(a + height, rows))


def rows_within(most: int, row_bytes: int) -> int:
    """The number of rows within so many bytes, at least 1."""
    return max(1, most // row_bytes)


def pixels(value: Array) -> Array:
    """A view of a value as [pixels, C]."""
    return value.reshape(-1, value.shape[-1], copy=False)


def windows(band: Array, window: Window, rows: int) -> Array:
    """A view [N, rows, *output, *kernel, C] of windows in a band of padded maps, for `rows` rows."""
    n, *steps, channel = band.strides
    return as_strided(
        band,
        (len(band), rows, *window.output[1:], *window.kernel, band.shape[-1]),
        (
            n,
            *(step * s for step, s in zip(steps, window.stride, strict=True)),
            *(step * d for step, d in zip(steps, window.dilation, strict=True)),
            channel,
        ),
        writeable=False,
    )


class BandReader:
    """A reader of maps band by band, with the padding that windows see."""

    def __init__(self, window: Window, sizes: tuple[int, ...], value: float = 0.0) -> None:
        self.window = window
        self.margins = window.margins(sizes)
        self.value = value
        self.is_padded = any(map(any, self.margins))

    def shape(self, band: Band, sizes: tuple[int, ...], channels: int) -> tuple[int, ...]:
        """The shape of the padded copy of a band, or (0,) if the maps need no padding."""
        images, rows = band
        if not self.is_padded:
            return (0,)
        extents = [n + sum(m) for n, m in zip(sizes, self.margins, strict=True)]
        return (images.stop - images.start, self._reach(rows), *extents[1:], channels)

    def read(self, x: Array, band: Band, memory: Array) -> Array:
        """The part of `x` [N, *spatial, C] that the rows of a band see: copied to `memory` with its padding,
        or a view if the maps need none."""
        images, rows = band
        first = rows.start * self.window.stride[0] - self.margins[0][0]
        count = self._reach(rows)
        if not self.is_padded:
            return x[images, first : first + count]
        return fill_band(memory, x[images], first, self.margins[1:], self.value)

    def _reach(self, rows: slice) -> int:
        """Rows of the source that so many rows of results see."""
        count: int = rows.stop - rows.start
        return (count - 1) * self.window.stride[0] + self.window.reach[0]


def fill_band(
    memory: Array, x: Array, first: int, margins: Sequence[tuple[int, int]], value: float = 0.0
) -> Array:
    """Fill `memory` [N, rows, *padded, C] with the rows of `x` from `first` on, and with `value` where `x`
    has no row or column. `margins` are those of the columns, (before, after)."""
    rows = memory.shape[1]
    low = min(max(first, 0), x.shape[1])
    high = max(low, min(first + rows, x.shape[1]))
    memory[:, : low - first] = value
    memory[:, high - first :] = value
    kept = memory[:, low - first : high - first]
    for axis, (before, after) in enumerate(margins, start=2):
        along = (slice(None),) * axis
        size = kept.shape[axis]
        kept[(*along, slice(0, before))] = value
        kept[(*along, slice(size - after, size))] = value
        kept = kept[(*along, slice(before, size - after))]
    np.copyto(kept, x[:, low:high])
    return memory
