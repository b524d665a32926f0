"""Rows of tiles of products, with the activation that follows."""

from __future__ import annotations

from archforge.backends.numba.units.intrinsics import LANES, VECTOR, call_tile, call_unit, device, integers

__all__ = ["run_tiles"]


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
    step,
):
    """Compute `count` pixels of one row in tiles of nearly equal size, then their activation.

    Each tile prefetches `step` bytes of weights from `ahead` on. Returns the address behind the last ones.
    """
    pieces = (count + most - 1) // most
    least, larger = count // pieces, count % pieces
    for i in range(pieces):
        pixels = least + (i < larger)
        call_tile(integers(tiles, most + 1)[pixels], geometry, source, weight, bias, out, residual, ahead)
        ahead += step
        if r.activation:
            for q in range(blocks):
                activate_pixels(r, out + q * r.out_plane, pixels)
        source += pixels * source_step
        out += pixels * r.out_pixel
        if residual:
            residual += pixels * r.residual_pixel
    return ahead


@device
def activate_pixels(r, address, pixels):
    """Apply the activation to pixels that need not lie side by side."""
    if r.out_pixel == VECTOR:
        call_unit(r.activation, address, pixels * LANES, r.parameter)
    else:
        for i in range(pixels):
            call_unit(r.activation, address + i * r.out_pixel, LANES, r.parameter)
