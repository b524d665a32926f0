"""Windows that keep channels apart: depthwise convolution, factors of channels, pools by maximum and mean."""

from __future__ import annotations

from archforge.backends.numba.units.area import fill_patch, run_tiles
from archforge.backends.numba.units.basics import VECTOR, pool_record

__all__ = ["pool"]


def pool(row: int, unit: int, scratch: int) -> None:
    """One band of one block of channels of one image."""
    r = pool_record(row)
    band, block, image = unit % r.bands, unit // r.bands % r.blocks, unit // r.bands // r.blocks
    top, bottom = band * r.band_rows, min((band + 1) * r.band_rows, r.height)
    above = top * r.stride_y - r.pad_y
    if r.patch:
        rows = (bottom - top - 1) * r.stride_y + r.reach_y
        columns = (r.width - 1) * r.stride_x + r.reach_x
        fill_patch(r, image, block, 1, above, rows, -r.pad_x, columns, scratch)
        source, source_row = scratch, r.patch_row
    else:
        source = r.source + image * r.source_image + block * r.source_plane + above * r.source_row
        source_row = r.source_row
    out = r.out + image * r.out_image + block * r.out_block
    weight = r.weight + image * r.weight_image + block * r.block_weight
    residual = 0
    if r.residual:
        residual = r.residual + image * r.residual_image + block * r.out_block
    for y in range(top, bottom):
        run_tiles(
            r,
            row,
            r.tiles,
            r.most_pixels,
            1,
            r.width,
            source + (y - top) * r.stride_y * source_row,
            r.stride_x * r.pixel,
            weight + y * r.weight_row,
            4 if r.weight_row else 0,  # the mean's factors are one float for each pixel
            r.bias + block * VECTOR,
            out + y * r.out_row,
            residual + y * r.residual_row if residual else 0,
            0,
        )
