"""The records through which Python tells machine code what to do: tables, a line for each field.

A family of kernels sets the fields when it puts a call on the tape. The unit that computes the call reads
them, and so do the microkernels that it calls. An address of 0 says that there is no such array or function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from archforge.errors import InternalError

__all__ = [
    "ACROSS",
    "ATTENTION",
    "CHANNELS",
    "CONV",
    "ELEMENTS",
    "GATHER",
    "GEOMETRY",
    "MOVE",
    "OUTER",
    "PACKED_PANEL",
    "PACKING",
    "PANEL",
    "PARTS",
    "POOL",
    "RECORDS",
    "RESAMPLE",
    "STEP",
    "STREAM",
    "TRANSFORM",
    "WINDOWS_BACK",
    "WINOGRAD",
    "RecordField",
    "RecordTable",
    "merged",
]

# A `flag` is 0 or 1, an `opcode` one of the numbers of `opcodes.py`, a `value` a number without a unit. All
# words in the plural count things; a `block` is as many channels as a vector has lanes.
FieldUnit = Literal[
    "address",
    "bands",
    "blocks",
    "bytes",
    "channels",
    "chunks",
    "columns",
    "flag",
    "floats",
    "heads",
    "images",
    "lines",
    "opcode",
    "panels",
    "parts",
    "pixels",
    "planes",
    "points",
    "rows",
    "squares",
    "strips",
    "tiles",
    "tokens",
    "units",
    "value",
    "windows",
    "words",
]


@dataclass(frozen=True, slots=True)
class RecordField:
    """One number of a record: a 64-bit integer, or a float32 with the type `f4`."""

    name: str
    unit: FieldUnit
    meaning: str
    type: Literal["i8", "f4"] = "i8"


@dataclass(frozen=True)
class RecordTable:
    """The fields of a record, in the order in which they lie in memory."""

    fields: tuple[RecordField, ...]

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """The record as NumPy and Numba know it. Raises ValueError if two fields have one name."""
        return np.dtype([(field.name, field.type) for field in self.fields], align=True)

    def offset(self, name: str) -> int:
        """Bytes from the beginning of the record to a field."""
        fields: Any = self.dtype.fields
        offset: int = fields[name][1]
        return offset


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record, each given by one of the parts. Raises InternalError for one given by two."""
    fields: dict[str, Any] = {}
    for part in parts:
        twice = fields.keys() & part.keys()
        if twice:
            raise InternalError(f"fields of a record are given twice: {', '.join(sorted(twice))}")
        fields |= part
    return fields


def _record(*parts: RecordTable | RecordField) -> RecordTable:
    """A record of these fields, or of all fields of another record where that is a part."""
    tables = (part.fields if isinstance(part, RecordTable) else (part,) for part in parts)
    return RecordTable(tuple(field for table in tables for field in table))


# One step of a program.
STEP = _record(
    RecordField("function", "address", "the unit's function"),
    RecordField("record", "address", "the record that the unit reads"),
    RecordField("units", "units", "calls of the function, in any order and on any thread"),
)

# How a tile passes its window over the source, and what it does with the results. At each place of the window
# (plane, row, column) it reads `run` words that lie side by side, in the first and the last plane fewer. A
# word is a float or a pair of bfloat16.
GEOMETRY = _record(
    RecordField("planes", "planes", "planes of the source that the window spans"),
    RecordField("plane", "bytes", "from a plane of the source to the next"),
    RecordField("rows", "rows", "rows of the window"),
    RecordField("row", "bytes", "from where one row of the window lies in the source to the next"),
    RecordField("columns", "columns", "columns of the window"),
    RecordField("column", "bytes", "from where one column of the window lies in the source to the next"),
    RecordField("run", "words", "read at each place of the window"),
    RecordField("skipped", "words", "of a run in the first plane, at its beginning, that are not read"),
    RecordField("cut", "words", "of a run in the last plane, at its end, that are not read"),
    RecordField("out_pixel", "bytes", "from a pixel of the results to the next"),
    RecordField("out_plane", "bytes", "from a block of channels of the results to the next"),
    RecordField("residual_pixel", "bytes", "from a pixel of the value to add to the next"),
    RecordField("prefetch_ahead", "bytes", "from a panel's weights to those that its tiles prefetch"),
    RecordField("prefetch_lines", "lines", "cache lines of weights that a tile prefetches at each place"),
    RecordField("prefetch_step", "bytes", "of weights that one tile prefetches; the next begins behind them"),
    RecordField("low", "value", "the least result; smaller ones become it", "f4"),
    RecordField("high", "value", "the greatest result; larger ones become it", "f4"),
)

# A direct convolution that mixes channels. What a unit computes is one area of one image, a band of rows in a
# strip of columns, and one part of the panels; a panel is what a tile computes at once.
CONV = _record(
    RecordField("batch", "images", "images of the batch"),
    RecordField("height", "pixels", "height of the output"),
    RecordField("width", "pixels", "width of the output"),
    RecordField("bands", "bands", "bands of rows into which the output is cut, as equal as can be"),
    RecordField("strips", "strips", "strips of columns into which the output is cut, as equal as can be"),
    RecordField("stride_y", "pixels", "from a window to the next one below it"),
    RecordField("stride_x", "pixels", "from a window to the next one beside it"),
    RecordField("pad_y", "pixels", "padding above the source"),
    RecordField("pad_x", "pixels", "padding to the left of the source"),
    RecordField("reach_y", "pixels", "height of the window with its dilation"),
    RecordField("reach_x", "pixels", "width of the window with its dilation"),
    RecordField("source_height", "pixels", "height of the source"),
    RecordField("source_width", "pixels", "width of the source"),
    RecordField("source", "address", "the source's first pixel"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("source_plane", "bytes", "from a plane of the source to the next"),
    RecordField("source_row", "bytes", "from a row of the source to the next"),
    RecordField("source_pixel", "bytes", "from a pixel of the source to the next"),
    RecordField(
        "read_pixel", "bytes", "from a pixel to the next where tiles read: in the patch or the source"
    ),
    RecordField("patch", "flag", "1: a unit first copies what it reads to scratch memory, with its padding"),
    RecordField("narrow", "address", "the function that copies pixels to a patch of bfloat16"),
    RecordField("patch_plane", "bytes", "from a plane of the patch to the next"),
    RecordField("patch_row", "bytes", "from a row of the patch to the next"),
    RecordField("weight", "address", "packed weights, float32, or bfloat16 where patches are"),
    RecordField("bias", "address", "the bias of each output channel, float32, in whole blocks"),
    RecordField("out", "address", "the first pixel of the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("out_plane", "bytes", "from a block of channels of the results to the next"),
    RecordField("out_row", "bytes", "from a row of the results to the next"),
    RecordField("out_pixel", "bytes", "from a pixel of the results to the next"),
    RecordField("residual", "address", "the first pixel of the value to add"),
    RecordField("residual_image", "bytes", "from an image of the value to add to the next"),
    RecordField("residual_row", "bytes", "from a row of the value to add to the next"),
    RecordField("residual_pixel", "bytes", "from a pixel of the value to add to the next"),
    RecordField("activation", "address", "the function through which results go"),
    RecordField("parameter", "address", "the activation's parameter, one float32"),
    RecordField("geometries", "address", "records GEOMETRY, one for all panels that pass alike"),
    RecordField("panel_table", "address", "a record PANEL for each panel"),
    RecordField("panels", "panels", "panels of all groups"),
    RecordField("panel_blocks", "blocks", "the most blocks of a panel"),
    RecordField("parts", "parts", "parts into which the panels are cut, as equal as can be"),
    RecordField("parts_first", "flag", "1: all areas of one part are units before those of the next part"),
    RecordField("tile_table", "address", "the tile's function by its number of pixels, int64"),
    RecordField("tile_pixels", "pixels", "the most pixels of a tile"),
    RecordField("tail_table", "address", "the function for a smaller panel by its number of pixels, int64"),
    RecordField("tail_pixels", "pixels", "the most pixels of a tile of a smaller panel"),
)

# A panel of a direct convolution: the blocks of output channels that its tiles compute, and what they read.
PANEL = _record(
    RecordField("block", "blocks", "blocks of output channels before it"),
    RecordField("blocks", "blocks", "its blocks of output channels"),
    RecordField("plane", "planes", "planes of the source before those of its groups"),
    RecordField("planes", "planes", "planes of its groups, which a patch holds"),
    RecordField("source", "bytes", "from where these planes begin to where its tiles read"),
    RecordField("weight", "bytes", "from the first panel's weights to its own"),
    RecordField("geometry", "bytes", "from the first record GEOMETRY to its own"),
)

# Windows over each channel by itself. A unit is a band of rows of one block of channels of one image.
POOL = _record(
    RecordField("rows", "rows", "rows of the window"),
    RecordField("row", "bytes", "from where one row of the window lies in the source to the next"),
    RecordField("columns", "columns", "columns of the window"),
    RecordField("column", "bytes", "from where one column of the window lies in the source to the next"),
    RecordField("out_pixel", "bytes", "from a pixel of the results to the next"),
    RecordField("out_plane", "bytes", "from a block of channels of the results to the next"),
    RecordField("residual_pixel", "bytes", "from a pixel of the value to add to the next"),
    RecordField("low", "value", "the least result; smaller ones become it", "f4"),
    RecordField("high", "value", "the greatest result; larger ones become it", "f4"),
    RecordField("blocks", "blocks", "blocks of channels"),
    RecordField("height", "pixels", "height of the output"),
    RecordField("width", "pixels", "width of the output"),
    RecordField("bands", "bands", "bands of rows into which the output is cut"),
    RecordField("band_rows", "pixels", "rows of a band; the last one may have fewer"),
    RecordField("activated_rows", "pixels", "rows of results after which the activation follows"),
    RecordField("stride_y", "pixels", "from a window to the next one below it"),
    RecordField("pad_y", "pixels", "padding above the source"),
    RecordField("pad_x", "pixels", "padding to the left of the source"),
    RecordField("source_height", "pixels", "height of the source"),
    RecordField("source_width", "pixels", "width of the source"),
    RecordField("source", "address", "the source's first pixel"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("source_plane", "bytes", "from a block of channels of the source to the next"),
    RecordField("source_row", "bytes", "from a row of the source to the next"),
    RecordField("weight", "address", "weights of the window, or factors of results, float32"),
    RecordField("block_weight", "bytes", "weights of one block of channels"),
    RecordField("weight_row", "bytes", "from a row of factors of results to the next"),
    RecordField("weight_image", "bytes", "from an image's weights to the next image's"),
    RecordField("bias", "address", "the bias of each channel, float32, in whole blocks"),
    RecordField("out", "address", "the first pixel of the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("out_row", "bytes", "from a row of the results to the next"),
    RecordField("residual", "address", "the first pixel of the value to add"),
    RecordField("residual_image", "bytes", "from an image of the value to add to the next"),
    RecordField("residual_row", "bytes", "from a row of the value to add to the next"),
    RecordField("tile", "address", "the tile's function"),
    RecordField("row_tiles", "tiles", "tiles of one row of outputs"),
    RecordField("last_tile", "pixels", "from the row's first pixel to its last tile, which may overlap"),
    RecordField("activation", "address", "the function through which results go"),
    RecordField("parameter", "address", "the activation's parameter, one float32"),
)

# Element by element, x op y. A unit is a chunk of one image.
ELEMENTS = _record(
    RecordField("chunks", "chunks", "chunks into which an image is cut"),
    RecordField("chunk", "floats", "elements of a chunk; the last one may have fewer"),
    RecordField("count", "floats", "elements of an image"),
    RecordField("kind", "opcode", "the operator; for `SLOPES` a chunk is a block of channels"),
    RecordField("x", "address", "the first operand"),
    RecordField("x_image", "bytes", "from an image of the first operand to the next"),
    RecordField("y", "address", "the second operand; for `SLOPES` one float32 for each channel"),
    RecordField("y_image", "bytes", "from an image of the second operand to the next"),
    RecordField("out", "address", "the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("activation", "address", "the function through which results go"),
    RecordField("parameter", "address", "the activation's parameter, one float32"),
)

# Elements that change places: element (channel, pixel) of the output is the one that lies
# `lane_offsets[channel] + pixel_offsets[pixel]` bytes from the source's first. An offset may be one of
# `opcodes.py` instead. A unit is a chunk of the pixels of one block of channels of one image.
MOVE = _record(
    RecordField("blocks", "blocks", "blocks of channels of the output"),
    RecordField("pixels", "pixels", "pixels of the output"),
    RecordField("chunk", "pixels", "pixels of a chunk; the last one may have fewer"),
    RecordField("chunks", "chunks", "chunks into which the pixels are cut"),
    RecordField("channels", "channels", "channels of the output"),
    RecordField("source", "address", "the source's first element"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("out", "address", "the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("lane_offsets", "address", "the offset of each channel in whole blocks, int64"),
    RecordField("pixel_offsets", "address", "the offset of each pixel, int64; 0: pixels keep their places"),
    RecordField("fill", "value", "what is written where the offset is `BLANK`", "f4"),
)

# Channels of several values, gathered in a new order: channel c of the output is the one that lies
# `lane_offsets[c]` bytes from the first element of the source number `lane_sources[c]`. A unit is a chunk of
# the pixels of one block of channels of one image.
GATHER = _record(
    RecordField("blocks", "blocks", "blocks of channels of the output"),
    RecordField("pixels", "pixels", "pixels of the output"),
    RecordField("chunk", "pixels", "pixels of a chunk; the last one may have fewer"),
    RecordField("chunks", "chunks", "chunks into which the pixels are cut"),
    RecordField("channels", "channels", "channels of the output"),
    RecordField("sources", "address", "the address of each source's first element, int64"),
    RecordField("source_images", "address", "bytes from an image of each source to the next, int64"),
    RecordField("lane_sources", "address", "the number of the source of each channel in whole blocks, int64"),
    RecordField("lane_offsets", "address", "the offset of each channel in whole blocks, int64"),
    RecordField("out", "address", "the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("function", "address", "the function that gathers lanes from their addresses"),
)

# Operations over all channels of a pixel. A unit is a chunk of the pixels of one image.
ACROSS = _record(
    RecordField("blocks", "blocks", "blocks of channels"),
    RecordField("pixels", "pixels", "pixels of an image"),
    RecordField("chunk", "pixels", "pixels of a chunk; the last one may have fewer"),
    RecordField("chunks", "chunks", "chunks into which the pixels are cut"),
    RecordField("channels", "channels", "channels of a pixel"),
    RecordField("source", "address", "the source's first pixel"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("out", "address", "the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("weight", "address", "a factor for each channel, float32"),
    RecordField("bias", "address", "a summand for each channel, float32"),
    RecordField("size", "channels", "channels of the window around a channel"),
    RecordField("before", "channels", "from a window's first channel to its own"),
    RecordField("constant", "value", "what is added to the divisor", "f4"),
    RecordField("factor", "value", "the weight of a window's squares", "f4"),
    RecordField("power", "value", "the exponent of a window's sum", "f4"),
    RecordField("dy", "address", "on the way back, the gradient of the output, which is the source"),
    RecordField("dy_image", "bytes", "from an image of the output's gradient to the next"),
)

# Attention of the tokens of a window to each other, in heads. Tokens are pixels of the source, whose blocks
# of channels are those of all queries, head by head, then of keys, then of values. A unit is a part of the
# queries of one head in one window of one image. "Singles" are tiles of one block, "pairs" of two.
ATTENTION = _record(
    RecordField("windows", "windows", "windows of an image"),
    RecordField("tokens", "tokens", "tokens of a window"),
    RecordField("heads", "heads", "heads"),
    RecordField("parts", "parts", "parts into which the queries of a window are cut, as equal as can be"),
    RecordField("width", "blocks", "blocks of channels of a head"),
    RecordField("source", "address", "the source's first pixel"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("plane", "bytes", "from a block of channels to the next, in the source and the results"),
    RecordField("outside", "address", "what the source would hold outside the map, float32, in whole blocks"),
    RecordField(
        "places",
        "address",
        "bytes to each token of each window from the first pixel, int64; below 0: outside",
    ),
    RecordField("factors", "address", "the factor of each head's queries, float32"),
    RecordField("cosine", "flag", "1: queries and keys are divided by their lengths"),
    RecordField("ends", "address", "0 for each key, and behind the last one minus infinity, float32"),
    RecordField("zeros", "address", "zeros, as many as two vectors hold, float32"),
    RecordField("added", "address", "what is added to a head's products of tokens, float32 in whole rows"),
    RecordField("regions", "address", "the region of each token of each window, int64"),
    RecordField("apart", "value", "what is added to products of tokens of different regions", "f4"),
    RecordField("order", "address", "the numbers from 0 on, int64, one for each lane"),
    RecordField("turn", "address", "the function that turns a square of floats"),
    RecordField("scoring", "address", "the record GEOMETRY for products of queries with keys"),
    RecordField("score_pairs", "address", "the tile's function by its number of queries, int64"),
    RecordField("score_singles", "address", "the tile's function by its number of queries, int64"),
    RecordField("mixing", "address", "the record GEOMETRY for products of shares with values"),
    RecordField("mix_pairs", "address", "the tile's function by its number of queries, int64"),
    RecordField("mix_singles", "address", "the tile's function by its number of queries, int64"),
    RecordField("tile", "pixels", "the most queries of a tile"),
    RecordField("out", "address", "the first pixel of the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
)

# Weighted means of neighbouring pixels. Row i of the output is the sum of `row_counts[i]` rows of the source
# from `row_begins[i]` on, each times its share; columns likewise. A unit is one row of one block of channels
# of one image.
RESAMPLE = _record(
    RecordField("blocks", "blocks", "blocks of channels"),
    RecordField("height", "pixels", "height of the output"),
    RecordField("width", "pixels", "width of the output"),
    RecordField("source", "address", "the source's first pixel"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("source_plane", "bytes", "from a block of channels of the source to the next"),
    RecordField("source_width", "pixels", "width of the source"),
    RecordField("out", "address", "the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("out_plane", "bytes", "from a block of channels of the results to the next"),
    RecordField("row_begins", "address", "the first row of the source for each row of the output, int64"),
    RecordField("row_counts", "address", "the number of source rows for each row of the output, int64"),
    RecordField("row_shares", "address", "the shares of the source rows, float32[height, row_most]"),
    RecordField("row_most", "pixels", "the largest of `row_counts`"),
    RecordField("column_begins", "address", "the first column of the source for each of the output, int64"),
    RecordField("column_counts", "address", "the number of source columns for each of the output, int64"),
    RecordField("column_shares", "address", "the shares of the columns, float32[width, column_most]"),
    RecordField("column_most", "pixels", "the largest of `column_counts`"),
)

# A Winograd convolution. The geometry at the head is that of the products of one frequency, a pointwise
# convolution whose pixels are the tiles of a chunk. Values and products lie as [frequency][block][tile in
# the chunk], a vector each.
WINOGRAD = _record(
    GEOMETRY,
    RecordField("stage", "opcode", "what the call does: one stage, or all of them for its chunks"),
    RecordField("frequencies", "points", "products for each tile and pair of channels"),
    RecordField("points_y", "pixels", "height of the inputs of a tile"),
    RecordField("points_x", "pixels", "width of the inputs of a tile"),
    RecordField("outputs_y", "pixels", "height of the outputs of a tile"),
    RecordField("outputs_x", "pixels", "width of the outputs of a tile"),
    RecordField("height", "pixels", "height of the output"),
    RecordField("width", "pixels", "width of the output"),
    RecordField("source_height", "pixels", "height of the source"),
    RecordField("source_width", "pixels", "width of the source"),
    RecordField("pad_y", "pixels", "padding above the source"),
    RecordField("pad_x", "pixels", "padding to the left of the source"),
    RecordField("tiles_y", "tiles", "rows of tiles of an image"),
    RecordField("tiles_x", "tiles", "columns of tiles of an image"),
    RecordField("tiles_all", "tiles", "tiles of all images"),
    RecordField("chunk", "tiles", "the most tiles of a chunk"),
    RecordField("chunks", "chunks", "chunks into which all tiles are cut; 0 if each stage is a call"),
    RecordField("in_blocks", "blocks", "blocks of input channels"),
    RecordField("out_blocks", "blocks", "blocks of output channels"),
    RecordField("panels", "panels", "panels of the products"),
    RecordField("panel_blocks", "blocks", "blocks of a panel; the last one may have fewer"),
    RecordField("block_weight", "bytes", "weights of one block of output channels for one frequency"),
    RecordField("edge", "bytes", "scratch memory for one tile at the border"),
    RecordField("source", "address", "the source's first pixel"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("weight", "address", "transformed and packed weights, float32"),
    RecordField("bias", "address", "the bias of each output channel, float32, in whole blocks"),
    RecordField("zeros", "address", "the products' bias: zeros, float32, as many as a panel has channels"),
    RecordField("out", "address", "the first pixel of the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
    RecordField("residual", "address", "the first pixel of the value to add"),
    RecordField("residual_image", "bytes", "from an image of the value to add to the next"),
    RecordField("values", "address", "the transformed inputs, where each stage is a call"),
    RecordField("values_stride", "bytes", "from a frequency of transformed inputs to the next"),
    RecordField("products", "address", "the products, where each stage is a call"),
    RecordField("products_stride", "bytes", "from a frequency of products to the next"),
    RecordField("tile_table", "address", "the products' function by its number of tiles, int64"),
    RecordField("tile_pixels", "tiles", "the most tiles that one such function multiplies"),
    RecordField(
        "tail_table", "address", "the function for the last, smaller panel by its number of tiles, int64"
    ),
    RecordField("tail_pixels", "tiles", "the most tiles that the last panel's function multiplies"),
    RecordField("transform_in", "address", "the function from a tile's inputs to its values"),
    RecordField("transform_out", "address", "the function from a tile's products to its outputs"),
    RecordField("clamp", "address", "a record GEOMETRY that has the least and the greatest output"),
    RecordField("activation", "address", "the function through which products go: none, always 0"),
    RecordField("out_activation", "address", "the function through which outputs go"),
    RecordField("parameter", "address", "the parameter of `out_activation`, one float32"),
)

# Dense weights into the order in which tiles read them, [panel][plane][place][lane in][block][lane out]. A
# unit is one plane of one panel of one group.
PACKING = _record(
    RecordField("source", "address", "dense weights, float32"),
    RecordField("source_group", "bytes", "from a group of the op to the next, in the source"),
    RecordField("source_out", "bytes", "from a channel out to the next, in the source"),
    RecordField("source_in", "bytes", "from a channel in to the next, in the source"),
    RecordField("place_offsets", "address", "the offset of each place of the kernel in the source, int64"),
    RecordField("places", "points", "places of the kernel"),
    RecordField("planes", "planes", "the most planes of a panel"),
    RecordField("depth", "channels", "channels in of a plane"),
    RecordField("groups", "parts", "groups of the op"),
    RecordField("inputs", "channels", "channels in of a group"),
    RecordField("outputs", "channels", "channels out of a group"),
    RecordField("panel_table", "address", "a record PACKED_PANEL for each panel"),
    RecordField("out", "address", "the packed weights"),
    RecordField("squares", "squares", "squares that whole blocks of a whole plane are turned in; 0 for none"),
    RecordField("square_step", "bytes", "from a square to the next, in the source"),
    RecordField("turn", "address", "the function that turns a square"),
    RecordField("order", "address", "the vectors of each square's columns, int64"),
    RecordField("reads_beyond", "flag", "1: a square may read beyond its last row"),
)

# A panel of packed weights. Channels count from the first one of all groups on.
PACKED_PANEL = _record(
    RecordField("block", "blocks", "blocks of channels out before it"),
    RecordField("blocks", "blocks", "its blocks of channels out"),
    RecordField("first", "channels", "its first channel in"),
    RecordField("channels", "channels", "its channels in"),
    RecordField("skipped", "channels", "of its first plane that come before its own"),
    RecordField("weight", "bytes", "from the first panel's weights to its own"),
)

# Packed weights to those of each frequency of Winograd's method. A unit is some of the channels in of a
# panel.
TRANSFORM = _record(
    RecordField("function", "address", "the transform of vectors of weights"),
    RecordField("source", "address", "packed weights, [panel][place][channel in][block][lane]"),
    RecordField("places", "points", "places of the kernel"),
    RecordField("depth", "channels", "channels in"),
    RecordField("chunk", "channels", "channels in of a unit; the last one may have fewer"),
    RecordField("chunks", "chunks", "units of a panel"),
    RecordField("panel_blocks", "blocks", "blocks of a panel; the last panel may have fewer"),
    RecordField("blocks", "blocks", "blocks of channels out"),
    RecordField("out", "address", "the weights of the first frequency, [panel][channel in][block][lane]"),
    RecordField("out_stride", "bytes", "from a frequency to the next"),
)

# A window over a map and the sizes of both, on the way back through it.
_WINDOW = _record(
    RecordField("rows", "rows", "rows of the window"),
    RecordField("columns", "columns", "columns of the window"),
    RecordField("stride_y", "pixels", "from a window to the next one below it"),
    RecordField("stride_x", "pixels", "from a window to the next one to its right"),
    RecordField("dilation_y", "pixels", "from a row of the window to the next"),
    RecordField("dilation_x", "pixels", "from a column of the window to the next"),
    RecordField("pad_y", "pixels", "padding above the source"),
    RecordField("pad_x", "pixels", "padding to the left of the source"),
    RecordField("source_height", "pixels", "height of the source"),
    RecordField("source_width", "pixels", "width of the source"),
    RecordField("height", "pixels", "height of the output"),
    RecordField("width", "pixels", "width of the output"),
)

# Gradients of weights. Each part of the images has its sums, which lie as [part][group][panel][plane][place]
# [lane in][block][lane out]; then those of all parts are added, in order, if there are several, and become
# dense. A unit is one plane of one panel of one combined group, of one part or of all.
OUTER = _record(
    _WINDOW,
    RecordField("band", "pixels", "rows of the output that are passed over at once"),
    RecordField("bands", "bands", "bands of so many rows; the last one may have fewer"),
    RecordField("images", "images", "images of the batch"),
    RecordField("parts", "parts", "parts of the batch"),
    RecordField("source", "address", "the first pixel of the source"),
    RecordField("source_image", "bytes", "from an image of the source to the next"),
    RecordField("source_plane", "bytes", "from a plane of the source to the next"),
    RecordField("source_row", "bytes", "from a row of the source to the next"),
    RecordField("source_pixel", "bytes", "from a pixel of the source to the next"),
    RecordField("x_row", "bytes", "from where a row of the output begins to read to the next"),
    RecordField("x_pixel", "bytes", "from where a pixel of the output begins to read to the next"),
    RecordField("dy", "address", "the first pixel of the output's gradient"),
    RecordField("dy_image", "bytes", "from an image of the output's gradient to the next"),
    RecordField("dy_plane", "bytes", "from a block of channels of the output's gradient to the next"),
    RecordField("dy_row", "bytes", "from a row of the output's gradient to the next"),
    RecordField("dy_pixel", "bytes", "from a pixel of the output's gradient to the next"),
    RecordField("groups", "parts", "combined groups of channels; the last one may be smaller"),
    RecordField("planes", "planes", "planes of the source in a combined group"),
    RecordField("depth", "channels", "channels in of a plane"),
    RecordField("places", "points", "places of the kernel that have sums of their own"),
    RecordField("inputs", "channels", "channels in of a group of the op"),
    RecordField("outputs", "channels", "channels out of a group of the op"),
    RecordField("channels_in", "channels", "channels in of all groups"),
    RecordField("channels_out", "channels", "channels out of all groups"),
    RecordField("panels", "panels", "panels of a combined group"),
    RecordField("panel_blocks", "blocks", "blocks of a panel; the last panel of a group may have fewer"),
    RecordField("blocks", "blocks", "blocks of channels out of a combined group"),
    RecordField("sums", "address", "the sums of the first part"),
    RecordField("sums_part", "bytes", "from a part's sums to the next"),
    RecordField("tile_table", "address", "the tile's function by its number of channels in, int64"),
    RecordField("tail_table", "address", "that for a group's last, smaller panel"),
    RecordField("tile_channels", "channels", "the most channels in of a tile"),
    RecordField("tail_channels", "channels", "the most channels in of a tile of the smaller panel"),
    RecordField("out", "address", "the dense gradient"),
    RecordField("out_group", "bytes", "from a group of the op to the next, in the dense gradient"),
    RecordField("out_out", "bytes", "from a channel out to the next, in the dense gradient"),
    RecordField("out_plane", "bytes", "from a plane to the next, in the dense gradient"),
    RecordField("out_in", "bytes", "from a channel in of a plane to the next, in the dense gradient"),
    RecordField("out_place", "bytes", "from a place of the kernel to the next, in the dense gradient"),
    RecordField("adds", "flag", "1: the dense gradient is added to what is there"),
    RecordField("squares", "squares", "squares that a whole block of a whole plane is turned in; 0 for none"),
    RecordField("turn", "address", "the function that turns a square"),
    RecordField("order", "address", "the vectors of each square's columns, int64"),
)

# Parts of a value's images and pixels, and what is summed up over each of them for each block of channels.
PARTS = _record(
    RecordField("images", "images", "images of the batch"),
    RecordField("image_chunk", "images", "images of a part; the last one may have fewer"),
    RecordField("pixels", "pixels", "pixels of an image"),
    RecordField("chunk", "pixels", "pixels of a part; the last one may have fewer"),
    RecordField("chunks", "chunks", "parts of the pixels"),
    RecordField("blocks", "blocks", "blocks of channels"),
    RecordField("constants", "address", "vectors of constants of each block"),
    RecordField("constants_block", "bytes", "from a block's constants to the next block's"),
    RecordField("sums", "address", "sums of each part of each block"),
    RecordField("sums_block", "bytes", "from a block's sums to the next block's"),
)

# Streams of vectors of one block of channels, through a function that may sum them up. A unit is a part of
# the images and of the pixels of one block.
STREAM = _record(
    PARTS,
    RecordField("function", "address", "the function that the vectors go through"),
    RecordField("x", "address", "the first stream"),
    RecordField("x_image", "bytes", "from an image of the first stream to the next"),
    RecordField("y", "address", "the second stream"),
    RecordField("y_image", "bytes", "from an image of the second stream to the next"),
    RecordField("dy", "address", "the stream of gradients"),
    RecordField("dy_image", "bytes", "from an image of the gradients to the next"),
    RecordField("out", "address", "the results"),
    RecordField("out_image", "bytes", "from an image of the results to the next"),
)

# What follows when all parts of a stream are summed up, for each channel. A unit is a block of channels.
CHANNELS = _record(
    PARTS,
    RecordField("image_chunks", "chunks", "parts of the images"),
    RecordField("channels", "channels", "channels of the value"),
    RecordField("weight", "address", "the factor of each channel, float32; 0: it is 1"),
    RecordField("bias", "address", "the summand of each channel, float32; 0: it is 0"),
    RecordField("running_mean", "address", "the running mean of each channel, float32"),
    RecordField("running_var", "address", "the running variance of each channel, float32"),
    RecordField("new_mean", "address", "the running mean after this batch, float32"),
    RecordField("new_var", "address", "the running variance after this batch, float32"),
    RecordField("eps", "value", "what is added to the variance", "f4"),
    RecordField("momentum", "value", "the weight of this batch in the running statistics", "f4"),
    RecordField("d_weight", "address", "the gradient of the factors, float32; 0: it is not wanted"),
    RecordField("d_bias", "address", "the gradient of the summands, float32; 0: it is not wanted"),
    RecordField("adds_weight", "flag", "1: the gradient of the factors is added to what is there"),
    RecordField("adds_bias", "flag", "1: the gradient of the summands is added to what is there"),
)

# The way back through windows over each channel by itself. A unit is one block of channels of one image.
WINDOWS_BACK = _record(
    _WINDOW,
    RecordField("blocks", "blocks", "blocks of channels"),
    RecordField("row", "bytes", "from where one row of the window lies in the source to the next"),
    RecordField("column", "bytes", "from where one column of the window lies in the source to the next"),
    RecordField("step", "bytes", "from where a window lies in the source to the next one to its right"),
    RecordField("x", "address", "the source's first pixel"),
    RecordField("x_image", "bytes", "from an image of the source to the next"),
    RecordField("y", "address", "the output's first pixel"),
    RecordField("y_image", "bytes", "from an image of the output to the next"),
    RecordField("dy", "address", "the first pixel of the output's gradient"),
    RecordField("dy_image", "bytes", "from an image of the output's gradient to the next"),
    RecordField("out", "address", "the first pixel of the source's gradient"),
    RecordField("out_image", "bytes", "from an image of the source's gradient to the next"),
    RecordField("shares", "address", "the share of each pixel of the output in its window, float32"),
    RecordField("tile", "address", "the function for windows side by side that see the same places"),
)

RECORDS = {
    "STEP": STEP,
    "GEOMETRY": GEOMETRY,
    "CONV": CONV,
    "PANEL": PANEL,
    "POOL": POOL,
    "ELEMENTS": ELEMENTS,
    "MOVE": MOVE,
    "GATHER": GATHER,
    "ACROSS": ACROSS,
    "ATTENTION": ATTENTION,
    "RESAMPLE": RESAMPLE,
    "WINOGRAD": WINOGRAD,
    "PACKING": PACKING,
    "PACKED_PANEL": PACKED_PANEL,
    "OUTER": OUTER,
    "PARTS": PARTS,
    "STREAM": STREAM,
    "TRANSFORM": TRANSFORM,
    "CHANNELS": CHANNELS,
    "WINDOWS_BACK": WINDOWS_BACK,
}
