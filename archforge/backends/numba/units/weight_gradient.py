"""Gradients of weights: sums over the pixels of a part of the batch, then over the parts.

Parts follow from shapes alone, and are added in order, so that results do not depend on threads.
"""

from __future__ import annotations

from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_outer,
    call_turn,
    device,
    floats,
    integers,
    outer_record,
)

__all__ = ["add_parts", "channel_sums", "sum_pixels", "sum_plain_pixels"]


@device
def place_of(r, unit):
    """The plane, the panel and the group of a unit, its part, and its first block with the number of them."""
    plane, panel = unit % r.planes, unit // r.planes % r.panels
    group, part = unit // r.planes // r.panels % r.groups, unit // r.planes // r.panels // r.groups
    first = panel * r.panel_blocks
    return plane, group, part, first, min(r.panel_blocks, r.blocks - first)


@device
def sums_of(r, plane, group, part, first, blocks):
    """The address and the size in bytes of a unit's sums."""
    size = r.places * r.depth * VECTOR
    own = (group * r.blocks + first) * r.planes + plane * blocks
    return r.sums + part * r.sums_part + own * size, blocks * size


@device
def meet(r, plane, group, first):
    """True if a panel has a channel in the op's groups to which a plane belongs, both of a combined group."""
    channel, out = (group * r.planes + plane) * r.depth, (group * r.blocks + first) * LANES
    end, out_end = min(channel + r.depth, r.channels_in), min(out + r.panel_blocks * LANES, r.channels_out)
    if channel >= end or out >= out_end:
        return False
    return channel // r.inputs <= (out_end - 1) // r.outputs and out // r.outputs <= (end - 1) // r.inputs


@device
def seen(size, source, stride, pad, offset):
    """The outputs, from the first to behind the last, for which a place of the kernel lies in the source."""
    first = max(0, (pad - offset + stride - 1) // stride)
    return first, min(size, (source - 1 + pad - offset) // stride + 1)


def sum_pixels(row: int, unit: int, scratch: int) -> None:
    """Sum up one plane of one panel over the pixels of a part of the images."""
    r = outer_record(row)
    plane, group, part, first, blocks = place_of(r, unit)
    if not meet(r, plane, group, first):
        return
    sums, size = sums_of(r, plane, group, part, first, blocks)
    fill(sums, size // 4, 0.0)
    x = r.source + (group * r.planes + plane) * r.source_plane
    dy = r.dy + (group * r.blocks + first) * r.dy_plane
    channels = min(r.depth, r.channels_in - (group * r.planes + plane) * r.depth)
    for image in range(r.images * part // r.parts, r.images * (part + 1) // r.parts):
        for band in range(r.bands):
            top = band * r.band
            sum_band(r, row, x + image * r.source_image, dy + image * r.dy_image, sums, top, channels, blocks)
    if r.parts == 1:  # they are in a cache now
        write_sums(r, plane, group, first, blocks, sums)


@device
def sum_band(r, row, x, dy, sums, band_top, channels, blocks):
    """Sum up a band of rows for all places of the kernel."""
    for k in range(r.rows):
        top, bottom = seen(r.height, r.source_height, r.stride_y, r.pad_y, k * r.dilation_y)
        top, bottom = max(top, band_top), min(bottom, band_top + r.band)
        for i in range(r.columns):
            left, right = seen(r.width, r.source_width, r.stride_x, r.pad_x, i * r.dilation_x)
            if top < bottom and left < right:
                y = top * r.stride_y + k * r.dilation_y - r.pad_y
                at = left * r.stride_x + i * r.dilation_x - r.pad_x
                run_outer(
                    r,
                    row,
                    x + y * r.source_row + at * r.source_pixel,
                    dy + top * r.dy_row + left * r.dy_pixel,
                    sums + (k * r.columns + i) * r.depth * blocks * VECTOR,
                    channels,
                    blocks,
                    bottom - top,
                    right - left,
                )


@device
def run_outer(r, row, x, dy, sums, channels, blocks, rows, pixels):
    """Sum up products of some channels in with all blocks of a panel, in tiles of nearly equal size."""
    tiles, most = r.tile_table, r.tile_channels
    if blocks < r.panel_blocks:
        tiles, most = r.tail_table, r.tail_channels
    pieces = (channels + most - 1) // most
    least, larger = channels // pieces, channels % pieces
    for i in range(pieces):
        size = least + (i < larger)
        call_outer(integers(tiles, most + 1)[size], row, x, dy, sums, rows, pixels)
        x += size * 4
        sums += size * blocks * VECTOR


def sum_plain_pixels(row: int, unit: int, scratch: int) -> None:
    """Sum up one plane, a channel of a plain map, of one panel over a part of the images. The columns of the
    kernel stand for channels in: a copy of the rows with their padding has them side by side."""
    r = outer_record(row)
    plane, group, part, first, blocks = place_of(r, unit)
    sums, size = sums_of(r, plane, group, part, first, blocks)
    fill(sums, size // 4, 0.0)
    x = r.source + plane * r.source_plane
    dy = r.dy + first * r.dy_plane
    for image in range(r.images * part // r.parts, r.images * (part + 1) // r.parts):
        for band in range(r.bands):
            top, bottom = band * r.band, min((band + 1) * r.band, r.height)
            fill_rows(r, x + image * r.source_image, top, bottom, scratch)
            for k in range(r.rows):
                run_outer(
                    r,
                    row,
                    scratch + k * r.dilation_y * (r.x_row // r.stride_y),
                    dy + image * r.dy_image + top * r.dy_row,
                    sums + k * r.depth * blocks * VECTOR,
                    r.depth,
                    blocks,
                    bottom - top,
                    r.width,
                )
    if r.parts == 1:
        write_sums(r, plane, group, first, blocks, sums)


@device
def fill_rows(r, x, top, bottom, scratch):
    """Copy the rows of a plain map that some rows of the output see, with their padding."""
    line = r.x_row // r.stride_y
    count = line // 4
    begin = min(r.pad_x, count)
    end = max(begin, min(count, r.pad_x + r.source_width))
    first = top * r.stride_y - r.pad_y
    for y in range((bottom - top - 1) * r.stride_y + (r.rows - 1) * r.dilation_y + 1):
        to = scratch + y * line
        if first + y < 0 or first + y >= r.source_height:
            fill(to, count, 0.0)
            continue
        fill(to, begin, 0.0)
        copy(x + (first + y) * r.source_row, to + begin * 4, end - begin)
        fill(to + end * 4, count - end, 0.0)


def channel_sums(row: int, unit: int, scratch: int) -> None:
    """Sum up one block of channels, each with itself, over a part of the images."""
    r = outer_record(row)
    _, _, part, block, _ = place_of(r, unit)
    sums, size = sums_of(r, 0, 0, part, block, 1)
    fill(sums, size // 4, 0.0)
    for image in range(r.images * part // r.parts, r.images * (part + 1) // r.parts):
        x = r.source + image * r.source_image + block * r.source_plane
        dy = r.dy + image * r.dy_image + block * r.dy_plane
        for band in range(r.bands):
            for k in range(r.rows):
                top, bottom = seen(r.height, r.source_height, r.stride_y, r.pad_y, k * r.dilation_y)
                top, bottom = max(top, band * r.band), min(bottom, (band + 1) * r.band)
                if top < bottom:
                    channel_row(r, row, x, dy, sums, k, top, bottom)
    if r.parts == 1:
        write_sums(r, 0, 0, block, 1, sums)


@device
def channel_row(r, row, x, dy, sums, k, top, bottom):
    """Sum up one row of the kernel: all its columns at once where all lie in the source, else one by one."""
    left, _ = seen(r.width, r.source_width, r.stride_x, r.pad_x, 0)
    _, right = seen(r.width, r.source_width, r.stride_x, r.pad_x, (r.columns - 1) * r.dilation_x)
    right = max(left, right)
    channel_columns(r, row, x, dy, sums, k, 0, r.columns, top, bottom, left, right)
    for i in range(r.columns):
        first, last = seen(r.width, r.source_width, r.stride_x, r.pad_x, i * r.dilation_x)
        channel_columns(r, row, x, dy, sums, k, i, 1, top, bottom, first, min(left, last))
        channel_columns(r, row, x, dy, sums, k, i, 1, top, bottom, max(right, first), last)


@device
def channel_columns(r, row, x, dy, sums, k, column, columns, top, bottom, left, right):
    """Sum up some columns of one row of the kernel over a rectangle of the output."""
    if left >= right:
        return
    y = top * r.stride_y + k * r.dilation_y - r.pad_y
    at = left * r.stride_x + column * r.dilation_x - r.pad_x
    call_outer(
        integers(r.tile_table, r.columns + 1)[columns],
        row,
        x + y * r.source_row + at * r.source_pixel,
        dy + top * r.dy_row + left * r.dy_pixel,
        sums + (k * r.columns + column) * VECTOR,
        bottom - top,
        right - left,
    )


def add_parts(row: int, unit: int, scratch: int) -> None:
    """Add the sums of all parts, for one plane of one panel, and write them."""
    r = outer_record(row)
    plane, group, _, first, blocks = place_of(r, unit)
    if not meet(r, plane, group, first):
        return
    sums, size = sums_of(r, plane, group, 0, first, blocks)
    total = floats(sums, size // 4)
    for part in range(1, r.parts):
        more = floats(sums + part * r.sums_part, size // 4)
        for i in range(size // 4):
            total[i] += more[i]
    write_sums(r, plane, group, first, blocks, sums)


@device
def write_sums(r, plane, group, first, blocks, sums):
    """Write the sums of one plane of one panel as the op has its weights."""
    for i in range(blocks):
        block = group * r.blocks + first + i
        write_block(r, group * r.planes + plane, block, sums + i * VECTOR, blocks * VECTOR)


@device
def write_block(r, plane, block, sums, apart):
    """Write one block of channels out; its sums for one channel in are `apart` bytes from those for the
    next."""
    begin, channel = block * LANES, plane * r.depth
    end, channel_end = min(begin + LANES, r.channels_out), min(channel + r.depth, r.channels_in)
    group = begin // r.outputs
    if r.squares and not r.adds and end - begin == LANES and channel_end - channel == r.depth:
        out = place_of_weights(r, group, plane, begin)
        for i in range(r.squares):
            call_turn(r.turn, out + i * VECTOR, r.out_out, sums, apart, r.order + i * LANES * 8)
        return
    while group * r.outputs < end:  # the op's groups in the block
        first, last = max(begin, group * r.outputs), min(end, (group + 1) * r.outputs)
        out = place_of_weights(r, group, plane, first)
        low, high = max(channel, group * r.inputs), min(channel_end, (group + 1) * r.inputs)
        for i in range(low - channel, high - channel):
            for place in range(r.places):
                at = sums + (place * r.depth + i) * apart + (first - begin) * 4
                write_lanes(r, at, out + i * r.out_in + place * r.out_place, last - first)
        group += 1


@device
def place_of_weights(r, group, plane, out):
    """The place for the weights from the first channel of a plane, which may belong to a group before, to a
    channel out of a group."""
    own = r.out + group * r.out_group + (out - group * r.outputs) * r.out_out
    return own + plane * r.out_plane - group * r.inputs * r.out_in


@device
def write_lanes(r, sums, out, count):
    """Write sums that lie side by side to as many channels out."""
    x, apart = floats(sums, count), r.out_out
    if r.adds:
        for i in range(count):
            floats(out + i * apart, 1)[0] += x[i]
    else:
        for i in range(count):
            floats(out + i * apart, 1)[0] = x[i]
