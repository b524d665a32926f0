"""Convolutions that mix channels, directly, and linear layers, which are convolutions of one pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

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
from archforge.backends.numba.families.cutting import cut_of, most_pixels
from archforge.backends.numba.families.layout import MOST_UNROLLED, Layout
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.machine import FLOAT, machine
from archforge.backends.numba.records import CONV
from archforge.backends.numba.tape import Value
from archforge.backends.numba.tiles import LINE, Product
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.linear import Linear
from archforge.plan import Epilogue, Kernel

__all__ = ["ahead_fields", "direct", "linear", "record", "tile_fields"]

DIRECT = Unit("conv", "conv")


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
    # Two blocks, so that the vectors of a batch make one tile, and weights are read once.
    layout = Layout(1, features, op.out, 1, min(2, blocks_of(op.out)), thin=False)
    one, row = (1, 1), (1, pixels)
    area = Area(one, one, one, (0, 0), one, row, row)

    def run(
        params: Mapping[str, Array], x: Value, residual: Value | None = None, epilogue: Epilogue | None = None
    ) -> Value:
        x, shape = along(x, axis), op.infer(TensorType(x.shape)).shape
        residual = along(residual, axis) if residual else None
        return record(area, layout, params, x, x.tape.output(shape, axis), residual, epilogue)

    return AnyAxis(run, layout.pack, ABSORBED, packing=layout)


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
    cut = cut_of(area, layout, batch, x.pixel)
    height, width = area.output
    band, stretch = -(-height // cut.bands), -(-width // cut.stretches)  # the longest
    rows = (band - 1) * area.stride[0] + area.reach[0]
    columns = (stretch - 1) * area.stride[1] + area.reach[1]
    patch = {
        "patch": int(needs_patch),
        "patch_row": columns * x.pixel,
        "patch_plane": rows * columns * x.pixel,
    }
    planes = 1 if layout.thin and x.is_blocked else layout.planes
    geometry = _geometry(area, layout, x, source, patch)
    row_tiles = -(-stretch // most_pixels(layout.panel_blocks))
    fields = {
        **geometry,
        **source,
        **target,
        **rest,
        **patch,
        **area.fields(),
        **clamp_fields(epilogue),
        **ahead_fields(layout, geometry, band * row_tiles),
        **tile_fields(layout, area.stride[1] * x.pixel // FLOAT, geometry, {stretch, width // cut.stretches}),
        "batch": batch,
        "height": height,
        "width": width,
        "bands": cut.bands,
        "stretches": cut.stretches,
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
    units = batch * cut.bands * cut.stretches * cut.parts
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
        "depth": layout.depth(height * width) * height * width,
    }


# Bytes by which weights that are read but once are prefetched.
AHEAD = 1 << 13


def ahead_fields(layout: Layout, geometry: Mapping[str, int], tiles: int) -> dict[str, int]:
    """What tiles have prefetched: so many together the next panel, one by itself the weights that follow."""
    places = geometry["planes"] * geometry["rows"] * geometry["columns"]
    lines = geometry["run"] * layout.panel_blocks * machine().vector // LINE  # of the panel at a place
    each = -(-lines // tiles)
    return {
        "ahead": geometry["depth"] * layout.panel_blocks * machine().vector if tiles > 1 else AHEAD,
        "ahead_lines": each,
        "ahead_step": places * each * LINE,
    }


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
        tile = partial(_product, lanes, blocks, step, _unrolled(geometry["run"], step))
        fields[f"{name}tiles"] = tile_table(tile, most, counts)
    return fields


def _unrolled(run: int, step: int) -> int:
    """Of a run; see `Product`."""
    return max(n for n in range(1, min(MOST_UNROLLED, step) + 1) if run % n == 0)


def _product(lanes: int, blocks: int, step: int, unroll: int, pixels: int) -> Product:
    return Product(lanes, pixels, blocks, step, unroll)
