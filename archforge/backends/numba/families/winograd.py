"""Winograd's convolution for kernels of stride 1: F(4x4, 3x3) takes a quarter of the multiplications and four
times the weights. Weights lie as those of pointwise convolutions, one for each frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archforge.backends.numba.families.epilogues import ABSORBED, Ending
from archforge.backends.numba.families.map_pixels import MapPixels
from archforge.backends.numba.families.tile_geometry import TileGeometry
from archforge.backends.numba.families.tile_tables import most_pixels, tile_fields
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.microkernels.winograd_transforms import InputTransform, OutputTransform
from archforge.backends.numba.runtime.opcodes import CHUNKS, INPUTS, OUTPUTS, PRODUCTS
from archforge.backends.numba.runtime.records import GEOMETRY, WINOGRAD, merged
from archforge.backends.numba.runtime.tape import Params, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.runtime.weight_memory import in_large_pages
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.winograd_forms import WinogradForm, transformed_weights
from archforge.data.memory_map import forget
from archforge.ir import TensorType
from archforge.ops.conv import Conv
from archforge.plan import Epilogue, Kernel

__all__ = ["convolution", "record_tiles"]

WINOGRAD_UNIT = UnitRecipe("winograd", "winograd")

# The most tiles of a chunk: from 30 to 170 all are about as fast, whatever the L2 cache holds of them. And
# how many bytes of weights read again are worth one that is written and read between stages.
CHUNK_TILES, MOST_READ_AGAIN = 84, 4


def convolution(op: Conv, x: TensorType, form: WinogradForm) -> Kernel:
    """A convolution by a form that can compute it."""
    window = Window2d.of(op.window(x), x)
    assert window is not None
    layout = WeightLayout.of_products(x.channels, op.out)

    def pack(params: Params) -> Params:
        """`weight` as [frequency] of packed weights, and `bias` in whole blocks."""
        weight, lanes = params["weight"], machine().lanes
        packed = in_large_pages((form.frequencies, layout.floats))
        for panel, place in zip(layout.panels, layout.places_of_panels(1), strict=False):
            rows = weight[panel.block * lanes : (panel.block + panel.blocks) * lanes]
            lines = np.zeros((panel.depth, panel.blocks * lanes, *window.kernel), np.float32)
            lines[: rows.shape[1], : len(rows)] = rows.swapaxes(0, 1)
            forget(rows)
            begin = place // FLOAT
            transformed_weights(lines, form, packed[:, begin : begin + panel.depth * lines.shape[1]])
        return {"weight": packed, "bias": layout.pack_bias(params.get("bias"))}

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        ending = Ending.of(x.tape.output(op.infer(TensorType(x.shape)).shape), residual, epilogue)
        return record_tiles(form, window, layout, params, x, ending)

    growth = form.frequencies / math.prod(window.kernel)
    return Kernel(run, pack, ABSORBED, ("winograd", form, layout), form.tile_error, growth)


def record_tiles(
    form: WinogradForm,
    window: Window2d,
    layout: WeightLayout,
    params: Mapping[str, Any],
    x: TapeValue,
    ending: Ending,
) -> TapeValue:
    """Record one call for all tiles in chunks, or one for each stage, whichever reads less memory."""
    tape, x, out = x.tape, x.blocked(), ending.out
    weights = params["weight"].nbytes
    per_tile = form.frequencies * (x.blocks + out.blocks) * machine().vector  # bytes of values and products
    tiles = _TileChunks.of(form, window, tape.batch, per_tile, weights)
    values, products = (_frequency_stride(v.blocks * tiles.chunk) for v in (x, out))
    # Bytes of a tile at the border: its inputs, or its outputs and what is added to them.
    edge = max(form.frequencies, 2 * form.outputs) * machine().vector
    fields = merged(
        _form_fields(form),
        _product_fields(layout, tiles),
        tiles.fields(),
        _window_fields(window),
        MapPixels.of(x).fields("source", "image"),
        MapPixels.of(out).fields("out", "image"),
        MapPixels.of(ending.residual).fields("residual", "image") if ending.residual else {"residual": 0},
        _ending_fields(ending),
        {
            "in_blocks": x.blocks,
            "out_blocks": out.blocks,
            "weight": params["weight"],
            "block_weight": weights // (form.frequencies * out.blocks),
            "bias": params["bias"],
            "values_stride": values,
            "products_stride": products,
            "edge": edge,
        },
    )
    if tiles.chunks:
        scratch = edge + form.frequencies * (values + products)
        tape.call(WINOGRAD_UNIT, WINOGRAD, merged(fields, {"stage": CHUNKS}), tiles.chunks, scratch)
        return out
    between = {
        "values": tape.buffer(form.frequencies * values),
        "products": tape.buffer(form.frequencies * products),
    }
    for stage, units in ((INPUTS, x.blocks), (PRODUCTS, form.frequencies), (OUTPUTS, out.blocks)):
        tape.call(WINOGRAD_UNIT, WINOGRAD, merged(fields, between, {"stage": stage}), units, edge)
    return out


@dataclass(frozen=True, slots=True)
class _TileChunks:
    """Tiles of an image in rows and columns, those of all images, and the number of chunks into which these
    are cut; 0 if each stage is a call for all tiles."""

    rows: int
    columns: int
    tiles: int
    chunks: int

    @classmethod
    def of(cls, form: WinogradForm, window: Window2d, batch: int, per_tile: int, weights: int) -> _TileChunks:
        """The chunks where `per_tile` bytes of a tile lie between stages, and weights are `weights` bytes."""
        rows, columns = (
            -(-window.output[0] // form.rows.outputs),
            -(-window.output[1] // form.columns.outputs),
        )
        tiles = batch * rows * columns
        return cls(rows, columns, tiles, _chunks(tiles, per_tile, weights))

    @property
    def chunk(self) -> int:
        """The most tiles of a chunk."""
        return -(-self.tiles // max(self.chunks, 1))

    def counts(self) -> set[int]:
        """The numbers of tiles that chunks have."""
        return {self.tiles // max(self.chunks, 1), self.chunk}

    def fields(self) -> dict[str, int]:
        """The fields of WINOGRAD for the chunks."""
        return {
            "tiles_y": self.rows,
            "tiles_x": self.columns,
            "tiles_all": self.tiles,
            "chunk": self.chunk,
            "chunks": self.chunks,
        }


def _chunks(tiles: int, per_tile: int, weights: int) -> int:
    """The number of chunks for so many tiles. It is 0, and each stage a call, where to read all weights again
    for each chunk would cost more than to write and read what lies between stages."""
    threads = machine().threads
    chunks = -(-tiles // CHUNK_TILES)
    chunks = -(-chunks // threads) * threads
    read_again = (chunks - 1) * weights
    return chunks if tiles >= chunks and read_again <= MOST_READ_AGAIN * tiles * per_tile else 0


def _form_fields(form: WinogradForm) -> dict[str, Any]:
    """The fields of WINOGRAD for a form."""
    return {
        "frequencies": form.frequencies,
        "points_y": form.rows.points,
        "points_x": form.columns.points,
        "outputs_y": form.rows.outputs,
        "outputs_x": form.columns.outputs,
        "transform_in": InputTransform(machine().lanes, form),
        "transform_out": OutputTransform(machine().lanes, form),
    }


def _window_fields(window: Window2d) -> dict[str, int]:
    """The fields of WINOGRAD for a window."""
    return {
        "height": window.output[0],
        "width": window.output[1],
        "source_height": window.source[0],
        "source_width": window.source[1],
        "pad_y": window.before[0],
        "pad_x": window.before[1],
    }


def _product_fields(layout: WeightLayout, tiles: _TileChunks) -> dict[str, Any]:
    """The fields of WINOGRAD for the products of a frequency, a pointwise convolution of a chunk's tiles."""
    vector, lanes = machine().vector, machine().lanes
    plane = tiles.chunk * vector
    (*_, panel) = layout.panels
    geometry = TileGeometry(
        planes=panel.planes,
        plane=plane,
        rows=1,
        row=0,
        columns=1,
        column=0,
        run=lanes,
        skipped=0,
        cut=-panel.depth % lanes,
    )
    return merged(
        geometry.fields(),
        geometry.prefetch_fields(layout.panel_blocks, -(-tiles.chunk // most_pixels(layout.panel_blocks))),
        tile_fields(layout, lanes, lanes, tiles.counts()),
        {
            "out_pixel": vector,
            "out_plane": plane,
            "residual_pixel": 0,
            "low": -math.inf,
            "high": math.inf,
            "activation": 0,
            "panels": len(layout.panels),
            "panel_blocks": layout.panel_blocks,
            "zeros": aligned((layout.panel_blocks * lanes,)),
        },
    )


def _ending_fields(ending: Ending) -> dict[str, Any]:
    """The fields of WINOGRAD for what follows the outputs."""
    clamp: Any = aligned((1,), GEOMETRY.dtype)  # of which the transform of outputs reads the clamp alone
    clamp["low"], clamp["high"] = ending.clamp
    return {"clamp": clamp, **ending.activation_fields("out_activation")}


def _frequency_stride(vectors: int) -> int:
    """Bytes from a frequency of so many vectors to the next.

    The vectors of a tile, one of each frequency, are an odd number of vectors apart: at a power of 2 few sets
    of the caches would have to hold them all.
    """
    return (vectors | 1) * machine().vector
