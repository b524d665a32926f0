"""What units share: running tiles, filling and copying; of convolutions what they read, with its padding."""

from __future__ import annotations

from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_tile,
    call_unit,
    device,
    floats,
    integers,
)

__all__ = ["copy", "fill", "fill_patch", "run_tiles"]


@device
def fill_patch(r, image, first_plane, planes, top, rows, left, columns, scratch):
    """Copies rows x columns pixels of some planes to scratch, from (top, left), which may lie outside."""
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
def fill(address, count, value):
    x = floats(address, count)
    for i in range(count):
        x[i] = value


@device
def copy_pixels(source, source_pixel, to, pixel, count):
    """`count` pixels that need not lie next to each other in the source."""
    if source_pixel == pixel:
        copy(source, to, count * pixel // 4)
    else:
        for i in range(count):
            copy(source + i * source_pixel, to + i * pixel, pixel // 4)


@device
def copy(source, to, count):
    x, y = floats(source, count), floats(to, count)
    for i in range(count):
        y[i] = x[i]


@device
def run_tiles(
    r,
    geometry,
    tiles,
    most,
    blocks,
    count,
    source,
    source_step,
    weight,
    bias,
    out,
    residual,
    ahead,
):
    """`count` pixels of one row, in tiles of nearly equal size, then the activation. Returns what the tile
    after them should have prefetched."""
    pieces = (count + most - 1) // most
    least, larger = count // pieces, count % pieces
    for i in range(pieces):
        pixels = least + (i < larger)
        call_tile(integers(tiles, most + 1)[pixels], geometry, source, weight, bias, out, residual, ahead)
        ahead += r.prefetch_step
        if r.activation:
            for q in range(blocks):
                activate_pixels(r, out + q * r.out_block, pixels)
        source += pixels * source_step
        out += pixels * r.out_pixel
        if residual:
            residual += pixels * r.residual_pixel
    return ahead


@device
def activate_pixels(r, address, pixels):
    if r.out_pixel == VECTOR:
        call_unit(r.activation, address, pixels * LANES, r.parameter)
    else:
        for i in range(pixels):
            call_unit(r.activation, address + i * r.out_pixel, LANES, r.parameter)
