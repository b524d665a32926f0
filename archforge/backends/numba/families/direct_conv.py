"""Convolutions that mix channels, directly, and linear layers, which are convolutions of one pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from archforge.backends.numba.families.channel_blocks import AnyAxis, blocks_of
from archforge.backends.numba.families.epilogues import ABSORBED, clamp_fields, residual_fields
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.families.tile_tables import most_pixels, tile_table
from archforge.backends.numba.families.weight_layout import MOST_UNROLLED, WeightLayout
from archforge.backends.numba.families.window_2d import Area, Phase, area_of
from archforge.backends.numba.families.work_units import cut_into_units
from archforge.backends.numba.microkernels.product_tiles import LINE, Product
from archforge.backends.numba.runtime.records import CONV
from archforge.backends.numba.runtime.tape import Params, TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.ops.conv import Conv
from archforge.ops.linear import Linear
from archforge.plan import Epilogue, Kernel

__all__ = ["direct", "linear", "prefetch_fields", "record", "tile_fields"]

DIRECT = UnitRecipe("direct_conv", "conv")


def direct(op: Conv, x: TensorType) -> Kernel | None:
    area = area_of(op.window(x), x)
    if area is None:
        return None
    pixels = math.prod(area.output) if area.is_pointwise else area.output[1]
    layout = WeightLayout.of(op, x, pixels)

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        return record(area, layout, params, x, out, residual, epilogue)

    return Kernel(run, layout.pack, ABSORBED, packing=layout)


def linear(op: Linear, x: TensorType) -> Kernel:
    """A pointwise convolution of what lies in blocks of the features, whose pixels make one row."""
    axis = op.feature_axis(x)
    features, pixels = x.shape[axis], x.size // x.shape[axis]
    # Two blocks, so that the vectors of a batch make one tile, and weights are read once.
    layout = WeightLayout(1, features, op.out, 1, min(2, blocks_of(op.out)), thin=False)
    one, row = (1, 1), (1, pixels)
    area = Area(one, one, one, (0, 0), one, row, row)

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        x, shape = along(x, axis), op.infer(TensorType(x.shape)).shape
        residual = along(residual, axis) if residual else None
        return record(area, layout, params, x, x.tape.output(shape, axis), residual, epilogue)

    return AnyAxis(run, layout.pack, ABSORBED, packing=layout)


def record(
    area: Area,
    layout: WeightLayout,
    params: Params,
    x: TapeValue,
    out: TapeValue,
    residual: TapeValue | None,
    epilogue: Epilogue | None,
    phase: Phase | None = None,
) -> TapeValue:
    """One call for the whole convolution, or for those pixels of `out` that a phase names."""
    tape = x.tape
    x = x if layout.thin else x.blocked()
    residual = residual.blocked() if residual else None
    batch, by_image = tape.batch, False
    if phase is None and area.is_pointwise:  # all pixels in one row
        width = math.prod(area.source)
        by_image = width == 1 and batch > 1  # and all images, each a pixel
        if by_image:
            width, batch = batch, 1
        area = replace(area, source=(1, width), output=(1, width))
    places = _places(area, x, out, residual, by_image=by_image)
    if phase is not None:
        places |= phase.fields(out, "out")
        places |= phase.fields(residual, "residual") if residual else {}

    cut = cut_into_units(area, layout, batch, x.pixel)
    height, width = area.output
    band, strip = -(-height // cut.bands), -(-width // cut.strips)  # the longest
    needs_patch = area.overhangs or places["source_pixel"] != x.pixel
    patch = _patch_fields(area, band, strip, x.pixel) if needs_patch else {"patch": 0}
    planes = 1 if layout.thin and x.is_blocked else layout.planes
    geometry = _geometry(area, layout, x, {**places, **patch})
    row_tiles = -(-strip // most_pixels(layout.panel_blocks))
    fields = {
        **geometry,
        **places,
        **patch,
        **area.fields(),
        **clamp_fields(epilogue),
        **_weight_fields(layout, params),
        **prefetch_fields(layout, geometry, band * row_tiles),
        **tile_fields(layout, area.stride[1] * x.pixel // FLOAT, geometry, {strip, width // cut.strips}),
        "batch": batch,
        "height": height,
        "width": width,
        "bands": cut.bands,
        "strips": cut.strips,
        "parts": cut.parts,
        "parts_first": int(cut.parts_first),
        "read_pixel": x.pixel,
        "group_planes": planes,
    }
    units = batch * cut.bands * cut.strips * cut.parts
    tape.call(DIRECT, CONV, fields, units, planes * patch["patch_plane"] if needs_patch else 0)
    return out


def _places(
    area: Area, x: TapeValue, out: TapeValue, residual: TapeValue | None, *, by_image: bool
) -> dict[str, Any]:
    """Where the source, the results and what is added to them lie; `by_image`, each image is a pixel."""

    def step(value: TapeValue) -> int:
        return value.image if by_image else value.pixel

    places = {
        "source": x.place,
        "source_image": x.image,
        "source_plane": x.plane,
        "source_row": area.source[1] * step(x),
        "source_pixel": step(x),
        "out": out.place,
        "out_image": out.image,
        "out_block": out.plane,
        "out_row": area.output[1] * step(out),
        "out_pixel": step(out),
        **residual_fields(residual, width=area.output[1]),
    }
    return places | ({"residual_pixel": step(residual)} if residual else {})


def _patch_fields(area: Area, band: int, strip: int, pixel: int) -> dict[str, int]:
    """The memory for what a unit of so many rows and columns sees, with what is beyond the source."""
    rows = (band - 1) * area.stride[0] + area.reach[0]
    columns = (strip - 1) * area.stride[1] + area.reach[1]
    return {"patch": 1, "patch_row": columns * pixel, "patch_plane": rows * columns * pixel}


def _weight_fields(layout: WeightLayout, params: Params) -> dict[str, Any]:
    return {
        "weight": params["weight"],
        "bias": params["bias"],
        "block_weight": params["weight"].nbytes // (layout.groups * layout.blocks),
        "group_blocks": layout.blocks,
        "group_panels": layout.panels,
        "panels": layout.groups * layout.panels,
        "panel_blocks": layout.panel_blocks,
    }


def _geometry(area: Area, layout: WeightLayout, x: TapeValue, places: Mapping[str, Any]) -> dict[str, int]:
    """How a tile walks: planes, rows of the kernel, and its columns in one run where they are adjacent."""
    seen = "patch" if places["patch"] else "source"
    plane, row = places[f"{seen}_plane"], places[f"{seen}_row"]
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


# Bytes by which weights that are read but once are prefetched: with 8 KiB, reading them took 6 % longer.
AHEAD = 1 << 11


def prefetch_fields(layout: WeightLayout, geometry: Mapping[str, int], tiles: int) -> dict[str, int]:
    """What tiles have prefetched: so many together the next panel, one by itself the weights that follow."""
    places = geometry["planes"] * geometry["rows"] * geometry["columns"]
    lines = geometry["run"] * layout.panel_blocks * machine().vector // LINE  # of the panel at a place
    each = -(-lines // tiles)
    return {
        "prefetch_ahead": geometry["depth"] * layout.panel_blocks * machine().vector if tiles > 1 else AHEAD,
        "prefetch_lines": each,
        "prefetch_step": places * each * LINE,
    }


def tile_fields(
    layout: WeightLayout, step: int, geometry: Mapping[str, int], counts: set[int]
) -> dict[str, Any]:
    """Tables of functions for whole panels and for the last one of a group, if that is smaller, over rows
    of so many pixels, `step` floats apart."""
    lanes = machine().lanes
    sizes = {"tile": layout.panel_blocks}
    if layout.blocks % layout.panel_blocks:
        sizes["tail"] = layout.blocks % layout.panel_blocks
    fields: dict[str, Any] = {}
    for name, blocks in sizes.items():
        most = most_pixels(blocks)
        fields[f"{name}_pixels"] = most
        tile = partial(_product, lanes, blocks, step, _unrolled(geometry["run"], step))
        fields[f"{name}_table"] = tile_table(tile, most, counts)
    return fields


def _unrolled(run: int, step: int) -> int:
    """Of a run; see `Product`."""
    return max(n for n in range(1, min(MOST_UNROLLED, step) + 1) if run % n == 0)


def _product(lanes: int, blocks: int, step: int, unroll: int, pixels: int) -> Product:
    return Product(lanes, pixels, blocks, step, unroll)
