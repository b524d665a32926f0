"""Operations over all channels of a pixel. A unit is a chunk of the pixels of an image."""

from __future__ import annotations

import numba
import numpy as np

from archforge.backends.numba.units.activation import exp32, log32
from archforge.backends.numba.units.float_runs import fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    across_record,
    copy_vector,
    device,
    floats,
)

__all__ = [
    "layer_norm",
    "layer_norm_back",
    "log_softmax",
    "log_softmax_back",
    "lrn",
    "lrn_back",
    "response_products",
    "responses",
    "responses_back",
    "softmax",
    "softmax_back",
]

F, D = np.float32, np.float64
MOST_IN_FLOAT32 = 1024  # numbers whose sum, in vectors and several at a time, loses 1e-6 at most


@device
def begin(r, unit):
    """The image of a unit, its first pixel, and the pixel behind its last."""
    first = unit % r.chunks * r.chunk
    return unit // r.chunks, first, min(first + r.chunk, r.pixels)


@device
def take(r, image, pixel, scratch):
    """Copy the channels of a pixel to scratch memory, side by side."""
    source = r.source + image * r.source_image + pixel * VECTOR
    for block in range(r.blocks):
        copy_vector(source + block * r.pixels * VECTOR, scratch + block * VECTOR)


@device
def take_gradient(r, image, pixel, scratch):
    """Copy the gradients of the channels of a pixel to scratch memory, side by side."""
    source = r.dy + image * r.dy_image + pixel * VECTOR
    for block in range(r.blocks):
        copy_vector(source + block * r.pixels * VECTOR, scratch + block * VECTOR)


@device
def put(r, image, pixel, scratch):
    """Copy the channels of a pixel back to their blocks, with zeros beyond the last channel."""
    fill(scratch + r.channels * 4, r.blocks * LANES - r.channels, F(0))
    out = r.out + image * r.out_image + pixel * VECTOR
    for block in range(r.blocks):
        copy_vector(scratch + block * VECTOR, out + block * r.pixels * VECTOR)


def _reducing(function):
    """A device function whose sums may be taken in any order, so that vectors can take them."""
    return numba.njit(function, error_model="numpy", _nrt=False, fastmath={"contract", "reassoc"})


@_reducing
def total(x):
    made = D(0)
    for first in range(0, len(x), MOST_IN_FLOAT32):
        part = F(0)
        for i in range(first, min(first + MOST_IN_FLOAT32, len(x))):
            part += x[i]
        made += part
    return F(made)


@_reducing
def total_of_squares(x):
    made = D(0)
    for first in range(0, len(x), MOST_IN_FLOAT32):
        part = F(0)
        for i in range(first, min(first + MOST_IN_FLOAT32, len(x))):
            part += x[i] * x[i]
        made += part
    return F(made)


@_reducing
def total_of_products(x, y):
    made = D(0)
    for first in range(0, len(x), MOST_IN_FLOAT32):
        part = F(0)
        for i in range(first, min(first + MOST_IN_FLOAT32, len(x))):
            part += x[i] * y[i]
        made += part
    return F(made)


@device
def largest(x):
    """The largest number; anything that is not a number counts as the largest."""
    made = x[0]
    for i in range(1, len(x)):
        made = made if made > x[i] or made != made else x[i]
    return made


@device
def less_largest(x):
    """Subtract the largest number from all."""
    most = largest(x)
    for i in range(len(x)):
        x[i] -= most


def softmax(row: int, unit: int, scratch: int) -> None:
    """Softmax over the channels of each pixel."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x = floats(scratch, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        less_largest(x)
        for i in range(r.channels):
            x[i] = exp32(x[i])
        share = F(1) / total(x)
        for i in range(r.channels):
            x[i] *= share
        put(r, image, pixel, scratch)


def log_softmax(row: int, unit: int, scratch: int) -> None:
    """The logarithm of softmax over the channels of each pixel."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x = floats(scratch, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        less_largest(x)
        powers = floats(scratch + r.blocks * VECTOR, r.channels)
        for i in range(r.channels):
            powers[i] = exp32(x[i])
        shift = log32(total(powers))
        for i in range(r.channels):
            x[i] -= shift
        put(r, image, pixel, scratch)


def softmax_back(row: int, unit: int, scratch: int) -> None:
    """The way back through softmax: y * (dy - sum of dy * y)."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    y, dy = floats(scratch, r.channels), floats(scratch + r.blocks * VECTOR, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        take_gradient(r, image, pixel, scratch + r.blocks * VECTOR)
        mean = total_of_products(y, dy)
        for i in range(r.channels):
            y[i] *= dy[i] - mean
        put(r, image, pixel, scratch)


def log_softmax_back(row: int, unit: int, scratch: int) -> None:
    """The way back through the logarithm of softmax: dy - exp(y) * sum of dy."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    y, dy = floats(scratch, r.channels), floats(scratch + r.blocks * VECTOR, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        take_gradient(r, image, pixel, scratch + r.blocks * VECTOR)
        sum_of_all = total(dy)
        for i in range(r.channels):
            y[i] = dy[i] - exp32(y[i]) * sum_of_all
        put(r, image, pixel, scratch)


def layer_norm(row: int, unit: int, scratch: int) -> None:
    """Normalisation over the channels of each pixel."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x = floats(scratch, r.channels)
    weight, bias = floats(r.weight, r.channels), floats(r.bias, r.channels)
    count = F(r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        mean = total(x) / count  # exact for equal numbers, where eps alone is left of their variance
        for i in range(r.channels):
            x[i] -= mean
        factor = F(1) / np.sqrt(total_of_squares(x) / count + r.constant)
        for i in range(r.channels):
            x[i] = x[i] * factor * weight[i] + bias[i]
        put(r, image, pixel, scratch)


def layer_norm_back(row: int, unit: int, scratch: int) -> None:
    """The way back through normalisation over the channels of each pixel, from its input."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x, d = floats(scratch, r.channels), floats(scratch + r.blocks * VECTOR, r.channels)
    weight = floats(r.weight, r.channels)
    count = F(r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        take_gradient(r, image, pixel, scratch + r.blocks * VECTOR)
        mean = total(x) / count
        for i in range(r.channels):
            x[i] -= mean
        factor = F(1) / np.sqrt(total_of_squares(x) / count + r.constant)
        for i in range(r.channels):
            x[i] *= factor
            d[i] *= weight[i]
        mean, slope = total(d) / count, total_of_products(d, x) / count
        for i in range(r.channels):
            x[i] = (d[i] - mean - x[i] * slope) * factor
        put(r, image, pixel, scratch)


def lrn(row: int, unit: int, scratch: int) -> None:
    """Local response normalisation. The squares lie between zeros, for channels that do not exist."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x = floats(scratch, r.channels)
    edge = scratch + r.blocks * VECTOR
    fill(edge, r.channels + r.size - 1, F(0))
    squares = floats(edge + r.before * 4, r.channels)
    sums = floats(edge + (r.channels + r.size) * 4, r.channels)
    # Read once: a store to memory could change the record, for all that the compiler knows.
    constant, factor, power = r.constant, r.factor, r.power
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        for i in range(r.channels):
            squares[i] = x[i] * x[i]
            sums[i] = constant
        for k in range(r.size):
            near = floats(edge + k * 4, r.channels)
            for i in range(r.channels):
                sums[i] += factor * near[i]
        for i in range(r.channels):
            x[i] *= exp32(power * log32(sums[i]))
        put(r, image, pixel, scratch)


def lrn_back(row: int, unit: int, scratch: int) -> None:
    """The way back through local response normalisation, from its input. A channel is in the windows of those
    that see it: what they weigh lies between zeros too."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x, d = floats(scratch, r.channels), floats(scratch + r.blocks * VECTOR, r.channels)
    edge = scratch + 2 * r.blocks * VECTOR
    sums = floats(edge + (r.channels + r.size) * 4, r.channels)
    constant, factor, power = r.constant, r.factor, r.power
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        take_gradient(r, image, pixel, scratch + r.blocks * VECTOR)
        fill(edge, r.channels + r.size - 1, F(0))
        squares = floats(edge + r.before * 4, r.channels)
        for i in range(r.channels):
            squares[i] = x[i] * x[i]
            sums[i] = constant
        for k in range(r.size):
            near = floats(edge + k * 4, r.channels)
            for i in range(r.channels):
                sums[i] += factor * near[i]
        fill(edge, r.channels + r.size - 1, F(0))
        weighed = floats(edge + (r.size - 1 - r.before) * 4, r.channels)
        for i in range(r.channels):
            scale = exp32(power * log32(sums[i]))
            d[i] *= scale
            weighed[i] = d[i] * x[i] / sums[i]
            sums[i] = F(0)
        for k in range(r.size):
            near = floats(edge + k * 4, r.channels)
            for i in range(r.channels):
                sums[i] += near[i]
        for i in range(r.channels):
            x[i] = d[i] + F(2) * factor * power * x[i] * sums[i]
        put(r, image, pixel, scratch)


def responses(row: int, unit: int, scratch: int) -> None:
    """Factors of channels from their sums of squares: 1 + weight * norm / mean of all norms."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x = floats(scratch, r.channels)
    weight = floats(r.weight, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        for i in range(r.channels):
            x[i] = np.sqrt(x[i])
        share = F(1) / (total(x) / F(r.channels) + r.constant)
        for i in range(r.channels):
            x[i] = F(1) + weight[i] * (x[i] * share)
        put(r, image, pixel, scratch)


def response_products(row: int, unit: int, scratch: int) -> None:
    """Responses of channels, norm / mean of all norms, from their sums of squares, times `dy`."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x, d = floats(scratch, r.channels), floats(scratch + r.blocks * VECTOR, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        take_gradient(r, image, pixel, scratch + r.blocks * VECTOR)
        for i in range(r.channels):
            x[i] = np.sqrt(x[i])
        share = F(1) / (total(x) / F(r.channels) + r.constant)
        for i in range(r.channels):
            x[i] *= share * d[i]
        put(r, image, pixel, scratch)


def responses_back(row: int, unit: int, scratch: int) -> None:
    """The gradients of the norms of channels over the norms, from their sums of squares and, as `dy`, the
    sums of products of a map with its gradient. That of a map of zeros is 0."""
    r = across_record(row)
    image, first, last = begin(r, unit)
    x, d = floats(scratch, r.channels), floats(scratch + r.blocks * VECTOR, r.channels)
    weight = floats(r.weight, r.channels)
    for pixel in range(first, last):
        take(r, image, pixel, scratch)
        take_gradient(r, image, pixel, scratch + r.blocks * VECTOR)
        for i in range(r.channels):
            x[i] = np.sqrt(x[i])
            d[i] *= weight[i]
        share = F(1) / (total(x) / F(r.channels) + r.constant)
        shared = total_of_products(d, x) / F(r.channels) * share * share
        for i in range(r.channels):
            x[i] = (d[i] * share - shared) / x[i] if x[i] > F(0) else F(0)
        put(r, image, pixel, scratch)
