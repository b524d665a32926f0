"""The way back through windows over each channel by itself."""

from __future__ import annotations

from archforge.backends.numba.units.float_runs import fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_window_back,
    device,
    windows_back_record,
)

__all__ = ["windows_back"]


@device
def inside(at, pad, apart, count, size):
    """The places of a window along an axis, from the first to behind the last, that lie in the source."""
    start = at - pad
    return max(0, (apart - 1 - start) // apart), min(count, (size - 1 - start) // apart + 1)


def windows_back(row: int, unit: int, scratch: int) -> None:
    """Compute the gradient of one block of channels of one image."""
    r = windows_back_record(row)
    block, image = unit % r.blocks, unit // r.blocks
    pixels = r.source_height * r.source_width
    out = r.out + image * r.out_image + block * pixels * VECTOR
    x = r.x + image * r.x_image + block * pixels * VECTOR
    offset = block * r.height * r.width * VECTOR
    y, dy = r.y + image * r.y_image + offset, r.dy + image * r.dy_image + offset
    fill(out, pixels * LANES, 0.0)
    # Behind the last window that lies in the source as a whole, along the columns.
    end = (r.source_width - 1 - (r.columns - 1) * r.dilation_x + r.pad_x) // r.stride_x + 1
    for top in range(r.height):
        first, last = inside(top * r.stride_y, r.pad_y, r.dilation_y, r.rows, r.source_height)
        line = top * r.stride_y - r.pad_y + first * r.dilation_y
        i = 0
        while i < r.width and first < last:
            left, right = inside(i * r.stride_x, r.pad_x, r.dilation_x, r.columns, r.source_width)
            windows = 1
            if left == 0 and right == r.columns:
                windows = max(1, min(end, r.width) - i)
            if left < right:
                column = i * r.stride_x - r.pad_x + left * r.dilation_x
                at, result = (line * r.source_width + column) * VECTOR, top * r.width + i
                call_window_back(
                    r.tile,
                    row,
                    x + at,
                    y + result * VECTOR,
                    dy + result * VECTOR,
                    out + at,
                    r.shares + result * 4,
                    last - first,
                    right - left,
                    windows,
                )
            i += windows
