"""Tables of tiles of products: the function for each number of pixels that a tile of a call has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from archforge.backends.numba.families.weight_layout import MOST_UNROLLED, WeightLayout
from archforge.backends.numba.microkernels.product_tiles import Product
from archforge.backends.numba.runtime.tape import aligned
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import Recipe, address
from archforge.ops.base import Array

__all__ = ["most_pixels", "tile_fields", "tile_table"]


def most_pixels(blocks: int) -> int:
    """The most pixels of a tile with so many blocks of output channels."""
    return min(machine().most_pixels(blocks), 14)  # beyond, the code of a tile is long, and no faster


def tile_fields(layout: WeightLayout, run: int, step: int, counts: set[int]) -> dict[str, Any]:
    """The fields of a record for the tiles of whole panels, and of smaller panels if there are some.

    A tile reads `run` words at each place of its window, its pixels lie `step` words apart, and `counts`
    are the numbers of pixels of the rows that are cut into tiles. A word is a float or a pair of bfloat16.
    """
    sizes = {"tile": layout.panel_blocks}
    if smaller := {panel.blocks for panel in layout.panels} - {layout.panel_blocks}:
        (sizes["tail"],) = smaller
    unroll = max(n for n in range(1, min(MOST_UNROLLED, step) + 1) if run % n == 0)
    fields: dict[str, Any] = {}
    for name, blocks in sizes.items():
        most = most_pixels(blocks)
        fields[f"{name}_pixels"] = most
        tile = partial(_product, machine().lanes, blocks, step, unroll, layout.bfloat16)
        fields[f"{name}_table"] = tile_table(tile, most, counts)
    return fields


def _product(lanes: int, blocks: int, step: int, unroll: int, bfloat16: bool, pixels: int) -> Product:
    return Product(lanes, pixels, blocks, step, unroll, bfloat16)


def tile_table(tile: Callable[[int], Recipe], most: int, counts: Iterable[int]) -> Array:
    """int64[most + 1], the address of the tile for each size into which rows of `counts` pixels are cut."""
    table = aligned((most + 1,), np.int64)
    for size in sorted(set().union(*(_pieces(count, most) for count in counts))):
        table[size] = address(tile(size))
    return table


def _pieces(count: int, most: int) -> set[int]:
    """The sizes of tiles into which `run_tiles` in `units/tile_rows.py` cuts `count` pixels."""
    number = -(-count // most)
    return {count // number, -(-count // number)}
