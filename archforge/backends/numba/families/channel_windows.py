"""Windows that keep channels apart: depthwise convolution, and pools by maximum and mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from archforge.backends.numba.families import resample
from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.families.epilogues import ABSORBED, clamp_fields, residual_fields
from archforge.backends.numba.families.window_2d import Area, area_of
from archforge.backends.numba.microkernels.window_tiles import Reduction, WindowTile, seen_places
from archforge.backends.numba.runtime.records import POOL
from archforge.backends.numba.runtime.tape import BufferPlace, Params, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.ops.adaptive_pool import AdaptiveAvgPool
from archforge.ops.base import Array, per_axis
from archforge.ops.conv import Conv
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.pool import AvgPool, MaxPool, window_counts
from archforge.ops.window import Window
from archforge.plan import Epilogue, Kernel

__all__ = ["adaptive_avg_pool", "avg_pool", "depthwise", "global_pool", "max_pool", "square_sums", "weighed"]

POOLING = UnitRecipe("channel_windows", "pool")

# Pixels of a tile, and multiply-adds that it unrolls; pixels whose activation is done together, in the L1
# cache.
MOST_PIXELS, MOST_UNROLLED, GROUP_PIXELS = 14, 160, 256
# Multiply-adds of vectors below which a map is not cut further.
LEAST_WORK, UNITS_PER_THREAD = 1 << 12, 8


def depthwise(op: Conv, x: TensorType) -> Kernel | None:
    """As many groups as channels, in and out. Weights lie as [block][row][column][lane]."""
    area = area_of(op.window(x), x)
    if area is None:
        return None

    def pack(params: Params) -> Params:
        lanes, blocks = machine().lanes, blocks_of(op.out)
        places = math.prod(area.kernel)
        weight, bias = aligned((blocks, places, lanes)), aligned((blocks, lanes))
        by_channel = np.zeros((blocks * lanes, places), np.float32)
        by_channel[: op.out] = params["weight"].reshape(op.out, places)
        weight[:] = by_channel.reshape(blocks, lanes, places).swapaxes(1, 2)
        if op.bias:
            bias.reshape(-1)[: op.out] = params["bias"]
        return {"weight": weight, "bias": bias}

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        by = {**params, "block_weight": math.prod(area.kernel) * machine().vector}
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        return _record(_window("dot", area), area, x, out, by, residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def max_pool(op: MaxPool, x: TensorType) -> Kernel | None:
    area = area_of(op.window(x), x)
    if area is None:
        return None

    def run(params: Params, x: TapeValue) -> TapeValue:
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        return _record(_window("max", area), area, x, out, {})

    return Kernel(run)


def avg_pool(op: AvgPool, x: TensorType) -> Kernel | None:
    window = op.window(x)
    counts = window_counts(window, x.spatial, include_padding=op.count_include_pad)
    return _mean(window, x, counts)


def adaptive_avg_pool(op: AdaptiveAvgPool, x: TensorType) -> Kernel | None:
    """A window where all means are of equally many pixels, without overlap."""
    sizes = per_axis(op.size, len(x.spatial), "size")
    if set(sizes) == {1}:
        return _reduction("mean", op.infer(x).shape)
    if any(n % size for n, size in zip(x.spatial, sizes, strict=True)):
        return resample.adaptive_avg_pool(op, x)
    kernel = tuple(n // size for n, size in zip(x.spatial, sizes, strict=True))
    ones = (1,) * len(kernel)
    window = Window(kernel, kernel, ones, ((0, 0),) * len(kernel), sizes)
    return _mean(window, x, np.full(sizes, float(math.prod(kernel))))


def weighed(
    x: TapeValue,
    factor: BufferPlace | Array,
    factor_image: int,
    shift: Array | None = None,
    residual: TapeValue | None = None,
    epilogue: Epilogue | None = None,
) -> TapeValue:
    """Each channel times its factor, plus its shift: a depthwise convolution with a kernel of one place.
    Factors of an image are `factor_image` bytes apart."""
    x = x.blocked()
    one, whole = (1, 1), (1, x.pixels)
    area = Area(one, one, one, (0, 0), one, whole, whole)
    by = {
        "weight": factor,
        "block_weight": machine().vector,
        "weight_image": factor_image,
        "bias": aligned((x.blocks, machine().lanes)) if shift is None else shift,
    }
    return _record(_window("dot", area), area, x, x.tape.output(x.shape, x.axis), by, residual, epilogue)


def global_pool(op: GlobalAvgPool | GlobalMaxPool, x: TensorType) -> Kernel:
    return _reduction("max" if isinstance(op, GlobalMaxPool) else "mean", op.infer(x).shape)


def square_sums(x: TapeValue) -> TapeValue:
    """The sum of squares of each channel, for the step being recorded."""
    return _reduced("squares", x.blocked(), x.tape.temporary((x.channels,)))


def _reduction(kind: Literal["max", "mean"], shape: tuple[int, ...]) -> Kernel:
    """Whole maps to one value of each channel."""
    return Kernel(lambda params, x: _reduced(kind, x.blocked(), x.tape.output(shape)))


def _reduced(kind: Literal["max", "mean", "squares"], x: TapeValue, out: TapeValue) -> TapeValue:
    one, whole = (1, 1), (1, x.pixels)
    area = Area(whole, one, one, (0, 0), whole, whole, one)
    share = aligned((1,))
    share[:] = 1 / x.pixels
    return _record({"tile": Reduction(machine().lanes, kind)}, area, x, out, {"weight": share})


def _mean(window: Window, x: TensorType, counts: Array) -> Kernel | None:
    area = area_of(window, x)
    if area is None:
        return None
    shares = aligned(area.output)
    shares[:] = 1 / counts.reshape(area.output)

    def run(params: Params, x: TapeValue) -> TapeValue:
        by = {"weight": shares, "weight_row": area.output[1] * FLOAT}
        return _record(_window("mean", area), area, x, x.tape.output((x.channels, *window.output)), by)

    return Kernel(run)


def _window(kind: Literal["dot", "max", "mean"], area: Area) -> dict[str, Any]:
    """The tile, and how a row of outputs is cut into tiles of nearly equal size."""
    width, columns, stride = area.output[1], area.kernel[1], area.stride[1]
    most = max(min(MOST_PIXELS, machine().registers - columns - 2, MOST_UNROLLED // columns), 1)
    tiles = -(-width // most)
    pixels = -(-width // tiles)
    starts = {min(i * pixels, width - pixels) * stride - area.before[1] for i in range(tiles)}
    seen = seen_places(pixels, columns, stride, area.dilation[1])
    left = sum(place + min(starts) < 0 for place in seen)
    right = sum(place + max(starts) >= area.source[1] for place in seen)
    tile = WindowTile(machine().lanes, pixels, columns, stride, area.dilation, left, right, kind)
    return {"tile": tile, "row_tiles": tiles, "last_tile": width - pixels}


def _record(
    tile_fields: Mapping[str, Any],
    area: Area,
    x: TapeValue,
    out: TapeValue,
    by: Mapping[str, Any],
    residual: TapeValue | None = None,
    epilogue: Epilogue | None = None,
) -> TapeValue:
    """One call for all blocks of channels."""
    tape, x = x.tape, x.blocked()
    if residual is not None:
        residual = residual.blocked()
    (height, width), vector = area.output, machine().vector
    rows, bands = _cut(area, tape.batch * x.blocks)
    source_row = area.source[1] * vector
    fields = {
        **residual_fields(residual, width=width),
        **clamp_fields(epilogue),
        **tile_fields,
        "rows": area.kernel[0],
        "row": area.dilation[0] * source_row,
        "columns": area.kernel[1],
        "column": area.dilation[1] * vector,
        "out_pixel": vector,
        "out_block": out.plane,
        "height": height,
        "width": width,
        "bands": bands,
        "band_rows": rows,
        "activated_rows": max(GROUP_PIXELS // width, 1),
        "stride_y": area.stride[0],
        "pad_y": area.before[0],
        "pad_x": area.before[1],
        "source_height": area.source[0],
        "source_width": area.source[1],
        "source": x.place,
        "source_image": x.image,
        "source_plane": x.plane,
        "source_row": source_row,
        "out": out.place,
        "out_image": out.image,
        "out_row": width * vector,
        "blocks": x.blocks,
        **by,
    }
    tape.call(POOLING, POOL, fields, tape.batch * x.blocks * bands)
    return out


def _cut(area: Area, maps: int) -> tuple[int, int]:
    """Rows of a band, and bands into which each of so many maps is cut, so that threads share them evenly."""
    height, width = area.output
    wanted = -(-machine().threads * UNITS_PER_THREAD // maps)
    least = -(-LEAST_WORK // (width * math.prod(area.kernel)))
    rows = min(max(-(-height // wanted), least), height)
    bands = -(-height // rows)
    return -(-height // bands), bands
