"""Weighted means of neighbouring pixels."""

from __future__ import annotations

from archforge.backends.numba.units.float_runs import fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    device,
    doubles,
    floats,
    integers,
    resample_record,
)

__all__ = ["resample"]

MOST_IN_FLOAT32 = 8  # lines whose sum, with roundings of products and shares, loses 1e-6 at most


def resample(row: int, unit: int, scratch: int) -> None:
    """Compute one row of one block of channels of one image's output.

    The columns come first, which gives a row of the source's width; then the means along that row.
    """
    r = resample_record(row)
    y, block, image = unit % r.height, unit // r.height % r.blocks, unit // r.height // r.blocks
    line = r.source_width * VECTOR
    source = r.source + image * r.source_image + block * r.source_plane
    source += integers(r.row_begins, r.height)[y] * line
    rows, wide = integers(r.row_counts, r.height)[y], scratch + line
    weigh(source, line, r.row_shares + y * r.row_most * 4, rows, scratch, r.source_width * LANES, wide)
    out = r.out + image * r.out_image + block * r.out_plane + y * r.width * VECTOR
    begins, counts = integers(r.column_begins, r.width), integers(r.column_counts, r.width)
    for x in range(r.width):
        shares = r.column_shares + x * r.column_most * 4
        weigh(scratch + begins[x] * VECTOR, VECTOR, shares, counts[x], out + x * VECTOR, LANES, wide)


@device
def weigh(source, stride, shares, lines, out, count, wide):
    """Write the sum of lines of `count` floats, each times its share; many are summed in `wide`, float64."""
    share = floats(shares, lines)
    if lines <= MOST_IN_FLOAT32:
        fill(out, count, 0.0)
        for line in range(lines):
            add_times(floats(out, count), floats(source + line * stride, count), share[line])
        return
    total, made = doubles(wide, count), floats(out, count)
    for i in range(count):
        total[i] = 0.0
    for line in range(lines):
        add_times(total, floats(source + line * stride, count), share[line])
    for i in range(count):
        made[i] = total[i]


@device
def add_times(total, x, share):
    for i in range(len(x)):
        total[i] += share * x[i]
