"""Tables of the functions of tiles, by the number of pixels that a tile has."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from archforge.backends.numba.runtime.tape import aligned
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import Recipe, address
from archforge.ops.base import Array

__all__ = ["most_pixels", "tile_table"]


def most_pixels(blocks: int) -> int:
    """Pixels of a tile. Beyond 14 the code of a tile is long, and no faster."""
    return min(machine().most_pixels(blocks), 14)


def pieces(count: int, most: int) -> set[int]:
    """The sizes of tiles into which `run_tiles` cuts `count` pixels."""
    number = -(-count // most)
    return {count // number, -(-count // number)}


def tile_table(tile: Callable[[int], Recipe], most: int, counts: Iterable[int]) -> Array:
    """int64[most + 1], the functions for rows of so many pixels by the size of tile."""
    table = aligned((most + 1,), np.int64)
    for size in sorted(set().union(*(pieces(count, most) for count in counts))):
        table[size] = address(tile(size))
    return table
