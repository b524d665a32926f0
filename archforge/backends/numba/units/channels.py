"""Channels that change places: concatenation, slices, shuffles, and flattening."""

from __future__ import annotations

from archforge.backends.numba.units.basics import LANES, VECTOR, channels_record, floats, integers

__all__ = ["channels", "flatten"]


def channels(row: int, unit: int, scratch: int) -> None:
    """One block of channels of one image's output."""
    r = channels_record(row)
    image, block = unit // r.blocks, unit % r.blocks
    source = r.source + image * r.source_image
    out = floats(r.out + image * r.out_image + block * r.pixels * VECTOR, r.pixels * LANES)
    taken = integers(r.map + block * LANES * 8, LANES)
    for lane in range(LANES):
        channel = taken[lane]
        if channel < 0:
            continue
        x = floats(source + (channel // LANES) * r.pixels * VECTOR, r.pixels * LANES)
        from_lane = channel % LANES
        for i in range(r.pixels):
            out[i * LANES + lane] = x[i * LANES + from_lane]


def flatten(row: int, unit: int, scratch: int) -> None:
    """One block of channels of one image, to where the reference has its elements."""
    r = channels_record(row)
    image, block = unit // r.blocks, unit % r.blocks
    x = floats(r.source + image * r.source_image + block * r.pixels * VECTOR, r.pixels * LANES)
    taken = integers(r.map + block * LANES * 8, LANES)
    for lane in range(LANES):
        channel = taken[lane]
        if channel < 0:
            continue
        out = floats(r.out + image * r.out_image + channel * r.pixels * 4, r.pixels)
        for i in range(r.pixels):
            out[i] = x[i * LANES + lane]
