"""Direct convolutions: panels of output channels over areas of a map. A pointwise one is a single row."""

from __future__ import annotations

from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import VECTOR, conv_record, device
from archforge.backends.numba.units.tile_rows import run_tiles

__all__ = ["conv"]


def conv(row: int, unit: int, scratch: int) -> None:
    """Compute the panels of one part for one area of one image's output."""
    r = conv_record(row)
    areas = r.batch * r.bands * r.strips
    if r.parts_first:
        part, area = unit // areas, unit % areas
    else:
        area, part = unit // r.parts, unit % r.parts
    panel, last = r.panels * part // r.parts, r.panels * (part + 1) // r.parts
    while panel < last:  # group by group
        group = panel // r.group_panels
        end = min(last, (group + 1) * r.group_panels)
        one_group(r, row, area, group, panel, end, scratch)
        panel = end


@device
def one_group(r, row, area, group, panel, end, scratch):
    """Compute some panels of one group for an area."""
    strip, band, image = area % r.strips, area // r.strips % r.bands, area // r.strips // r.bands
    top, bottom = r.height * band // r.bands, r.height * (band + 1) // r.bands
    left, right = r.width * strip // r.strips, r.width * (strip + 1) // r.strips
    source, source_row = seen_source(r, image, group * r.group_planes, top, bottom, left, right, scratch)
    for p in range(panel, end):
        first = (p - group * r.group_panels) * r.panel_blocks  # block in its group
        blocks = min(r.panel_blocks, r.group_blocks - first)
        tiles, most = r.tile_table, r.tile_pixels
        if blocks < r.panel_blocks:
            tiles, most = r.tail_table, r.tail_pixels
        block = group * r.group_blocks + first
        weight, bias = r.weight + block * r.block_weight, r.bias + block * VECTOR
        offset = block * r.out_plane + left * r.out_pixel
        out = r.out + image * r.out_image + offset
        residual = 0
        if r.residual:
            residual = r.residual + image * r.residual_image + block * r.out_plane + left * r.residual_pixel
        ahead = weight + r.prefetch_ahead
        for y in range(top, bottom):
            ahead = run_tiles(
                r,
                row,
                tiles,
                most,
                blocks,
                right - left,
                source + (y - top) * r.stride_y * source_row,
                r.stride_x * r.read_pixel,
                weight,
                bias,
                out + y * r.out_row,
                residual + y * r.residual_row if residual else 0,
                ahead,
            )


@device
def seen_source(r, image, plane, top, bottom, left, right, scratch):
    """The address where tiles of an area begin to read and the bytes of a row there: in the source, or in a
    patch that is filled now."""
    above, before = top * r.stride_y - r.pad_y, left * r.stride_x - r.pad_x
    if r.patch:
        rows = (bottom - top - 1) * r.stride_y + r.reach_y
        columns = (right - left - 1) * r.stride_x + r.reach_x
        fill_patch(r, image, plane, r.group_planes, above, rows, before, columns, scratch)
        return scratch, r.patch_row
    source = r.source + image * r.source_image + plane * r.source_plane
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
            copy_pixels(source, r.source_pixel, to + begin * r.read_pixel, r.read_pixel, end - begin)
            fill(to + end * r.read_pixel, (columns - end) * r.read_pixel // 4, 0.0)


@device
def copy_pixels(source, source_pixel, to, pixel, count):
    """Copy `count` pixels that need not lie side by side in the source."""
    if source_pixel == pixel:
        copy(source, to, count * pixel // 4)
    else:
        for i in range(count):
            copy(source + i * source_pixel, to + i * pixel, pixel // 4)
