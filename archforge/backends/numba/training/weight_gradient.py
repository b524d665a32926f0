"""Gradients of weights: which tiles sum them up, and how the batch is cut for that, by shapes alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.families.map_pixels import MapPixels
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.microkernels.outer_products import ChannelProduct, OuterProduct
from archforge.backends.numba.runtime.records import OUTER, merged
from archforge.backends.numba.runtime.tape import Tape, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.numba.toolchain.machine_code import Recipe, address
from archforge.backends.numba.training.kernel import GradientArray
from archforge.backends.numba.training.packing import dense_squares
from archforge.ops.base import Array

__all__ = ["depthwise_weight_gradient", "weight_gradient"]

# Units that a gradient is cut into if the batch allows, and what part of the L2 cache a band may fill.
UNITS, CACHE_SHARE = 32, 4
MOST_FLAT = 1 << 10  # pixels of a pointwise convolution up to which all rows are passed over as one


def weight_gradient(
    window: Window2d, layout: WeightLayout, x: TapeValue, dy: TapeValue, into: GradientArray | None
) -> None:
    """Record the gradient of the weights of a convolution that mixes channels, whose groups are combined as
    in its layout; nothing without an array for it."""
    if into is None:
        return
    plain = (
        not x.is_blocked
        and layout.groups == 1
        and window.dilation[1] == 1
        and x.channels <= machine().lanes // 2
    )
    pixels = _OuterPixels.of(window, x if plain else x.blocked(), dy)
    inputs, outputs = layout.inputs // layout.groups, layout.outputs // layout.groups
    blocks, planes = blocks_of(layout.combined * outputs), blocks_of(layout.combined * inputs)
    # Of groups that are combined not all channels meet: pairs of one plane and one block that do are summed.
    panel = -(-blocks // -(-blocks // _most_blocks())) if layout.combined == 1 else 1
    depth, places, channels_in = machine().lanes, math.prod(window.kernel), layout.inputs
    row = inputs * places * FLOAT  # bytes of the weights of a channel out
    strides = {"out_plane": depth * places * FLOAT, "out_in": places * FLOAT, "out_place": FLOAT}
    squares = dense_squares(places, depth, "rows") if layout.combined == 1 and not plain else {}
    if plain:  # columns of the kernel stand for channels in, a channel of the map for a plane
        places, depth = window.kernel
        planes, inputs = x.channels, x.channels * depth
        channels_in = inputs
        strides = {"out_plane": places * depth * FLOAT, "out_in": FLOAT, "out_place": depth * FLOAT}
    fields = merged(
        {"planes": planes, "depth": depth, "places": places, "inputs": inputs, "outputs": outputs},
        {"groups": -(-layout.groups // layout.combined)},
        {"channels_in": channels_in, "channels_out": layout.outputs},
        {"panels": -(-blocks // panel), "panel_blocks": panel, "blocks": blocks},
        {"out_group": outputs * row, "out_out": row},
        strides,
        squares,
        _tables(panel, blocks % panel, {min(depth, channels_in), channels_in % depth} - {0}),
    )
    _record("sum_plain_pixels" if plain else "sum_pixels", x.tape, pixels, fields, into)


def depthwise_weight_gradient(
    window: Window2d, x: TapeValue, dy: TapeValue, into: GradientArray | None
) -> None:
    """Record the gradient of the weights of a convolution of each channel by itself; nothing without an array
    for it."""
    if into is None:
        return
    x, places = x.blocked(), math.prod(window.kernel)
    tiles = {n: ChannelProduct(machine().lanes, n, window.dilation[1]) for n in {1, window.kernel[1]}}
    fields = merged(
        {"planes": 1, "depth": 1, "places": places, "inputs": 1, "outputs": x.channels, "groups": 1},
        {"channels_in": 1, "channels_out": x.channels},
        {"panels": x.blocks, "panel_blocks": 1, "blocks": x.blocks},
        {"out_group": 0, "out_out": places * FLOAT, "out_plane": 0, "out_in": 0, "out_place": FLOAT},
        {"tile_table": _table(tiles), "tile_channels": 1, "tail_table": 0, "tail_channels": 0},
    )
    _record("channel_sums", x.tape, _OuterPixels.of(window, x, dy), fields, into)


@dataclass(frozen=True, slots=True)
class _OuterPixels:
    """The maps between whose pixels products are summed up: the source and the output's gradient. The images
    of maps of one pixel count as the pixels of one row."""

    window: Window2d
    images: int
    source: MapPixels
    dy: MapPixels
    is_plain: bool

    @classmethod
    def of(cls, window: Window2d, x: TapeValue, dy: TapeValue) -> _OuterPixels:
        images, maps = x.tape.images, MapPixels.of
        if window.is_pointwise and x.pixels <= MOST_FLAT:
            row = (1, x.pixels)
            maps = MapPixels.in_one_row
            if x.pixels == 1:
                row, images, maps = (1, images), 1, MapPixels.of_images
            window = replace(window, source=row, output=row)
        return cls(window, images, maps(x), maps(dy), not x.is_blocked)

    @property
    def line(self) -> int:
        """Bytes from a row of the source to the next where tiles read it: with its padding in a plain map."""
        if not self.is_plain:
            return self.source.row
        width, stride, kernel = self.window.output[1], self.window.stride[1], self.window.kernel[1]
        return ((width - 1) * stride + kernel) * FLOAT

    def band(self, blocks: int) -> int:
        """Rows of the output whose gradients, of so many blocks, and source fit their share of the cache."""
        row = self.window.output[1] * blocks * machine().vector + self.window.stride[0] * self.line
        return max(1, min(self.window.output[0], machine().l2_bytes // CACHE_SHARE // row))

    def rows_seen(self, band: int) -> int:
        """Rows of the source that a band sees."""
        return (band - 1) * self.window.stride[0] + self.window.reach[0]

    def fields(self) -> dict[str, Any]:
        """The fields of OUTER for the maps and the window over them."""
        window = self.window
        return merged(
            self.source.fields("source", "image", "plane", "row", "pixel"),
            self.dy.fields("dy", "image", "plane", "row", "pixel"),
            {"x_row": window.stride[0] * self.line, "x_pixel": window.stride[1] * self.source.pixel},
            window.fields(),
            {"images": self.images},
        )


def _record(name: str, tape: Tape, pixels: _OuterPixels, fields: dict[str, Any], into: GradientArray) -> None:
    """Record the sums over the pixels of each part of the images, and then those over the parts."""
    units = fields["groups"] * fields["panels"] * fields["planes"]
    parts = max(1, min(pixels.images, -(-UNITS // units)))
    size = fields["groups"] * fields["blocks"] * fields["planes"] * fields["places"] * fields["depth"]
    band = pixels.band(fields["panel_blocks"])
    whole = merged(
        pixels.fields(),
        fields,
        {"band": band, "bands": -(-pixels.window.output[0] // band), "parts": parts},
        {"sums": tape.buffer(parts * size * machine().vector), "sums_part": size * machine().vector},
        {"out": into.array, "adds": int(into.adds)},
    )
    scratch = pixels.rows_seen(band) * pixels.line if pixels.is_plain else 0
    with tape.as_step(f"weight {tape.current}"):
        tape.call(UnitRecipe("weight_gradient", name), OUTER, whole, parts * units, scratch)
        if parts > 1:
            tape.call(UnitRecipe("weight_gradient", "add_parts"), OUTER, whole, units)


def _most_blocks() -> int:
    """Blocks of channels out of a tile at most: so many that the registers hold the sums of some channels
    in."""
    return 4 if machine().registers >= 32 else 2


def _tables(panel: int, tail: int, counts: Iterable[int]) -> dict[str, Any]:
    """The fields of OUTER for the tiles of whole panels and of a smaller last one."""
    fields: dict[str, Any] = {}
    for name, blocks in (("tile", panel), ("tail", tail)):
        most = min(machine().most_pixels(max(blocks, 1)), machine().lanes)
        sizes = {size for count in counts for size in _pieces(count, most)} if blocks else set()
        fields[f"{name}_channels"] = most
        fields[f"{name}_table"] = _table({n: OuterProduct(machine().lanes, n, blocks) for n in sizes})
    return fields


def _pieces(count: int, most: int) -> set[int]:
    """The sizes of tiles into which `run_outer` in `units/weight_gradient.py` cuts `count` channels."""
    number = -(-count // most)
    return {count // number, -(-count // number)}


def _table(tiles: Mapping[int, Recipe]) -> Array:
    """int64, the address of each tile at its size."""
    table = aligned((max(tiles, default=0) + 1,), np.int64)
    for size in sorted(tiles):
        table[size] = address(tiles[size])
    return table
