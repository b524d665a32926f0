"""Winograd's convolution for kernels of stride 1: F(4x4, 3x3) takes a quarter of the multiplications and four
times the weights. Weights lie as those of pointwise convolutions, one for each frequency."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.families.direct_conv import prefetch_fields, tile_fields
from archforge.backends.numba.families.epilogues import ABSORBED, clamp_fields
from archforge.backends.numba.families.tile_tables import most_pixels
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Area, area_of
from archforge.backends.numba.microkernels.winograd_transforms import InputTransform, OutputTransform
from archforge.backends.numba.runtime.opcodes import CHUNKS, INPUTS, OUTPUTS, PRODUCTS
from archforge.backends.numba.runtime.records import GEOMETRY, WINOGRAD
from archforge.backends.numba.runtime.tape import Params, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.runtime.weight_memory import in_large_pages
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.winograd_forms import WinogradAxis, WinogradForm, transformed_weights
from archforge.data.memory_map import forget
from archforge.ir import TensorType
from archforge.ops.conv import Conv
from archforge.plan import Epilogue, Kernel

__all__ = ["convolution", "form_of", "forms"]

WINOGRAD_UNIT = UnitRecipe("winograd", "winograd")

# Outputs of a tile by the taps of an axis, for kernels of two axes and of one: as many as keep the rounding
# error near that of F(4x4, 3x3).
SQUARE = {2: (3,), 3: (2, 4), 4: (3,), 5: (2,)}
SINGLE = {1: (1,), 2: (3, 5), 3: (4, 6), 4: (3, 5), 5: (4, 6), 6: (5,), 7: (4, 6)}

# Of one core, for the choice: vector multiply-adds in a cycle, cycles of a transform for each vector that it
# reads or writes, and bytes of weights in a cycle from beyond the L2 cache.
MULTIPLY_ADDS, VECTOR_CYCLES, BYTES_PER_CYCLE = 1.8, 3.0, 8.0

# The most tiles of a chunk: from 30 to 170 all are about as fast, whatever the L2 cache holds of them. And
# how many bytes of weights read again are worth one that is written and read between stages.
CHUNK_TILES, MOST_READ_AGAIN = 84, 4


def forms(op: Conv, x: TensorType) -> Iterator[WinogradForm]:
    """The tiles by which Winograd can compute it; none where it cannot."""
    window = op.window(x)
    ones = (1,) * len(window.kernel)
    thin = x.channels <= machine().lanes // 2
    if op.groups > 1 or thin or len(ones) != 2 or (window.stride, window.dilation) != (ones, ones):
        return
    rows, columns = window.kernel
    if rows == columns == 1:
        return
    table = SINGLE if 1 in (rows, columns) else SQUARE
    for height, width in product(table.get(rows, ()), table.get(columns, ())):
        yield WinogradForm(WinogradAxis(height, rows), WinogradAxis(width, columns))


def form_of(op: Conv, x: TensorType) -> WinogradForm | None:
    """The tile that is expected to be fastest for one image, if any beats the direct convolution: by the
    cycles of products and transforms, and of reading more weights."""
    candidates = [*forms(op, x)]
    if not candidates:
        return None
    height, width = op.infer(x).spatial
    blocks_in, blocks_out = blocks_of(x.channels), blocks_of(op.out)
    pairs = blocks_in * machine().lanes * blocks_out  # vectors of weights for one place of the kernel
    taps = math.prod(op.window(x).kernel)

    def cycles(form: WinogradForm) -> float:
        tiles = -(-height // form.rows.outputs) * -(-width // form.columns.outputs)
        products = form.frequencies * tiles * pairs / MULTIPLY_ADDS
        outputs = form.rows.outputs * form.columns.outputs
        vectors = blocks_in * 2 * form.frequencies + blocks_out * (form.frequencies + outputs)
        weights = (form.frequencies - taps) * pairs * machine().vector / BYTES_PER_CYCLE
        return products + tiles * vectors * VECTOR_CYCLES + weights

    direct = taps * height * width * pairs / MULTIPLY_ADDS
    best = min(candidates, key=cycles)
    return best if cycles(best) < direct else None


def convolution(op: Conv, x: TensorType, form: WinogradForm) -> Kernel:
    """The kernel for one of its `forms`, whether it pays or not."""
    area = area_of(op.window(x), x)
    assert area is not None
    # As pointwise convolutions, one for each frequency.
    layout = WeightLayout(1, x.channels, op.out, 1, min(2, blocks_of(op.out)), thin=False)

    def pack(params: Params) -> Params:
        weight, lanes = params["weight"], machine().lanes
        packed = in_large_pages((form.frequencies, layout.blocks * lanes * layout.depth(1)))
        for first in range(0, layout.blocks, layout.panel_blocks):
            rows = weight[first * lanes : layout.end_of_panel(first)]
            u = transformed_weights(rows, form)
            for frequency, group in zip(u, packed, strict=True):
                layout.pack_panel(group, first, frequency)
            forget(rows)
        return {"weight": packed, "bias": layout.pack_bias(params.get("bias"))}

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        return _record(form, area, layout, params, x, op.infer(TensorType(x.shape)).shape, residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=("winograd", form, layout))


def _record(
    form: WinogradForm,
    area: Area,
    layout: WeightLayout,
    params: Params,
    x: TapeValue,
    shape: tuple[int, ...],
    residual: TapeValue | None,
    epilogue: Epilogue | None,
) -> TapeValue:
    """One call for all tiles in chunks, or one for each of the stages, by what reads less memory."""
    tape, x = x.tape, x.blocked()
    out = tape.output(shape)
    weights = params["weight"].nbytes
    per_tile = form.frequencies * (x.blocks + out.blocks) * machine().vector  # bytes of values and products
    cut = _TileChunks.of(form, area, tape.batch, per_tile, weights)
    values, products = (_frequency_stride(v.blocks * cut.chunk) for v in (x, out))
    fields = {
        **_form_fields(form),
        **_product_fields(layout, cut),
        **cut.fields(),
        **_residual(residual),
        **_epilogue_fields(epilogue),
        "height": area.output[0],
        "width": area.output[1],
        "source_height": area.source[0],
        "source_width": area.source[1],
        "pad_y": area.before[0],
        "pad_x": area.before[1],
        "source": x.place,
        "source_image": x.image,
        "in_blocks": x.blocks,
        "values_stride": values,
        "weight": params["weight"],
        "block_weight": weights // (form.frequencies * out.blocks),
        "bias": params["bias"],
        "products_stride": products,
        "out": out.place,
        "out_image": out.image,
        "out_blocks": out.blocks,
    }
    edge = fields["edge"]
    if cut.chunks:
        scratch = edge + form.frequencies * (values + products)
        tape.call(WINOGRAD_UNIT, WINOGRAD, fields | {"stage": CHUNKS}, cut.chunks, scratch)
        return out
    fields["values"] = tape.buffer(form.frequencies * values)
    fields["products"] = tape.buffer(form.frequencies * products)
    for stage, units in ((INPUTS, x.blocks), (PRODUCTS, form.frequencies), (OUTPUTS, out.blocks)):
        tape.call(WINOGRAD_UNIT, WINOGRAD, fields | {"stage": stage}, units, edge)
    return out


@dataclass(frozen=True, slots=True)
class _TileChunks:
    """The tiles of all images, in rows and columns, and into how many chunks they are cut; 0 to do stage by
    stage."""

    rows: int
    columns: int
    tiles: int
    chunks: int

    @classmethod
    def of(cls, form: WinogradForm, area: Area, batch: int, per_tile: int, weights: int) -> _TileChunks:
        rows, columns = -(-area.output[0] // form.rows.outputs), -(-area.output[1] // form.columns.outputs)
        tiles = batch * rows * columns
        return cls(rows, columns, tiles, _chunks(tiles, per_tile, weights))

    @property
    def chunk(self) -> int:
        """The most tiles that one has."""
        return -(-self.tiles // max(self.chunks, 1))

    def counts(self) -> set[int]:
        """The numbers of tiles that chunks have."""
        return {self.tiles // max(self.chunks, 1), self.chunk}

    def fields(self) -> dict[str, Any]:
        return {
            "tiles_y": self.rows,
            "tiles_x": self.columns,
            "tiles_all": self.tiles,
            "chunk": self.chunk,
            "chunks": self.chunks,
        }


def _chunks(tiles: int, per_tile: int, weights: int) -> int:
    """Into how many chunks to cut the tiles; 0 to do stage by stage, where reading all weights again for
    each chunk would cost more than what lies between stages, which is written and read."""
    threads = machine().threads
    chunks = -(-tiles // CHUNK_TILES)
    chunks = -(-chunks // threads) * threads
    read_again = (chunks - 1) * weights
    return chunks if tiles >= chunks and read_again <= MOST_READ_AGAIN * tiles * per_tile else 0


def _form_fields(form: WinogradForm) -> dict[str, Any]:
    outputs = form.rows.outputs * form.columns.outputs
    return {
        "frequencies": form.frequencies,
        "points_y": form.rows.points,
        "points_x": form.columns.points,
        "outputs_y": form.rows.outputs,
        "outputs_x": form.columns.outputs,
        "transform_in": InputTransform(machine().lanes, form),
        "transform_out": OutputTransform(machine().lanes, form),
        # Bytes of a tile at the border: its inputs, or its outputs and what is added to them.
        "edge": max(form.frequencies, 2 * outputs) * machine().vector,
    }


def _product_fields(layout: WeightLayout, cut: _TileChunks) -> dict[str, Any]:
    """The products of one frequency, a pointwise convolution of a chunk's tiles."""
    vector = machine().vector
    geometry = {
        "planes": layout.planes,
        "plane": cut.chunk * vector,
        "rows": 1,
        "row": 0,
        "columns": 1,
        "column": 0,
        "run": machine().lanes,
        "depth": layout.depth(1),
        "out_pixel": vector,
        "out_block": cut.chunk * vector,
        "residual_pixel": 0,
    }
    return {
        **geometry,
        **prefetch_fields(layout, geometry, -(-cut.chunk // most_pixels(layout.panel_blocks))),
        **tile_fields(layout, machine().lanes, geometry, cut.counts()),
        "panels": layout.panels,
        "panel_blocks": layout.panel_blocks,
        "zeros": aligned((layout.panel_blocks * machine().lanes,)),
        "low": -math.inf,
        "high": math.inf,
        "activation": 0,
    }


def _epilogue_fields(epilogue: Epilogue | None) -> dict[str, Any]:
    then = clamp_fields(epilogue)
    clamp: Any = aligned((1,), GEOMETRY.dtype)  # which says only between what the outputs are clamped
    clamp["low"], clamp["high"] = then["low"], then["high"]
    return {
        "clamp": clamp,
        "out_activation": then.get("activation", 0),
        "parameter": then.get("parameter", 0),
    }


def _residual(residual: TapeValue | None) -> dict[str, Any]:
    if residual is None:
        return {"residual": 0}
    residual = residual.blocked()
    return {"residual": residual.place, "residual_image": residual.image}


def _frequency_stride(vectors: int) -> int:
    """Bytes from a frequency of so many vectors to the next. The vectors of a tile, one of each frequency,
    are an odd number of vectors apart: at a power of 2 few sets of the caches would have to hold them all."""
    return (vectors | 1) * machine().vector
