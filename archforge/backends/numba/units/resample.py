"""Weighted means of neighbouring pixels."""

from __future__ import annotations

from archforge.backends.numba.units.float_runs import fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    device,
    floats,
    integers,
    resample_record,
)

__all__ = ["resample"]


def resample(row: int, unit: int, scratch: int) -> None:
    """Compute one row of one block of channels of one image's output.

    The columns come first, which gives a row of the source's width; then the means along that row.
    """
    r = resample_record(row)
    y, block, image = unit % r.height, unit // r.height % r.blocks, unit // r.height // r.blocks
    line = r.source_width * VECTOR
    source = r.source + image * r.source_image + block * r.source_plane
    source += integers(r.row_begins, r.height)[y] * line
    fill(scratch, r.source_width * LANES, 0.0)
    shares = floats(r.row_shares + y * r.row_most * 4, r.row_most)
    for i in range(integers(r.row_counts, r.height)[y]):
        add_times(scratch, source + i * line, shares[i], r.source_width * LANES)
    out = r.out + image * r.out_image + block * r.out_plane + y * r.width * VECTOR
    fill(out, r.width * LANES, 0.0)
    begins, counts = integers(r.column_begins, r.width), integers(r.column_counts, r.width)
    for x in range(r.width):
        shares = floats(r.column_shares + x * r.column_most * 4, r.column_most)
        for i in range(counts[x]):
            add_times(out + x * VECTOR, scratch + (begins[x] + i) * VECTOR, shares[i], LANES)


@device
def add_times(out, source, share, count):
    x, y = floats(source, count), floats(out, count)
    for i in range(count):
        y[i] += share * x[i]
