"""Weights laid out as tiles read them, each step of training anew."""

from __future__ import annotations

from archforge.backends.numba.runtime.records import PACKED_PANEL
from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_transform,
    call_turn,
    device,
    floats,
    integers,
    packed_panel_record,
    packing_record,
    transform_record,
)

__all__ = ["pack", "transform"]

PANEL_BYTES = PACKED_PANEL.dtype.itemsize


def pack(row: int, unit: int, scratch: int) -> None:
    """Lay out one plane of one panel."""
    r = packing_record(row)
    plane = unit % r.planes
    panel = packed_panel_record(r.panel_table + unit // r.planes * PANEL_BYTES)
    low = max(0, plane * r.depth - panel.skipped)  # of the panel's channels
    high = min(panel.channels, (plane + 1) * r.depth - panel.skipped)
    if low >= high:
        return
    blocks = panel.blocks
    out = r.out + panel.weight + low * r.places * blocks * VECTOR
    whole = turned_blocks(r, panel, high)
    for block in range(whole):
        turn_block(r, panel.first + low, panel.block + block, out + block * VECTOR, blocks * VECTOR)
    offsets = integers(r.place_offsets, r.places)
    lane, lanes = (panel.block + whole) * LANES, (blocks - whole) * LANES
    out += whole * VECTOR
    for place in range(r.places):
        for channel in range(panel.first + low, panel.first + high):
            pack_channel(r, channel, lane, lanes, offsets[place], out)
            out += blocks * VECTOR


@device
def turned_blocks(r, panel, high):
    """The number of blocks of a panel that squares can lay out: those without channels that are not there."""
    group = panel.first // r.inputs
    if r.squares == 0 or high % r.depth or panel.first + high > (group + 1) * r.inputs:
        return 0
    # Nothing may lie behind the last weight.
    last = r.reads_beyond and panel.first + high == (group + 1) * r.inputs
    return max(0, min(panel.blocks, (group + 1) * r.outputs // LANES - panel.block - last))


@device
def turn_block(r, channel, block, out, line):
    """Lay out one block of channels out, square by square, from a channel in on."""
    group = channel // r.inputs
    source = r.source + group * r.source_group + (channel - group * r.inputs) * r.source_in
    source += (block * LANES - group * r.outputs) * r.source_out
    for i in range(r.squares):
        order = r.order + i * LANES * 8
        call_turn(r.turn, source + i * r.square_step, r.source_out, out, line, order)


@device
def pack_channel(r, channel, first, count, offset, out):
    """Lay out the weights of one channel in for `count` channels out from the first on."""
    group = channel // r.inputs
    begin = max(group * r.outputs, first)
    end = min((group + 1) * r.outputs, first + count)
    if group >= r.groups or begin >= end:
        fill(out, count, 0.0)
        return
    fill(out, begin - first, 0.0)
    fill(out + (end - first) * 4, first + count - end, 0.0)
    source = r.source + group * r.source_group + offset
    source += (channel - group * r.inputs) * r.source_in + (begin - group * r.outputs) * r.source_out
    to = floats(out + (begin - first) * 4, end - begin)
    apart = r.source_out
    if apart == 4:
        copy(source, out + (begin - first) * 4, end - begin)
        return
    for i in range(end - begin):
        to[i] = floats(source + i * apart, 1)[0]


def transform(row: int, unit: int, scratch: int) -> None:
    """Transform the packed weights of some channels in of one panel."""
    r = transform_record(row)
    panel, chunk = unit // r.chunks, unit % r.chunks
    first, channel = panel * r.panel_blocks, chunk * r.chunk
    blocks, channels = min(r.panel_blocks, r.blocks - first), min(r.chunk, r.depth - channel)
    place = r.depth * blocks * VECTOR
    begin = channel * blocks * VECTOR
    source = r.source + first * r.places * r.depth * VECTOR + begin
    out = r.out + first * r.depth * VECTOR + begin
    call_transform(r.function, source, place, out, r.out_stride, channels * blocks)
