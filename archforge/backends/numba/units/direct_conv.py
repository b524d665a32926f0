"""Direct convolutions: panels of output channels over areas of a map. A pointwise one is a single row."""

from __future__ import annotations

from archforge.backends.numba.runtime.records import PANEL
from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    VECTOR,
    call_narrow,
    conv_record,
    device,
    geometry_record,
    panel_record,
)
from archforge.backends.numba.units.tile_rows import run_tiles

__all__ = ["conv"]

PANEL_BYTES = PANEL.dtype.itemsize


def conv(row: int, unit: int, scratch: int) -> None:
    """Compute the panels of one part for one area of one image's output."""
    r = conv_record(row)
    areas = r.batch * r.bands * r.strips
    if r.parts_first:
        part, area = unit // areas, unit % areas
    else:
        area, part = unit // r.parts, unit % r.parts
    place = place_of(r, area)
    source, source_row, seen = 0, 0, -1
    for p in range(r.panels * part // r.parts, r.panels * (part + 1) // r.parts):
        panel = panel_record(r.panel_table + p * PANEL_BYTES)
        if panel.plane != seen:
            source, source_row = seen_source(r, panel, place, scratch)
            seen = panel.plane
        one_panel(r, panel, place, source, source_row)


@device
def place_of(r, area):
    """The image of an area, the rows of the output from the top to behind the bottom, and the columns."""
    strip, band, image = area % r.strips, area // r.strips % r.bands, area // r.strips // r.bands
    top, bottom = r.height * band // r.bands, r.height * (band + 1) // r.bands
    left, right = r.width * strip // r.strips, r.width * (strip + 1) // r.strips
    return image, top, bottom, left, right


@device
def one_panel(r, panel, place, source, source_row):
    """Compute one panel for an area."""
    image, top, bottom, left, right = place
    tiles, most = r.tile_table, r.tile_pixels
    if panel.blocks < r.panel_blocks:
        tiles, most = r.tail_table, r.tail_pixels
    address = r.geometries + panel.geometry
    geometry = geometry_record(address)
    weight, bias = r.weight + panel.weight, r.bias + panel.block * VECTOR
    offset = panel.block * r.out_plane
    out = r.out + image * r.out_image + offset + left * r.out_pixel
    residual = 0
    if r.residual:
        residual = r.residual + image * r.residual_image + offset + left * r.residual_pixel
    ahead = weight + geometry.prefetch_ahead
    for y in range(top, bottom):
        ahead = run_tiles(
            r,
            address,
            tiles,
            most,
            panel.blocks,
            right - left,
            source + panel.source + (y - top) * r.stride_y * source_row,
            r.stride_x * r.read_pixel,
            weight,
            bias,
            out + y * r.out_row,
            residual + y * r.residual_row if residual else 0,
            ahead,
            geometry.prefetch_step,
        )


@device
def seen_source(r, panel, place, scratch):
    """The address where tiles of an area begin to read the planes of a panel's groups, and the bytes of a row
    there: in the source, or in a patch that is filled now."""
    image, top, bottom, left, right = place
    above, before = top * r.stride_y - r.pad_y, left * r.stride_x - r.pad_x
    if r.patch:
        rows = (bottom - top - 1) * r.stride_y + r.reach_y
        columns = (right - left - 1) * r.stride_x + r.reach_x
        fill_patch(r, image, panel.plane, panel.planes, above, rows, before, columns, scratch)
        return scratch, r.patch_row
    source = r.source + image * r.source_image + panel.plane * r.source_plane
    return source + above * r.source_row + before * r.source_pixel, r.source_row


@device
def fill_patch(r, image, first_plane, planes, top, rows, left, columns, scratch):
    """Copy rows x columns pixels of some planes to scratch memory, from (top, left) on, which may lie
    outside; zeros stand for pixels outside."""
    begin = min(max(-left, 0), columns)
    end = max(begin, min(columns, r.source_width - left))
    for p in range(planes):
        plane = r.source + image * r.source_image + (first_plane + p) * r.source_plane
        for y in range(rows):
            to = scratch + p * r.patch_plane + y * r.patch_row
            line = top + y
            if line < 0 or line >= r.source_height:
                fill(to, columns * r.read_pixel // 4, 0.0)
                continue
            fill(to, begin * r.read_pixel // 4, 0.0)
            source = plane + line * r.source_row + (left + begin) * r.source_pixel
            first = to + begin * r.read_pixel
            if r.narrow:
                call_narrow(r.narrow, source, r.source_pixel, first, end - begin)
            else:
                copy_pixels(source, r.source_pixel, first, r.read_pixel, end - begin)
            fill(to + end * r.read_pixel, (columns - end) * r.read_pixel // 4, 0.0)


@device
def copy_pixels(source, source_pixel, to, pixel, count):
    """Copy `count` pixels that need not lie side by side in the source."""
    if source_pixel == pixel:
        copy(source, to, count * pixel // 4)
    else:
        for i in range(count):
            copy(source + i * source_pixel, to + i * pixel, pixel // 4)
