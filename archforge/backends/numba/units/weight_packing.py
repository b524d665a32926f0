"""Weights laid out as tiles read them, each step of training anew."""

from __future__ import annotations

from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_transform,
    call_turn,
    device,
    floats,
    integers,
    packing_record,
    transform_record,
)

__all__ = ["pack", "transform"]


def pack(row: int, unit: int, scratch: int) -> None:
    """Lay out one plane of one panel of one group."""
    r = packing_record(row)
    plane, panel, group = unit % r.planes, unit // r.planes % r.panels, unit // r.planes // r.panels
    first = panel * r.panel_blocks
    blocks = min(r.panel_blocks, r.blocks - first)
    out = r.out + (group * r.blocks + first) * r.block_weight
    out += plane * r.places * r.depth * blocks * VECTOR
    offsets = integers(r.place_offsets, r.places)
    whole = turned_blocks(r, plane, first, blocks)
    for block in range(whole):
        turn_block(r, group, plane, first + block, out + block * VECTOR, blocks * VECTOR)
    channel, out = plane * r.depth, out + whole * VECTOR
    for place in range(r.places):
        for i in range(r.depth):
            lane, lanes = (first + whole) * LANES, (blocks - whole) * LANES
            pack_channel(r, group, channel + i, lane, lanes, offsets[place], out)
            out += blocks * VECTOR


@device
def turned_blocks(r, plane, first, blocks):
    """The number of blocks of a panel that squares can lay out: those without channels that are not there."""
    if r.squares == 0 or (plane + 1) * r.depth > r.inputs:
        return 0
    last = r.reads_beyond and plane == r.planes - 1  # nothing may lie behind the last weight
    return max(0, min(blocks, r.outputs // LANES - first - last))


@device
def turn_block(r, group, plane, block, out, line):
    """Lay out one block of channels out, square by square."""
    source = r.source + group * r.source_group + plane * r.depth * r.source_in + block * LANES * r.source_out
    for i in range(r.squares):
        order = r.order + i * LANES * 8
        call_turn(r.turn, source + i * r.square_step, r.source_out, out, line, order)


@device
def pack_channel(r, group, channel, first, count, offset, out):
    """Lay out the weights of one channel in for `count` channels out from the first on."""
    outputs, inputs = r.outputs // r.combined, r.inputs // r.combined
    part = channel // inputs  # the op's group in this one
    begin = max(part * outputs, first)
    end = min((part + 1) * outputs, first + count)
    if channel >= r.inputs or begin >= end:
        fill(out, count, 0.0)
        return
    fill(out, begin - first, 0.0)
    fill(out + (end - first) * 4, first + count - end, 0.0)
    source = r.source + (group * r.combined + part) * r.source_group + offset
    source += (channel - part * inputs) * r.source_in + (begin - part * outputs) * r.source_out
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
