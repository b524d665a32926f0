"""Windows over each channel by itself: depthwise convolutions, pools, factors of channels."""

from __future__ import annotations

from archforge.backends.numba.units.intrinsics import LANES, VECTOR, call_unit, call_window, pool_record

__all__ = ["pool"]


def pool(row: int, unit: int, scratch: int) -> None:
    """Compute one band of one block of channels of one image."""
    r = pool_record(row)
    band, block, image = unit % r.bands, unit // r.bands % r.blocks, unit // r.bands // r.blocks
    top, bottom = band * r.band_rows, min((band + 1) * r.band_rows, r.height)
    source = r.source + image * r.source_image + block * r.source_plane
    weight = r.weight + image * r.weight_image + block * r.block_weight
    bias = r.bias + block * VECTOR
    while top < bottom:
        rows = min(r.activated_rows, bottom - top)
        out = r.out + image * r.out_image + block * r.out_plane + top * r.out_row
        residual = 0
        if r.residual:
            residual = r.residual + image * r.residual_image + block * r.out_plane + top * r.residual_row
        call_window(r.tile, row, source, weight, bias, out, residual, top, rows)
        if r.activation:
            call_unit(r.activation, out, rows * r.width * LANES, r.parameter)
        top += rows
