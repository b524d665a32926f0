"""Direct convolutions that mix channels, and linear layers, which are convolutions of one pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from archforge.backends.numba.families.channel_blocks import AnyAxis
from archforge.backends.numba.families.epilogues import ABSORBED, Ending
from archforge.backends.numba.families.map_pixels import MapPixels, Phase
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.families.tile_geometry import TileGeometry
from archforge.backends.numba.families.tile_tables import most_pixels, tile_fields
from archforge.backends.numba.families.weight_layout import PanelKind, WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.families.work_units import WorkUnits, cut_into_units
from archforge.backends.numba.microkernels.narrow_pixels import NarrowPixels
from archforge.backends.numba.runtime.records import CONV, GEOMETRY, PANEL, merged
from archforge.backends.numba.runtime.tape import BufferPlace, PackedPlace, Params, TapeValue, table_of
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.linear import Linear
from archforge.plan import Epilogue, Kernel

__all__ = ["PackedConv", "direct", "linear", "record_conv"]

# NumPy adds more of them in many partial sums.
MOST_FEATURES = 1 << 16

DIRECT = UnitRecipe("direct_conv", "conv")


def direct(op: Conv, x: TensorType, *, bfloat16: bool = False) -> Kernel | None:
    """A convolution over one or two axes; in `bfloat16`, weights and inputs are rounded to it."""
    window = Window2d.of(op.window(x), x)
    if window is None:
        return None
    pixels = math.prod(window.output) if window.is_pointwise else window.output[1]
    layout = WeightLayout.of(op, x, pixels, bfloat16=bfloat16)

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        conv = PackedConv(window, layout, params["weight"], params["bias"])
        return record_conv(conv, x, Ending.of(out, residual, epilogue))

    return Kernel(run, layout.pack, ABSORBED, packing=layout)


def linear(op: Linear, x: TensorType, *, bfloat16: bool = False) -> Kernel | None:
    """A linear layer over any axis, as a pointwise convolution of what lies in blocks of its features; in
    `bfloat16`, weights and inputs are rounded to it. It adds them up one by one, which is exact enough for
    `MOST_FEATURES`."""
    axis = op.feature_axis(x)
    features, pixels = x.shape[axis], x.size // x.shape[axis]
    if features > MOST_FEATURES:
        return None
    layout = replace(WeightLayout.of_products(features, op.out), bfloat16=bfloat16)
    window = Window2d.of_one_pixel(pixels)

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        x, shape = along(x, axis), op.infer(TensorType(x.shape)).shape
        residual = along(residual, axis) if residual else None
        conv = PackedConv(window, layout, params["weight"], params["bias"])
        return record_conv(conv, x, Ending.of(x.tape.output(shape, axis), residual, epilogue))

    return AnyAxis(run, layout.pack, ABSORBED, packing=layout)


@dataclass(frozen=True, slots=True)
class PackedConv:
    """A convolution with its packed weights."""

    window: Window2d
    layout: WeightLayout
    weight: Array | PackedPlace
    bias: Array | BufferPlace

    def fields(self) -> dict[str, Any]:
        """The fields of CONV for the window and the weights."""
        window, layout = self.window, self.layout
        return {
            "stride_y": window.stride[0],
            "stride_x": window.stride[1],
            "pad_y": window.before[0],
            "pad_x": window.before[1],
            "reach_y": window.reach[0],
            "reach_x": window.reach[1],
            "source_height": window.source[0],
            "source_width": window.source[1],
            "height": window.output[0],
            "width": window.output[1],
            "weight": self.weight,
            "bias": self.bias,
            "panels": len(layout.panels),
            "panel_blocks": layout.panel_blocks,
        }


def record_conv(conv: PackedConv, x: TapeValue, ending: Ending, phase: Phase | None = None) -> TapeValue:
    """Record one call for the whole convolution, or for those pixels of its output that a phase names."""
    layout = conv.layout
    x = x if layout.thin else x.blocked()
    maps = _ConvMaps.of(conv.window, x, ending, phase)
    window = maps.window
    pixel = x.pixel // layout.word_channels  # where tiles read
    units = cut_into_units(window, layout, maps.batch, pixel)
    reading = _Reading.of(maps, units, pixel)
    planes = 1 if layout.thin and x.is_blocked else max(panel.planes for panel in layout.panels)
    kinds = [*dict.fromkeys(panel.kind(layout.plane_channels) for panel in layout.panels)]
    geometries = [_geometry(window, layout, kind, x, reading) for kind in kinds]
    tiles = units.band * -(-units.strip // most_pixels(layout.panel_blocks))
    results = maps.results() | ending.clamp_fields()
    records = [
        merged(geometry.fields(), geometry.prefetch_fields(kind.blocks, tiles), results)
        for geometry, kind in zip(geometries, kinds, strict=True)
    ]
    fields = merged(
        tile_fields(layout, geometries[0].run, window.stride[1] * pixel // FLOAT, units.strip_sizes()),
        maps.fields(),
        reading.fields(),
        replace(conv, window=window).fields(),
        units.fields(),
        ending.activation_fields(),
        {"geometries": table_of(GEOMETRY, records)},
        {"narrow": NarrowPixels(machine().lanes) if layout.bfloat16 else 0},
        {"panel_table": _panel_table(conv, planes, reading, kinds)},
    )
    scratch = planes * reading.plane if reading.is_patch else 0
    x.tape.call(DIRECT, CONV, fields, maps.batch * units.number, scratch)
    return ending.out


@dataclass(frozen=True, slots=True)
class _ConvMaps:
    """The maps of one call and the window over them: its source, its results, the value that is added."""

    window: Window2d
    batch: int
    source: MapPixels
    out: MapPixels
    residual: MapPixels | None

    @classmethod
    def of(cls, window: Window2d, x: TapeValue, ending: Ending, phase: Phase | None) -> _ConvMaps:
        """The maps of a convolution, whose results are the pixels of the phase if there is one.

        All pixels of a pointwise convolution make a single row, and so do images that have one pixel.
        """
        batch = x.tape.batch
        source: Callable[[TapeValue], MapPixels] = MapPixels.of
        result = source
        if phase is not None:
            result = partial(_pixels_at, phase)
        elif window.is_pointwise:
            row = (1, x.pixels)
            source = result = MapPixels.in_one_row
            if x.pixels == 1 and batch > 1:
                row, batch = (1, batch), 1
                source = result = MapPixels.of_images
            window = replace(window, source=row, output=row)
        residual = result(ending.residual) if ending.residual else None
        return cls(window, batch, source(x), result(ending.out), residual)

    def fields(self) -> dict[str, Any]:
        """The fields of CONV for the maps."""
        residual = {"residual": 0}
        if self.residual:
            residual = self.residual.fields("residual", "image", "row", "pixel")
        return merged(
            {"batch": self.batch},
            self.source.fields("source", "image", "plane", "row", "pixel"),
            self.out.fields("out", "image", "plane", "row", "pixel"),
            residual,
        )

    def results(self) -> dict[str, int]:
        """The fields of GEOMETRY for where results lie."""
        apart = self.residual.pixel if self.residual else 0
        return {"out_pixel": self.out.pixel, "out_plane": self.out.plane, "residual_pixel": apart}


def _pixels_at(phase: Phase, value: TapeValue) -> MapPixels:
    return MapPixels.of(value).at(phase)


@dataclass(frozen=True, slots=True)
class _Reading:
    """The place where tiles read: the source itself, or a patch, which is a copy in scratch memory of all
    that one unit sees of the source, with its padding."""

    is_patch: bool
    # Bytes from one to the next.
    plane: int
    row: int
    pixel: int

    @classmethod
    def of(cls, maps: _ConvMaps, units: WorkUnits, pixel: int) -> _Reading:
        """The source, unless windows reach beyond it or its pixels do not lie side by side, of `pixel` bytes
        each; then patches."""
        window, source = maps.window, maps.source
        if not window.overhangs and source.pixel == pixel:
            return cls(False, source.plane, source.row, pixel)
        rows = (units.band - 1) * window.stride[0] + window.reach[0]
        columns = (units.strip - 1) * window.stride[1] + window.reach[1]
        return cls(True, rows * columns * pixel, columns * pixel, pixel)

    def fields(self) -> dict[str, int]:
        """The fields of CONV for patches."""
        patch = {"patch_plane": self.plane, "patch_row": self.row} if self.is_patch else {}
        return {"read_pixel": self.pixel, "patch": int(self.is_patch), **patch}


def _geometry(
    window: Window2d, layout: WeightLayout, kind: PanelKind, x: TapeValue, reading: _Reading
) -> TileGeometry:
    """The planes, rows and columns of the window that a tile passes over; where planes are read whole,
    adjacent columns make one run."""
    height, width = window.kernel
    run = layout.plane_channels
    planes = -(-(kind.skipped + kind.depth) // run)
    cut = planes * run - kind.skipped - kind.depth
    run, skipped, cut = (n // layout.word_channels for n in (run, kind.skipped, cut))
    adjacent = window.dilation[1] == 1 and run * FLOAT == reading.pixel and skipped == cut == 0
    return TileGeometry(
        planes=planes,
        plane=FLOAT
        if layout.thin and x.is_blocked
        else reading.plane,  # a channel is a lane of the one block
        rows=height,
        row=window.dilation[0] * reading.row,
        columns=1 if adjacent else width,
        column=window.dilation[1] * reading.pixel,
        run=run * width if adjacent else run,
        skipped=skipped,
        cut=cut,
    )


def _panel_table(conv: PackedConv, planes: int, reading: _Reading, kinds: Sequence[PanelKind]) -> Array:
    """A record PANEL for each panel, of at most so many planes; of `kinds` there are records GEOMETRY."""
    layout = conv.layout
    weights = layout.places_of_panels(math.prod(conv.window.kernel))
    rows = [
        {
            "block": panel.block,
            "blocks": panel.blocks,
            "plane": panel.plane,
            "planes": min(planes, panel.planes),
            "source": (panel.first // layout.plane_channels - panel.plane) * reading.plane,
            "weight": weight,
            "geometry": kinds.index(panel.kind(layout.plane_channels)) * GEOMETRY.dtype.itemsize,
        }
        for panel, weight in zip(layout.panels, weights, strict=False)
    ]
    return table_of(PANEL, rows)
