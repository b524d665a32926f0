"""Elements that change places."""

from __future__ import annotations

from archforge.backends.numba.runtime.opcodes import BLANK, KEEP
from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_gather,
    copy_vector,
    device,
    floats,
    gather_record,
    integers,
    move_record,
)

__all__ = ["flatten", "gather", "move"]


def move(row: int, unit: int, scratch: int) -> None:
    """Move some pixels of one block of channels of one image's output."""
    r = move_record(row)
    chunk, block, image = unit % r.chunks, unit // r.chunks % r.blocks, unit // r.chunks // r.blocks
    first = chunk * r.chunk
    count = min(r.chunk, r.pixels - first)
    source = r.source + image * r.source_image
    out = r.out + image * r.out_image + (block * r.pixels + first) * VECTOR
    lanes = integers(r.lane_offsets + block * LANES * 8, LANES)
    if is_vector(lanes):
        move_vectors(r, source + lanes[0], out, first, count)
    else:
        for lane in range(LANES):
            if lanes[lane] == BLANK:
                for i in range(count):
                    floats(out + i * VECTOR + lane * 4, 1)[0] = 0.0
            elif lanes[lane] != KEEP:
                move_lane(r, source + lanes[lane], out + lane * 4, first, count)


@device
def is_vector(lanes):
    """True if all lanes come from floats that lie side by side in the source."""
    apart = 0
    for lane in range(1, LANES):
        apart += lanes[lane] != lanes[0] + lane * 4
    return lanes[0] >= 0 and apart == 0


@device
def move_vectors(r, source, out, first, count):
    """Move whole vectors."""
    if r.pixel_offsets == 0:
        copy(source + first * VECTOR, out, count * LANES)
        return
    places = integers(r.pixel_offsets + first * 8, count)
    for i in range(count):
        if places[i] >= 0:
            copy_vector(source + places[i], out + i * VECTOR)
        elif places[i] == BLANK:
            fill(out + i * VECTOR, LANES, r.fill)


@device
def move_lane(r, source, out, first, count):
    """Move the floats of one lane."""
    if r.pixel_offsets == 0:
        x, y = floats(source + first * VECTOR, count * LANES), floats(out, count * LANES)
        for i in range(count):
            y[i * LANES] = x[i * LANES]
        return
    places = integers(r.pixel_offsets + first * 8, count)
    for i in range(count):
        if places[i] >= 0:
            floats(out + i * VECTOR, 1)[0] = floats(source + places[i], 1)[0]
        elif places[i] == BLANK:
            floats(out + i * VECTOR, 1)[0] = r.fill


def gather(row: int, unit: int, scratch: int) -> None:
    """Gather some pixels of one block of channels of one image's output."""
    r = gather_record(row)
    chunk, block, image = unit % r.chunks, unit // r.chunks % r.blocks, unit // r.chunks // r.blocks
    first = chunk * r.chunk
    count = min(r.chunk, r.pixels - first)
    out = r.out + image * r.out_image + (block * r.pixels + first) * VECTOR
    places, lanes = integers(scratch, LANES), block * LANES * 8
    sources, offsets = integers(r.lane_sources + lanes, LANES), integers(r.lane_offsets + lanes, LANES)
    for lane in range(LANES):
        of_source = sources[lane] * 8
        place = integers(r.sources + of_source, 1)[0] + image * integers(r.source_images + of_source, 1)[0]
        places[lane] = place + offsets[lane] + first * VECTOR
    if is_vector(places):
        copy(places[0], out, count * LANES)
    else:
        call_gather(r.function, scratch, out, count)
    for lane in range(r.channels - block * LANES, LANES):  # those beyond the last channel stay finite
        for i in range(count):
            floats(out + i * VECTOR + lane * 4, 1)[0] = 0.0


def flatten(row: int, unit: int, scratch: int) -> None:
    """Move one block of channels of one image to where the reference has its elements."""
    r = move_record(row)
    image, block = unit // r.blocks, unit % r.blocks
    x = floats(r.source + image * r.source_image + block * r.pixels * VECTOR, r.pixels * LANES)
    out = r.out + image * r.out_image
    for lane in range(min(LANES, r.channels - block * LANES)):
        y = floats(out + (block * LANES + lane) * r.pixels * 4, r.pixels)
        for i in range(r.pixels):
            y[i] = x[i * LANES + lane]
    if block == r.blocks - 1:  # lanes beyond the last element hold something finite
        elements = r.channels * r.pixels
        fill(out + elements * 4, -elements % LANES, 0.0)
