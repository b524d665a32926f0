"""Units of work of a convolution: how its output and its weights are cut for threads and caches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archforge.backends.numba.families.tile_tables import most_pixels
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.toolchain.machine import FLOAT, machine

__all__ = ["cut_into_units"]


# Multiply-adds below which a unit is not cut further, and what part of the L2 cache its source may fill.
LEAST_WORK, SOURCE_SHARE = 1 << 17, 2
LEAST_WEIGHTS = 1 << 13  # those of a unit for one pixel, whose time is that of reading them
UNITS_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class WorkUnits:
    """The units of one image: its output, (height, width) in pixels, is cut into bands of rows and strips of
    columns, and the panels of weights into parts. A unit is one part for one area, a band in a strip."""

    output: tuple[int, int]
    bands: int
    strips: int
    parts: int
    parts_first: bool  # all areas of one part come before those of the next part

    @property
    def number(self) -> int:
        """Units of one image."""
        return self.bands * self.strips * self.parts

    @property
    def band(self) -> int:
        """The most rows of a band."""
        return -(-self.output[0] // self.bands)

    @property
    def strip(self) -> int:
        """The most columns of a strip."""
        return -(-self.output[1] // self.strips)

    def strip_sizes(self) -> set[int]:
        """The numbers of columns that strips have."""
        return {self.strip, self.output[1] // self.strips}

    def fields(self) -> dict[str, int]:
        """The fields of the record CONV for the units."""
        return {
            "bands": self.bands,
            "strips": self.strips,
            "parts": self.parts,
            "parts_first": int(self.parts_first),
        }


def cut_into_units(window: Window2d, layout: WeightLayout, batch: int, pixel: int) -> WorkUnits:
    """Areas whose source fits the L2 cache beside a panel; then more of them, or parts of the panels, until
    there is enough for all threads. `pixel` is the bytes of a pixel of a plane.

    Where weights outweigh the source, parts come first, so that each thread reads its share of the weights
    once.
    """
    height, width = window.output
    threads = machine().threads
    kernel = math.prod(window.kernel)
    weights = kernel * layout.floats
    work = batch * height * width * weights
    least = LEAST_WORK if batch * height * width > 1 else LEAST_WEIGHTS
    enough = max(1, min(work // least, threads * UNITS_PER_THREAD))
    planes = max(panel.planes for panel in layout.panels) * pixel  # bytes of one pixel of a combined group
    groups = -(-layout.groups // layout.combined)
    parts_first = weights * FLOAT // layout.word_channels > math.prod(window.source) * planes * groups
    most = most_pixels(layout.panel_blocks)

    rows, columns = _within_cache(window, planes, most)
    if not parts_first:
        wanted = -(-enough // batch)
        # Below the kernel's height, bands would copy more than they compute.
        rows = min(rows, max(-(-height // wanted), window.reach[0])) if height > 1 else 1
        columns = min(columns, -(-width // wanted // most) * most or most) if height == 1 else width
    panels = len(layout.panels)
    bands, strips = -(-height // rows), -(-width // columns)
    if batch * bands * strips * panels % threads and width >= strips * threads * most:
        # A number of parts that threads cannot share equally: areas, then, of which each does its own.
        strips = -(-strips // threads) * threads
    parts = _parts(panels, batch * bands * strips, enough)
    return WorkUnits(window.output, bands, strips, parts, parts_first)


def _within_cache(window: Window2d, planes: int, most: int) -> tuple[int, int]:
    """Rows and columns of an area whose source is within its share of the L2 cache.

    These are whole rows, or of a single row whole tiles of `most` pixels. `planes` is the bytes that one
    pixel of the source takes.
    """
    height, width = window.output
    budget = machine().l2_bytes // SOURCE_SHARE
    if height == 1:
        return 1, min(width, max(budget // (planes * window.stride[1]) // most, 1) * most)
    line = planes * ((width - 1) * window.stride[1] + window.reach[1])
    return min(height, max((budget // line - window.reach[0]) // window.stride[0] + 1, 1)), width


def _parts(panels: int, areas: int, enough: int) -> int:
    """Equal parts of the panels that make enough units with so many areas, and as many for each thread if
    there is such a number."""
    divisors = [d for d in range(1, panels + 1) if panels % d == 0 and d * areas >= enough] or [panels]
    even = [d for d in divisors if d * areas % machine().threads == 0]
    return min(even or divisors)
