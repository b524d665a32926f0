"""3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): the products of 36 frequencies are matrix products,
and so are both transforms, over all tiles of a band at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from archforge.backends.numpy.bands import bands, fill_band
from archforge.backends.numpy.call_memory import Scratch
from archforge.backends.numpy.epilogues import Part, in_parts
from archforge.backends.winograd_forms import (
    WinogradAxis,
    WinogradForm,
    input_transform,
    output_transform,
    transformed_weights,
)
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.plan import Kernel

__all__ = ["convolution", "pays"]

FORM = WinogradForm(WinogradAxis(4, 3), WinogradAxis(4, 3))
OUT, IN, FREQUENCIES = FORM.rows.outputs, FORM.rows.points, FORM.frequencies

BAND_BYTES = 12 << 20  # values and products of a band
FEWEST_TILES = 8  # with fewer, reading four times the weights costs more than the products saved
FEWEST_CHANNELS = 8  # with fewer, the transforms do


def can_take(op: Conv, x: TensorType) -> bool:
    """True for convolutions that F(4x4, 3x3) computes."""
    window, ones = op.window(x), (1, 1)
    return op.groups == 1 and window.kernel == (3, 3) and window.stride == window.dilation == ones


def pays(op: Conv, x: TensorType) -> bool:
    """True if Winograd's method is expected to beat the direct product for one image."""
    if not can_take(op, x) or x.channels < FEWEST_CHANNELS:
        return False
    height, width = op.window(x).output
    tiles = -(-height // OUT) * -(-width // OUT)
    return tiles >= FEWEST_TILES and 2 * FREQUENCIES * tiles < 9 * height * width


def convolution(op: Conv, x: TensorType) -> Kernel:
    """A convolution by F(4x4, 3x3), for any that it can compute."""
    window, channels = op.window(x), x.channels
    tiles_y, tiles_x = (-(-size // OUT) for size in window.output)
    top, left = (before for before, _ in window.padding)
    padded_width = OUT * (tiles_x - 1) + IN
    margins = [(left, padded_width - left - x.spatial[1])]
    per_row = 4 * FREQUENCIES * tiles_x * (channels + op.out)
    to_values, to_outputs = input_transform(FORM), output_transform(FORM)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        u = transformed_weights(params["weight"], FORM)
        return {**params, "weight": np.ascontiguousarray(u.transpose(0, 2, 1))}

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        # Each band reads all weights.
        most = max(BAND_BYTES, params["weight"].nbytes)
        for images, rows in bands(len(x), tiles_y, per_row, most):
            n, k = images.stop - images.start, rows.stop - rows.start
            tiles = n * k * tiles_x
            memory, seen, values, products, made = scratch(
                (n, OUT * (k - 1) + IN, padded_width, channels),
                (IN, IN, n, k, tiles_x, channels),
                (FREQUENCIES, tiles, channels),
                (FREQUENCIES, tiles, op.out),
                (OUT, OUT, n, k, tiles_x, op.out),
            )
            fill_band(memory, x[images], OUT * rows.start - top, margins)
            np.copyto(seen, _tiles(memory, k, tiles_x))
            np.matmul(to_values, seen.reshape(FREQUENCIES, -1), out=values.reshape(FREQUENCIES, -1))
            np.matmul(values, params["weight"], out=products)
            np.matmul(to_outputs, products.reshape(FREQUENCIES, -1), out=made.reshape(OUT * OUT, -1))
            part = images, slice(OUT * rows.start, OUT * rows.stop)
            y = out[part]
            for i in range(OUT):
                for j in range(OUT):
                    every = y[:, i::OUT, j::OUT]
                    np.copyto(every, made[i, j, :, : every.shape[1], : every.shape[2]])
            yield part

    return replace(in_parts(parts, pack, "winograd"), tile_error=FORM.tile_error)


def _tiles(padded: Array, rows: int, columns: int) -> Array:
    """A view [6, 6, N, rows, columns, C] of the tiles of padded maps, which overlap."""
    n, y, x, c = padded.strides
    return as_strided(
        padded,
        (IN, IN, len(padded), rows, columns, padded.shape[-1]),
        (y, x, n, OUT * y, OUT * x, c),
        writeable=False,
    )
