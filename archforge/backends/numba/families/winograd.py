"""Winograd's F(4x4, 3x3) for 3x3 convolutions of stride 1: a quarter of the multiplications, four times the
weights. Weights lie as those of 36 pointwise convolutions, one for each frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from archforge.backends.numba.compiled import Unit
from archforge.backends.numba.families.codes import CHUNKS, INPUTS, OUTPUTS, PRODUCTS
from archforge.backends.numba.families.common import (
    ABSORBED,
    Area,
    area_of,
    blocks_of,
    clamp_fields,
)
from archforge.backends.numba.families.conv import Layout, tile_fields
from archforge.backends.numba.machine import machine
from archforge.backends.numba.records import GEOMETRY, WINOGRAD
from archforge.backends.numba.tape import Value, aligned
from archforge.backends.numba.transforms import (
    FREQUENCIES,
    InputTransform,
    OutputTransform,
    transformed_weights,
)
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.plan import Epilogue, Kernel
from archforge.weights.mapped import forget

__all__ = ["can_take", "convolution", "pays"]

WINOGRAD_UNIT = Unit("winograd", "winograd")

# Of one core, for the choice: vector multiply-adds in a cycle, cycles of a tile's transforms for one block,
# bytes of weights in a cycle from beyond the L2 cache.
MULTIPLY_ADDS, INPUT_CYCLES, OUTPUT_CYCLES, BYTES_PER_CYCLE = 1.8, 90.0, 70.0, 8.0


def can_take(op: Conv, x: TensorType) -> bool:
    window = op.window(x)
    ones = (1, 1)
    return (
        op.groups == 1
        and window.kernel == (3, 3)
        and window.stride == window.dilation == ones
        and x.channels > machine().lanes // 2
    )


def pays(op: Conv, x: TensorType) -> bool:
    """Whether it is expected to beat the direct convolution for one image: by the cycles of products and
    transforms, and of reading four times the weights."""
    if not (machine().winograd and can_take(op, x)):
        return False
    height, width = op.infer(x).spatial
    tiles = -(-height // 4) * -(-width // 4)
    lanes, blocks_in, blocks_out = machine().lanes, blocks_of(x.channels), blocks_of(op.out)
    pairs = blocks_in * lanes * blocks_out  # vectors of weights for one place of the kernel
    direct = 9 * height * width * pairs / MULTIPLY_ADDS
    products = FREQUENCIES * tiles * pairs / MULTIPLY_ADDS
    transforms = tiles * (blocks_in * INPUT_CYCLES + blocks_out * OUTPUT_CYCLES)
    weights = (FREQUENCIES - 9) * pairs * machine().vector / BYTES_PER_CYCLE
    return products + transforms + weights < direct


def convolution(op: Conv, x: TensorType) -> Kernel:
    """The kernel, whether it pays or not. Raises nothing where `can_take` holds."""
    area = area_of(op.window(x), x)
    assert area is not None
    # As pointwise convolutions, one for each frequency.
    layout = Layout(1, x.channels, op.out, 1, min(2, blocks_of(op.out)), thin=False)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        weight, lanes = params["weight"], machine().lanes
        packed = aligned((FREQUENCIES, layout.blocks * lanes * layout.planes * lanes))
        for first in range(0, layout.blocks, layout.panel_blocks):
            rows = weight[first * lanes : layout.end_of_panel(first)]
            u = transformed_weights(rows).reshape(FREQUENCIES, *rows.shape[:2])
            for frequency, group in zip(u, packed, strict=True):
                layout.pack_panel(group, first, frequency)
            forget(rows)
        return {"weight": packed, "bias": layout.pack_bias(params.get("bias"))}

    def run(
        params: Mapping[str, Array], x: Value, residual: Value | None = None, epilogue: Epilogue | None = None
    ) -> Value:
        return _record(area, layout, params, x, op.infer(TensorType(x.shape)).shape, residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=("winograd", layout))


def _record(
    area: Area,
    layout: Layout,
    params: Mapping[str, Array],
    x: Value,
    shape: tuple[int, ...],
    residual: Value | None,
    epilogue: Epilogue | None,
) -> Value:
    """One call for all tiles in chunks, or one for each of the stages, by what reads less memory."""
    tape, x = x.tape, x.blocked()
    out = tape.output(shape)
    vector = machine().vector
    height, width = area.output
    tiles_y, tiles_x = -(-height // 4), -(-width // 4)
    tiles = tape.batch * tiles_y * tiles_x
    per_tile = FREQUENCIES * (x.blocks + out.blocks) * vector  # bytes of values and products
    chunks = _chunks(tiles, per_tile, params["weight"].nbytes)
    chunk = -(-tiles // chunks) if chunks else tiles
    then = clamp_fields(epilogue)
    fields: dict[str, Any] = {
        **_product_geometry(layout, chunk),
        **tile_fields(layout, machine().lanes, machine().lanes, _counts(tiles, chunks)),
        **_residual(residual),
        "height": height,
        "width": width,
        "source_height": area.source[0],
        "source_width": area.source[1],
        "pad_y": area.before[0],
        "pad_x": area.before[1],
        "tiles_y": tiles_y,
        "tiles_x": tiles_x,
        "tiles_all": tiles,
        "chunk": chunk,
        "chunks": chunks,
        "in_blocks": x.blocks,
        "out_blocks": out.blocks,
        "panels": layout.panels,
        "panel_blocks": layout.panel_blocks,
        "block_weight": params["weight"].nbytes // (FREQUENCIES * out.blocks),
        "source": x.place,
        "source_image": x.image,
        "weight": params["weight"],
        "bias": params["bias"],
        "zeros": aligned((layout.panel_blocks * machine().lanes,)),
        "out": out.place,
        "out_image": out.image,
        "transform_in": InputTransform(machine().lanes),
        "transform_out": OutputTransform(machine().lanes),
        "epilogue": _clamp(then),
        "then": then.get("activation", 0),
        "parameter": then.get("parameter", 0),
    }
    edge = FREQUENCIES * vector
    if chunks:
        tape.call(WINOGRAD_UNIT, WINOGRAD, fields | {"stage": CHUNKS}, chunks, edge + chunk * per_tile)
        return out
    fields["values"] = tape.buffer(FREQUENCIES * x.blocks * tiles * vector)
    fields["products"] = tape.buffer(FREQUENCIES * out.blocks * tiles * vector)
    for stage, units in ((INPUTS, x.blocks), (PRODUCTS, FREQUENCIES), (OUTPUTS, out.blocks)):
        tape.call(WINOGRAD_UNIT, WINOGRAD, fields | {"stage": stage}, units, edge)
    return out


def _residual(residual: Value | None) -> dict[str, Any]:
    if residual is None:
        return {"residual": 0}
    residual = residual.blocked()
    return {"residual": residual.place, "residual_image": residual.image}


def _chunks(tiles: int, per_tile: int, weights: int) -> int:
    """Into how many chunks, each with its values and products in the L2 cache, to cut the tiles; 0 to do
    stage by stage, where reading all weights for each chunk would cost more than what lies between stages:
    that is written and read twice, and weights, read in order, cost a quarter of it."""
    most = machine().most_pixels(2)
    fitting = max(machine().l2_bytes * 3 // 4 // per_tile // most, 1) * most
    chunks = -(-tiles // fitting)
    chunks = -(-chunks // machine().threads) * machine().threads
    if tiles < chunks * most or chunks * weights > weights + 8 * tiles * per_tile:
        return 0
    return chunks


def _counts(tiles: int, chunks: int) -> set[int]:
    """The numbers of tiles that chunks have."""
    if not chunks:
        return {tiles}
    return {tiles * (i + 1) // chunks - tiles * i // chunks for i in range(chunks)}


def _product_geometry(layout: Layout, chunk: int) -> dict[str, Any]:
    vector = machine().vector
    return {
        "planes": layout.planes,
        "plane": chunk * vector,
        "rows": 1,
        "columns": 1,
        "run": machine().lanes,
        "out_pixel": vector,
        "out_block": chunk * vector,
        "low": -math.inf,
        "high": math.inf,
    }


def _clamp(then: Mapping[str, Any]) -> Array:
    """A geometry that says only between what the outputs are clamped."""
    made: Any = aligned((1,), GEOMETRY)
    made["low"], made["high"] = then["low"], then["high"]
    record: Array = made
    return record
