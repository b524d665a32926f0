"""Convolutions as matrix products: windows are copied band by band, those of one pixel to one row, unless
they are just the pixel. Linear layers are one product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from archforge.backends.numpy.bands import BAND_BYTES, BandReader, bands, pixels, windows
from archforge.backends.numpy.call_memory import Scratch
from archforge.backends.numpy.epilogues import Part, in_parts
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.linear import Linear
from archforge.plan import Kernel

__all__ = ["convolution", "linear", "pointwise"]

MOST_COPIED = 32


def _pack(op: Conv, params: Mapping[str, Array]) -> Mapping[str, Array]:
    """The parameters with `weight` as [groups, kernel * inputs, outputs]."""
    weight = params["weight"]
    outputs, inputs = weight.shape[0] // op.groups, weight.shape[1]
    split = weight.reshape(op.groups, outputs, inputs, -1)
    matrix = np.ascontiguousarray(split.transpose(0, 3, 2, 1)).reshape(op.groups, -1, outputs)
    return {**params, "weight": matrix}


def _most(weight: Array) -> int:
    """The most bytes of a band: at least those of the weights, which BLAS copies again for each band."""
    return max(BAND_BYTES, weight.nbytes)


def convolution(op: Conv, x: TensorType) -> Kernel:
    """A convolution of any geometry, as one matrix product per band of rows."""
    window, sizes, groups = op.window(x), x.spatial, op.groups
    reader = BandReader(window, sizes)
    inputs = x.channels // groups
    per_row = math.prod((*window.output[1:], *window.kernel, x.channels))

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        weight = params["weight"]
        for band in bands(len(x), window.output[0], per_row * x.itemsize, _most(weight)):
            images, rows = band
            shape = (images.stop - images.start, rows.stop - rows.start)
            columns = (groups, *shape, *window.output[1:], *window.kernel, inputs)
            memory, matrix = scratch(reader.shape(band, sizes, x.shape[-1]), columns)
            seen = windows(reader.read(x, band, memory), window, shape[1])
            np.copyto(matrix, np.moveaxis(seen.reshape(*seen.shape[:-1], groups, inputs), -2, 0))
            by_group = pixels(out[band]).reshape(-1, groups, op.out // groups, copy=False)
            np.matmul(matrix.reshape(groups, -1, weight.shape[1]), weight, out=by_group.transpose(1, 0, 2))
            yield band

    return in_parts(parts, partial(_pack, op), "matrix")


def pointwise(op: Conv, x: TensorType) -> Kernel:
    """A convolution with a kernel and stride of 1, without padding or groups: one product of pixels."""

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        return _products(x, params["weight"][0], out)

    return in_parts(parts, partial(_pack, op), "matrix", view=pixels)


def linear(op: Linear, x: TensorType) -> Kernel | None:
    """A linear layer over vectors, or over the first or the last axis of a map, bands of whose pixels are one
    product; None over another axis, which is left to the op's own kernel."""
    axis = op.feature_axis(x)
    if axis:
        return _linear_over_last_axis(op, x) if axis == len(x.shape) - 1 else None

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        return _products(x, params["weight"].T, out)

    return in_parts(parts, view=pixels)


def _products(x: Array, matrix: Array, out: Array) -> Iterator[Part]:
    """The product of pixels [pixels, C] with a matrix [C, outputs], band by band."""
    for _, rows in bands(1, len(x), out.shape[1] * out.itemsize, _most(matrix)):
        np.matmul(x[rows], matrix, out=out[rows])
        yield (rows,)


def _linear_over_last_axis(op: Linear, x: TensorType) -> Kernel:
    """A linear layer over the last axis of a map, whose features do not lie side by side: [rows, F, C].

    They are copied to rows of features where C is small: each product would read all weights for it.
    """
    features, columns = x.shape[-1], x.channels

    def view(value: Array) -> Array:
        return value.reshape(-1, *value.shape[-2:], copy=False)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        return {name: array[:, None] if name == "bias" else array for name, array in params.items()}

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        weight = params["weight"]
        for _, rows in bands(1, len(x), out[0].nbytes, _most(weight)):
            if columns >= MOST_COPIED:
                np.matmul(weight, x[rows], out=out[rows])
            else:
                lines = (rows.stop - rows.start, columns)
                seen, made = scratch((*lines, features), (*lines, op.out))
                np.copyto(seen, x[rows].swapaxes(1, 2))
                np.matmul(seen.reshape(-1, features), weight.T, out=made.reshape(-1, op.out))
                np.copyto(out[rows], made.swapaxes(1, 2))
            yield (rows,)

    return in_parts(parts, pack, "columns", view=view)
