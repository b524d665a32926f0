"""Convolutions that mix channels, directly, and linear layers, which are convolutions of one pixel.

Weights lie in the order in which a tile reads them, panel by panel of B blocks of output channels:
[panel][plane][row][column][lane in][B][lane out]. A plane is a block of input channels, or one channel
where there are few (`thin`), so that the first layer of a network multiplies no zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from archforge.backends.numba.compiled import Unit
from archforge.backends.numba.families.common import (
    ABSORBED,
    AnyAxis,
    Area,
    Phase,
    area_of,
    blocks_of,
    clamp_fields,
    residual_fields,
    tile_table,
)
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.machine import FLOAT, machine
from archforge.backends.numba.records import CONV
from archforge.backends.numba.tape import Value, aligned
from archforge.backends.numba.tiles import LINE, Product
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.linear import Linear
from archforge.plan import Epilogue, Kernel
from archforge.weights.mapped import forget

__all__ = ["Layout", "ahead_fields", "direct", "linear", "most_pixels", "record", "tile_fields"]

DIRECT = Unit("conv", "conv")
UNROLL = 4  # divides the lanes of every width


@dataclass(frozen=True, slots=True)
class Layout:
    """How a convolution's weights lie. Groups too narrow for whole blocks are joined, with zeros between
    them, until they fill some."""

    groups: int
    inputs: int  # channels of a joined group
    outputs: int
    joined: int  # groups of the op in one of these
    panel_blocks: int
    thin: bool

    @classmethod
    def of(cls, op: Conv, x: TensorType, pixels: int) -> Layout:
        lanes = machine().lanes
        inputs, outputs = x.channels // op.groups, op.out // op.groups
        joined = next(
            m
            for m in range(1, op.groups + 1)
            if m == op.groups or (op.groups % m == m * inputs % lanes == m * outputs % lanes == 0)
        )
        groups = op.groups // joined
        return cls(
            groups=groups,
            inputs=joined * inputs,
            outputs=joined * outputs,
            joined=joined,
            panel_blocks=min(4 if pixels < 5 else 2, blocks_of(joined * outputs)),
            thin=groups == 1 and x.channels <= lanes // 2,
        )

    @property
    def planes(self) -> int:
        return self.inputs if self.thin else blocks_of(self.inputs)

    @property
    def plane_channels(self) -> int:
        return 1 if self.thin else machine().lanes

    @property
    def blocks(self) -> int:
        """Blocks of output channels of a group."""
        return blocks_of(self.outputs)

    @property
    def panels(self) -> int:
        return -(-self.blocks // self.panel_blocks)

    def pack(self, params: Mapping[str, Array]) -> Mapping[str, Array]:
        """`weight` and `bias` as tiles read them."""
        weight = params["weight"]
        packed = aligned((self.groups, self.blocks * self._block_size(weight)))
        for group, first in product(range(self.groups), range(0, self.blocks, self.panel_blocks)):
            begin = group * self.outputs
            rows = weight[begin + first * machine().lanes : begin + self.end_of_panel(first)]
            self.pack_panel(packed[group], first, rows)
            forget(rows)
        return {"weight": packed, "bias": self.pack_bias(params.get("bias"))}

    def end_of_panel(self, first: int) -> int:
        """The channel of a group behind the panel whose first block this is."""
        return min((first + self.panel_blocks) * machine().lanes, self.outputs)

    def pack_panel(self, group: Array, first: int, rows: Array) -> None:
        """Write the panel that begins with this block from its weights, rows[channels out, in, *kernel]."""
        dense = self._dense(first, rows)
        begin = first * self._block_size(rows)
        panel = group[begin : begin + dense.size]
        axes = (2, 4, 3, 0, 1)
        panel.reshape([dense.shape[i] for i in axes])[...] = dense.transpose(axes)

    def pack_bias(self, given: Array | None) -> Array:
        bias = aligned((self.groups, self.blocks * machine().lanes))
        if given is not None:
            bias[:, : self.outputs] = given.reshape(self.groups, self.outputs)
        return bias

    def _block_size(self, weight: Array) -> int:
        """Floats of one block of output channels."""
        return machine().lanes * self.planes * self.plane_channels * math.prod(weight.shape[2:])

    def _dense(self, first: int, rows: Array) -> Array:
        """float32[B, lane out, plane, lane in, kernel] of a panel, channels filled up with zeros."""
        lanes, kernel = machine().lanes, math.prod(rows.shape[2:])
        inputs, outputs = self.inputs // self.joined, self.outputs // self.joined
        blocks = blocks_of(len(rows))
        dense = np.zeros((blocks * lanes, self.planes * self.plane_channels, kernel), np.float32)
        begin = first * lanes
        end = begin + len(rows)
        for i in range(begin // outputs, -(-end // outputs)):  # the op's groups that it belongs to
            part = slice(max(i * outputs, begin) - begin, min((i + 1) * outputs, end) - begin)
            dense[part, i * inputs : (i + 1) * inputs] = rows[part].reshape(-1, inputs, kernel)
        return dense.reshape(blocks, lanes, self.planes, self.plane_channels, kernel)


def direct(op: Conv, x: TensorType) -> Kernel | None:
    area = area_of(op.window(x), x)
    if area is None:
        return None
    pixels = math.prod(area.output) if area.is_pointwise else area.output[1]
    layout = Layout.of(op, x, pixels)

    def run(
        params: Mapping[str, Array], x: Value, residual: Value | None = None, epilogue: Epilogue | None = None
    ) -> Value:
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        return record(area, layout, params, x, out, residual, epilogue)

    return Kernel(run, layout.pack, ABSORBED, packing=layout)


def linear(op: Linear, x: TensorType) -> Kernel:
    """A pointwise convolution of what lies in blocks of the features, whose pixels make one row."""
    axis = op.feature_axis(x)
    features, pixels = x.shape[axis], x.size // x.shape[axis]
    layout = Layout(1, features, op.out, 1, min(4 if pixels < 5 else 2, blocks_of(op.out)), thin=False)
    one, row = (1, 1), (1, pixels)
    area = Area(one, one, one, (0, 0), one, row, row)

    def run(
        params: Mapping[str, Array], x: Value, residual: Value | None = None, epilogue: Epilogue | None = None
    ) -> Value:
        x, shape = along(x, axis), op.infer(TensorType(x.shape)).shape
        residual = along(residual, axis) if residual else None
        return record(area, layout, params, x, x.tape.output(shape, axis), residual, epilogue)

    return AnyAxis(run, layout.pack, ABSORBED, packing=layout)


@dataclass(frozen=True, slots=True)
class Cut:
    """How the output of one image is cut into units: bands of rows, stretches of columns, parts of panels."""

    band_rows: int
    stretch_columns: int
    parts: int
    parts_first: bool


def record(
    area: Area,
    layout: Layout,
    params: Mapping[str, Array],
    x: Value,
    out: Value,
    residual: Value | None,
    epilogue: Epilogue | None,
    phase: Phase | None = None,
) -> Value:
    """One call for the whole convolution, or for those pixels of `out` that a phase names."""
    tape = x.tape
    if not layout.thin:
        x = x.blocked()
    if residual is not None:
        residual = residual.blocked()
    vector = machine().vector
    source: dict[str, Any] = {
        "source": x.place,
        "source_image": x.image,
        "source_plane": x.plane,
        "source_pixel": x.pixel,
    }
    target: dict[str, Any] = {
        "out": out.place,
        "out_image": out.image,
        "out_pixel": vector,
        "out_block": out.plane,
    }
    rest = residual_fields(residual, width=area.output[1])
    batch = tape.batch
    if phase is not None:
        target |= phase.fields(out, "out")
        rest |= phase.fields(residual, "residual") if residual else {}
    elif area.is_pointwise:  # all pixels in one row
        width = math.prod(area.source)
        if width == 1 and batch > 1:  # and all images, each a pixel
            width, batch = batch, 1
            source["source_pixel"], target["out_pixel"] = x.image, out.image
            rest |= {"residual_pixel": residual.image} if residual else {}
        area = replace(area, source=(1, width), output=(1, width))
    source["source_row"] = area.source[1] * source["source_pixel"]
    target.setdefault("out_row", area.output[1] * target["out_pixel"])

    needs_patch = area.overhangs or source["source_pixel"] != x.pixel
    cut = _cut(area, layout, batch, x.pixel)
    height, width = area.output
    rows = (cut.band_rows - 1) * area.stride[0] + area.reach[0]
    columns = (cut.stretch_columns - 1) * area.stride[1] + area.reach[1]
    patch = {
        "patch": int(needs_patch),
        "patch_row": columns * x.pixel,
        "patch_plane": rows * columns * x.pixel,
    }
    planes = 1 if layout.thin and x.is_blocked else layout.planes
    bands, stretches = -(-height // cut.band_rows), -(-width // cut.stretch_columns)
    last = width - (stretches - 1) * cut.stretch_columns
    geometry = _geometry(area, layout, x, source, patch)
    row_tiles = -(-cut.stretch_columns // most_pixels(layout.panel_blocks))
    fields = {
        **geometry,
        **source,
        **target,
        **rest,
        **patch,
        **area.fields(),
        **clamp_fields(epilogue),
        **ahead_fields(layout, geometry, cut.band_rows * row_tiles),
        **tile_fields(layout, area.stride[1] * x.pixel // FLOAT, geometry, {cut.stretch_columns, last}),
        "batch": batch,
        "height": height,
        "width": width,
        "bands": bands,
        "band_rows": cut.band_rows,
        "stretches": stretches,
        "stretch_columns": cut.stretch_columns,
        "pixel": x.pixel,
        "weight": params["weight"],
        "bias": params["bias"],
        "block_weight": params["weight"].nbytes // (layout.groups * layout.blocks),
        "group_planes": planes,
        "group_blocks": layout.blocks,
        "group_panels": layout.panels,
        "panels": layout.groups * layout.panels,
        "panel_blocks": layout.panel_blocks,
        "parts": cut.parts,
        "parts_first": int(cut.parts_first),
    }
    units = batch * bands * stretches * cut.parts
    tape.call(DIRECT, CONV, fields, units, planes * patch["patch_plane"] if needs_patch else 0)
    return out


def _geometry(
    area: Area, layout: Layout, x: Value, source: Mapping[str, Any], patch: Mapping[str, int]
) -> dict[str, int]:
    """How a tile walks: planes, rows of the kernel, and its columns in one run where they are adjacent."""
    plane, row = source["source_plane"], source["source_row"]
    if patch["patch"]:
        plane, row = patch["patch_plane"], patch["patch_row"]
    height, width = area.kernel
    run = layout.plane_channels
    if layout.thin and x.is_blocked:
        plane = FLOAT  # a channel is a lane of the one block
    adjacent = area.dilation[1] == 1 and run * FLOAT == x.pixel
    return {
        "planes": layout.planes,
        "plane": plane,
        "rows": height,
        "row": area.dilation[0] * row,
        "columns": 1 if adjacent else width,
        "column": area.dilation[1] * x.pixel,
        "run": run * width if adjacent else run,
    }


# Bytes by which weights that are read but once are prefetched.
AHEAD = 1 << 13


def ahead_fields(layout: Layout, geometry: Mapping[str, int], tiles: int) -> dict[str, int]:
    """What tiles have prefetched: so many together the next panel, one by itself the weights that follow."""
    places = geometry["planes"] * geometry["rows"] * geometry["columns"]
    lines = geometry["run"] * layout.panel_blocks * machine().vector // LINE  # of the panel at a place
    each = -(-lines // tiles)
    return {
        "ahead": places * lines * LINE if tiles > 1 else AHEAD,
        "ahead_lines": each,
        "ahead_step": places * each * LINE,
    }


# Inputs of a thin layer's window that a tile unrolls together.
MOST_UNROLLED = 16


def tile_fields(layout: Layout, step: int, geometry: Mapping[str, int], counts: set[int]) -> dict[str, Any]:
    """Tables of functions for whole panels and for the last one of a group, if that is smaller, over rows
    of so many pixels, `step` floats apart."""
    lanes = machine().lanes
    sizes = {"": layout.panel_blocks}
    if layout.blocks % layout.panel_blocks:
        sizes["tail_"] = layout.blocks % layout.panel_blocks
    fields: dict[str, Any] = {}
    for name, blocks in sizes.items():
        most = most_pixels(blocks)
        fields[f"{name}most_pixels"] = most
        tile = partial(_product, lanes, blocks, step, *_unrolled(layout, geometry))
        fields[f"{name}tiles"] = tile_table(tile, most, counts)
    return fields


def _unrolled(layout: Layout, geometry: Mapping[str, int]) -> tuple[int, int]:
    """Of a run, and of the window's rows if it is thin."""
    if not layout.thin:
        return UNROLL, 0
    run, rows = geometry["run"], geometry["rows"]
    return run, rows if geometry["columns"] == 1 and rows * run <= MOST_UNROLLED else 1


def _product(lanes: int, blocks: int, step: int, unroll: int, rows: int, pixels: int) -> Product:
    return Product(lanes, pixels, blocks, step, unroll, rows)


def most_pixels(blocks: int) -> int:
    """Pixels of a tile. Beyond 14 the code of a tile is long, and no faster."""
    return min(machine().most_pixels(blocks), 14)


# Multiply-adds below which a unit is not cut further, and what part of the L2 cache its source may fill.
LEAST_WORK, SOURCE_SHARE = 1 << 17, 3
LEAST_WEIGHTS = 1 << 13  # those of a unit for one pixel, whose time is that of reading them
UNITS_PER_THREAD = 4


def _cut(area: Area, layout: Layout, batch: int, pixel: int) -> Cut:
    """Bands or stretches whose source fits the L2 cache beside a panel; then more of them, or parts of the
    panels, until there is enough for all threads. Where weights outweigh the source, parts come first, so
    that each thread reads its share of the weights once."""
    height, width = area.output
    places = math.prod(area.kernel) * layout.planes * layout.plane_channels * layout.groups
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
    if parts_first and batch * panels % machine().threads and columns == width >= machine().threads * most:
        # A number of parts that threads cannot share equally: areas, then, of which each does its own.
        columns = -(-width // machine().threads)
    bands, stretches = -(-height // rows), -(-width // columns)
    areas = batch * bands * stretches
    parts = _parts(panels, areas, enough)
    return Cut(-(-height // bands), columns, parts, parts_first)


def _parts(panels: int, areas: int, enough: int) -> int:
    """Equal parts of the panels that make enough units with so many areas, and as many for each thread if
    there is such a number."""
    divisors = [d for d in range(1, panels + 1) if panels % d == 0 and d * areas >= enough] or [panels]
    even = [d for d in divisors if d * areas % machine().threads == 0]
    return min(even or divisors)
