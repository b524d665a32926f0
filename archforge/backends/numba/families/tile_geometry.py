"""Geometry of tiles of products: how they pass over the source, and which weights they prefetch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from archforge.backends.numba.microkernels.product_tiles import LINE
from archforge.backends.numba.toolchain.machine import machine

__all__ = ["TileGeometry"]

# Bytes by which weights that are read but once are prefetched: with 8 KiB, reading them took 6 % longer.
AHEAD = 1 << 11


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """The fields of the record GEOMETRY that say what a tile reads."""

    planes: int
    plane: int
    rows: int
    row: int
    columns: int
    column: int
    run: int
    skipped: int
    cut: int

    def fields(self) -> dict[str, int]:
        """The fields by name."""
        return asdict(self)

    @property
    def depth(self) -> int:
        """Floats that a pixel of a tile reads at all places."""
        return (self.planes * self.run - self.skipped - self.cut) * self.rows * self.columns

    def prefetch_fields(self, blocks: int, tiles: int) -> dict[str, int]:
        """The fields for prefetching by tiles of so many blocks: several tiles that use one panel fetch the
        next one in equal shares, a single tile the weights that it is about to read."""
        places = self.planes * self.rows * self.columns
        panel_vector = blocks * machine().vector  # bytes of weights for one input channel
        lines = -(-(self.run * panel_vector // LINE) // tiles)
        return {
            "prefetch_ahead": self.depth * panel_vector if tiles > 1 else AHEAD,
            "prefetch_lines": lines,
            "prefetch_step": places * lines * LINE,
        }
