"""Streams of one block of channels, and what follows for each channel when all parts are summed up."""

from __future__ import annotations

import numpy as np

from archforge.backends.numba.runtime.opcodes import (
    BIAS,
    FACTOR,
    INVERSE,
    MEAN,
    TIMES_CENTRED,
    TIMES_GRADIENT,
    TIMES_ONE,
)
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_stream,
    channels_record,
    device,
    floats,
    stream_record,
)

__all__ = ["finish_moments", "finish_normal_sums", "finish_sums", "stream"]

F, D = np.float32, np.float64


@device
def part_of(part, chunks, each, all_of_them):
    """The first of a part's images or pixels, and the number of them. `part` counts all parts, `chunks` those
    that share this one."""
    first = part // chunks * each
    return first, min(each, all_of_them - first)


def stream(row: int, unit: int, scratch: int) -> None:
    """Pass one part of one block of channels through a function."""
    r = stream_record(row)
    block, part = unit % r.blocks, unit // r.blocks
    image, images = part_of(part, r.chunks, r.image_chunk, r.images)
    pixel, pixels = part_of(part % r.chunks, 1, r.chunk, r.pixels)
    offset = (block * r.pixels + pixel) * VECTOR
    call_stream(
        r.function,
        row,
        r.constants + block * r.constants_block,
        r.x + image * r.x_image + offset,
        r.y + image * r.y_image + offset,
        r.dy + image * r.dy_image + offset,
        r.out + image * r.out_image + offset,
        r.sums + unit * r.sums_block,
        images,
        pixels,
    )


@device
def total_of(r, block, lane, number):
    """The total of a channel's sums of one kind over all parts, in float64."""
    total = D(0)
    for part in range(r.image_chunks * r.chunks):
        total += sum_at(r, part, block, lane, number)
    return total


@device
def sum_at(r, part, block, lane, number):
    return D(floats(r.sums + (part * r.blocks + block) * r.sums_block + number * VECTOR, LANES)[lane])


@device
def set_constant(r, block, lane, number, value):
    floats(r.constants + block * r.constants_block + number * VECTOR, LANES)[lane] = F(value)


@device
def constant(r, block, lane, number):
    return D(floats(r.constants + block * r.constants_block + number * VECTOR, LANES)[lane])


@device
def elements(r, part):
    """The number of a channel's elements in a part."""
    _, images = part_of(part, r.chunks, r.image_chunk, r.images)
    _, pixels = part_of(part % r.chunks, 1, r.chunk, r.pixels)
    return D(images * pixels)


@device
def moments(r, block, lane):
    """The mean and the biased variance of a channel, from those of its parts. Source: Chan, Golub and
    LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979."""
    count = D(r.images * r.pixels)
    mean = D(0)
    for part in range(r.image_chunks * r.chunks):
        mean += elements(r, part) / count * sum_at(r, part, block, lane, 0)
    squares = D(0)
    for part in range(r.image_chunks * r.chunks):
        apart = sum_at(r, part, block, lane, 0) - mean
        squares += sum_at(r, part, block, lane, 1) + elements(r, part) * apart * apart
    return mean, squares / count


def finish_moments(row: int, unit: int, scratch: int) -> None:
    """Set the constants of a batch norm for one block of channels, and the running statistics."""
    r = channels_record(row)
    count = D(r.images * r.pixels)
    for lane in range(LANES):
        c = unit * LANES + lane
        if c >= r.channels:
            for number in range(TIMES_ONE + 1):
                set_constant(r, unit, lane, number, 0.0)
            continue
        mean, variance = moments(r, unit, lane)
        inverse = D(1) / np.sqrt(variance + D(r.eps))
        weight = D(floats(r.weight, r.channels)[c]) if r.weight else D(1)
        set_constant(r, unit, lane, MEAN, mean)
        set_constant(r, unit, lane, FACTOR, weight * inverse)
        set_constant(r, unit, lane, BIAS, D(floats(r.bias, r.channels)[c]) if r.bias else D(0))
        set_constant(r, unit, lane, INVERSE, inverse)
        unbiased = variance * (count / max(count - D(1), D(1)))
        move(r.running_mean, r.new_mean, r.channels, c, mean, D(r.momentum))
        move(r.running_var, r.new_var, r.channels, c, unbiased, D(r.momentum))


@device
def move(old, new, channels, c, value, momentum):
    """Set a running statistic to its old value, moved towards a new one."""
    before = D(floats(old, channels)[c])
    floats(new, channels)[c] = F(before + momentum * (value - before))


def finish_normal_sums(row: int, unit: int, scratch: int) -> None:
    """Set the constants for the gradient of a batch norm's input for one block of channels, and the gradients
    of its parameters. Source: arXiv:1502.03167, section 3."""
    r = channels_record(row)
    count = D(r.images * r.pixels)
    for lane in range(LANES):
        c = unit * LANES + lane
        if c >= r.channels:
            continue
        inverse, factor = constant(r, unit, lane, INVERSE), constant(r, unit, lane, FACTOR)
        of_bias, of_weight = total_of(r, unit, lane, 0), total_of(r, unit, lane, 1) * inverse
        set_constant(r, unit, lane, TIMES_GRADIENT, factor)
        set_constant(r, unit, lane, TIMES_CENTRED, -factor * inverse * of_weight / count)
        set_constant(r, unit, lane, TIMES_ONE, -factor * of_bias / count)
        put(r.d_weight, r.channels, c, of_weight, r.adds_weight)
        put(r.d_bias, r.channels, c, of_bias, r.adds_bias)


def finish_sums(row: int, unit: int, scratch: int) -> None:
    """Write the gradient of a bias for one block of channels."""
    r = channels_record(row)
    for lane in range(min(LANES, r.channels - unit * LANES)):
        put(r.d_bias, r.channels, unit * LANES + lane, total_of(r, unit, lane, 0), r.adds_bias)


@device
def put(address, channels, c, value, adds):
    """Write a channel's gradient, if it is wanted."""
    if address:
        x = floats(address, channels)
        x[c] = x[c] + F(value) if adds else F(value)
