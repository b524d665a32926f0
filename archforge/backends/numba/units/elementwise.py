"""Elementwise steps over blocks of channels, and the means and maxima of whole maps."""

from __future__ import annotations

import numpy as np

from archforge.backends.numba.families.codes import (
    ADD,
    AFFINE,
    COPY,
    GATE,
    GLOBAL_MAX,
    GLOBAL_MEAN,
    MULTIPLY,
    SCALE,
    SUBTRACT,
)
from archforge.backends.numba.units.area import copy
from archforge.backends.numba.units.basics import LANES, VECTOR, call_unit, device, elements_record, floats

__all__ = ["elementwise"]


def elementwise(row: int, unit: int, scratch: int) -> None:
    """One chunk of one image."""
    r = elements_record(row)
    image, chunk = unit // r.chunks, unit % r.chunks
    begin = chunk * r.chunk
    count = min(r.chunk, r.count - begin)
    x = r.x + image * r.x_image + begin * 4
    out = r.out + image * r.out_image + begin * 4
    if r.kind == GLOBAL_MEAN or r.kind == GLOBAL_MAX:
        # A chunk is one block of channels, and leaves one vector.
        out = r.out + image * r.out_image + chunk * VECTOR
        reduce_map(r.kind, x, r.chunk // LANES, out)
        count = LANES
    elif r.kind == GATE or r.kind == AFFINE:
        # A chunk lies in one block of channels.
        lanes = begin // r.block * VECTOR
        affine(x, r.y + image * r.y_image + lanes, r.z + lanes if r.kind == AFFINE else 0, out, count)
    elif r.kind == COPY:
        copy(x, out, count)
    elif r.kind == SCALE:
        scale(x, r.factor, out, count)
    else:
        merge(r.kind, x, r.y + image * r.y_image + begin * 4, out, count)
    if r.activation:
        call_unit(r.activation, out, count, r.parameter)


@device
def merge(kind, x_address, y_address, out_address, count):
    x, y, out = floats(x_address, count), floats(y_address, count), floats(out_address, count)
    if kind == ADD:
        for i in range(count):
            out[i] = x[i] + y[i]
    elif kind == SUBTRACT:
        for i in range(count):
            out[i] = x[i] - y[i]
    elif kind == MULTIPLY:
        for i in range(count):
            out[i] = x[i] * y[i]


@device
def scale(x_address, factor, out_address, count):
    x, out = floats(x_address, count), floats(out_address, count)
    for i in range(count):
        out[i] = x[i] * factor


@device
def affine(x_address, factor_address, shift_address, out_address, count):
    """Each vector times the factors of its lanes, plus their shifts if there are any."""
    x, out, factor = floats(x_address, count), floats(out_address, count), floats(factor_address, LANES)
    if shift_address:
        shift = floats(shift_address, LANES)
        for i in range(count // LANES):
            for lane in range(LANES):
                out[i * LANES + lane] = x[i * LANES + lane] * factor[lane] + shift[lane]
    else:
        for i in range(count // LANES):
            for lane in range(LANES):
                out[i * LANES + lane] = x[i * LANES + lane] * factor[lane]


@device
def reduce_map(kind, x_address, pixels, out_address):
    """The mean or maximum over the pixels of one block, in each lane."""
    x, out = floats(x_address, pixels * LANES), floats(out_address, LANES)
    for lane in range(LANES):
        out[lane] = x[lane]
    if kind == GLOBAL_MAX:
        for i in range(1, pixels):
            for lane in range(LANES):
                v = x[i * LANES + lane]
                out[lane] = out[lane] if v < out[lane] else v
    else:
        for i in range(1, pixels):
            for lane in range(LANES):
                out[lane] += x[i * LANES + lane]
        share = np.float32(1) / np.float32(pixels)
        for lane in range(LANES):
            out[lane] *= share
