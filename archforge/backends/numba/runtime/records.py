"""The records through which Python tells machine code what to do. Sizes and strides are in bytes
unless their comment says otherwise; an address of 0 means that there is no such thing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["ACROSS", "CONV", "ELEMENTS", "GEOMETRY", "MOVE", "POOL", "RESAMPLE", "STEP", "WINOGRAD"]


def _record(*groups: Iterable[tuple[str, str]] | str) -> np.dtype[np.void]:
    """Fields by name and type; a text lists names of 64-bit integers."""
    fields: list[tuple[str, str]] = []
    for group in groups:
        fields += [(name, "i8") for name in group.split()] if isinstance(group, str) else group
    return np.dtype(fields, align=True)


# One step of a program: `function` does unit `i` of `units`, in any order, on any thread.
STEP = _record("function record units")

# How a tile's window passes over its source: `run` floats at each of planes * rows * columns places
# (each a count), which are the strides apart, until there were `depth` floats. Then where its results go,
# how far ahead in the weights a tile has so many cache lines prefetched at each place, and the next tile
# begins with that; and between what results are clamped.
_GEOMETRY = (
    "planes plane rows row columns column run depth out_pixel out_block residual_pixel",
    "ahead ahead_lines ahead_step",
    [("low", "f4"), ("high", "f4")],
)
GEOMETRY = _record(*_GEOMETRY)

# `activation` is the address of a function, `parameter` of a float. The output of one image is cut into
# `bands` of rows and `stretches` of columns, as equal as can be. With `patch`, what a unit reads is first
# copied to the thread's scratch memory, with zeros around it. Panels of `panel_blocks` blocks of output
# channels are what a tile computes at once; the last of each group may be smaller. `tiles` and `tail_tiles`
# are tables of functions by the number of pixels.
CONV = _record(
    *_GEOMETRY,
    "batch height width bands stretches",  # numbers of pixels, as in the next line
    "stride_y stride_x pad_y pad_x reach_y reach_x source_height source_width",
    "source source_image source_plane source_row source_pixel pixel",
    "patch patch_plane patch_row",
    "weight bias out out_image out_row residual residual_image residual_row",
    "activation parameter",
    "group_planes group_blocks group_panels panels panel_blocks block_weight parts parts_first",
    "tiles most_pixels tail_tiles tail_most_pixels",
)

# One unit is a band of one block of channels of one image. A row of outputs is made by so many `tiles`, the
# last from pixel `last_tile` on; activations follow `row_group` rows.
POOL = _record(
    *_GEOMETRY,
    "batch blocks height width bands band_rows row_group",  # numbers of pixels, as in the next line
    "stride_y pad_y pad_x source_height source_width",
    "source source_image source_plane source_row",
    "weight block_weight weight_row weight_image bias",
    "out out_image out_row residual residual_image residual_row",
    "tile tiles last_tile activation parameter",
)

# Element by element over `count` floats of one image, in chunks: x op y, by `kind` of `opcodes.py`;
# with slopes for negative numbers a chunk is a block of channels and `y` holds one for each.
ELEMENTS = _record(
    "batch chunks chunk count kind x x_image y y_image out out_image activation parameter",
)

# Each block of channels of the output gathers its lanes from `lanes` int64[blocks * lanes] bytes into the
# source, of every pixel from `places` int64[pixels] bytes further, or without `places` pixel by pixel.
# `opcodes.py` has what stands for no place. The pixels are cut into `chunks` of `chunk`.
MOVE = _record(
    "batch blocks pixels chunk chunks channels source source_image out out_image lanes places",
    [("fill", "f4")],
)

# All channels of each pixel, of which a unit takes `chunk`. `weight` and `bias` hold one for each channel;
# a window of `size` channels begins `before` its own.
ACROSS = _record(
    "batch blocks pixels chunk chunks channels source source_image out out_image weight bias size before",
    [("constant", "f4"), ("factor", "f4"), ("power", "f4")],
)

# Output i of an axis sums `counts[i]` entries of the source from `begins[i]` on, each times one of `most`
# floats of `shares`. Height, width and source_width are numbers of pixels.
RESAMPLE = _record(
    "batch blocks height width source source_image source_plane source_width out out_image out_plane",
    "row_begins row_counts row_shares row_most column_begins column_counts column_shares column_most",
)

# Tiles of `outputs` from `points` inputs along each axis; `stage` is one of `opcodes.py`. The
# geometry at the head is that of the products, which end in no activation; `epilogue` is the address of
# the outputs' one. Values and products are cut into chunks of `chunk` tiles, of `tiles_all` in the batch;
# from a frequency of them to the next it is a stride.
WINOGRAD = _record(
    *_GEOMETRY,
    "stage frequencies points_y points_x outputs_y outputs_x",
    "height width source_height source_width pad_y pad_x tiles_y tiles_x tiles_all chunk chunks",
    "in_blocks out_blocks panels panel_blocks block_weight edge",
    "source source_image weight bias zeros out out_image residual residual_image",
    "values values_stride products products_stride",
    "tiles most_pixels tail_tiles tail_most_pixels transform_in transform_out",
    "epilogue activation then parameter",
)
