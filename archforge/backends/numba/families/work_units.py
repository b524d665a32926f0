"""How a convolution is cut into units of work."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archforge.backends.numba.families.tile_tables import most_pixels
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Area
from archforge.backends.numba.toolchain.machine import FLOAT, machine

__all__ = ["cut_into_units"]


@dataclass(frozen=True, slots=True)
class WorkUnits:
    """How the output of one image is cut into units: bands of rows, strips of columns, parts of panels."""

    bands: int
    strips: int
    parts: int
    parts_first: bool


# Multiply-adds below which a unit is not cut further, and what part of the L2 cache its source may fill.
LEAST_WORK, SOURCE_SHARE = 1 << 17, 2
LEAST_WEIGHTS = 1 << 13  # those of a unit for one pixel, whose time is that of reading them
UNITS_PER_THREAD = 4


def cut_into_units(area: Area, layout: WeightLayout, batch: int, pixel: int) -> WorkUnits:
    """Bands or strips whose source fits the L2 cache beside a panel; then more of them, or parts of the
    panels, until there is enough for all threads. Where weights outweigh the source, parts come first, so
    that each thread reads its share of the weights once."""
    height, width = area.output
    kernel = math.prod(area.kernel)
    places = kernel * layout.depth(kernel) * layout.groups
    work = batch * height * width * places * layout.outputs
    least = LEAST_WORK if batch * height * width > 1 else LEAST_WEIGHTS
    enough = max(1, min(work // least, machine().threads * UNITS_PER_THREAD))
    planes = layout.planes * pixel  # bytes of one place in all planes of a group
    budget = machine().l2_bytes // SOURCE_SHARE
    parts_first = places * layout.outputs * FLOAT > math.prod(area.source) * planes * layout.groups
    most = most_pixels(layout.panel_blocks)

    rows, columns = height, width
    if height > 1:
        line = planes * ((width - 1) * area.stride[1] + area.reach[1])
        rows = min(height, max((budget // line - area.reach[0]) // area.stride[0] + 1, 1))
    else:
        columns = min(width, max(budget // (planes * area.stride[1]) // most, 1) * most)
    if not parts_first:
        wanted = -(-enough // batch)
        # Below the kernel's height, bands would copy more than they compute.
        rows = min(rows, max(-(-height // wanted), area.reach[0])) if height > 1 else 1
        columns = min(columns, -(-width // wanted // most) * most or most) if height == 1 else width
    panels = layout.groups * layout.panels
    bands, strips = -(-height // rows), -(-width // columns)
    threads = machine().threads
    if batch * bands * strips * panels % threads and width >= strips * threads * most:
        # A number of parts that threads cannot share equally: areas, then, of which each does its own.
        strips = -(-strips // threads) * threads
    areas = batch * bands * strips
    return WorkUnits(bands, strips, _parts(panels, areas, enough), parts_first)


def _parts(panels: int, areas: int, enough: int) -> int:
    """Equal parts of the panels that make enough units with so many areas, and as many for each thread if
    there is such a number."""
    divisors = [d for d in range(1, panels + 1) if panels % d == 0 and d * areas >= enough] or [panels]
    even = [d for d in divisors if d * areas % machine().threads == 0]
    return min(even or divisors)
