"""Windows that keep channels apart: depthwise convolution, and pools by maximum and mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from archforge.backends.numba.compiled import Unit
from archforge.backends.numba.families import resample
from archforge.backends.numba.families.common import (
    ABSORBED,
    Area,
    area_of,
    blocks_of,
    clamp_fields,
    residual_fields,
    tile_table,
)
from archforge.backends.numba.machine import FLOAT, machine
from archforge.backends.numba.native import Recipe
from archforge.backends.numba.records import POOL
from archforge.backends.numba.tape import Place, Value, aligned
from archforge.backends.numba.tiles import Reduction
from archforge.backends.numba.tiles import Window as WindowTile
from archforge.ir import TensorType
from archforge.ops.adaptive_pool import AdaptiveAvgPool
from archforge.ops.base import Array, per_axis
from archforge.ops.conv import Conv
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.pool import AvgPool, MaxPool, window_counts
from archforge.ops.window import Window
from archforge.plan import Epilogue, Kernel

__all__ = ["adaptive_avg_pool", "avg_pool", "depthwise", "global_pool", "max_pool", "square_sums", "weighed"]

POOLING = Unit("pool", "pool")


def depthwise(op: Conv, x: TensorType) -> Kernel | None:
    """As many groups as channels, in and out. Weights lie as [block][row][column][lane]."""
    area = area_of(op.window(x), x)
    if area is None:
        return None

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
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
        params: Mapping[str, Array], x: Value, residual: Value | None = None, epilogue: Epilogue | None = None
    ) -> Value:
        by = {**params, "block_weight": math.prod(area.kernel) * machine().vector}
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        return _record(_window("dot", area), area, x, out, by, residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def max_pool(op: MaxPool, x: TensorType) -> Kernel | None:
    area = area_of(op.window(x), x)
    if area is None:
        return None

    def run(params: Mapping[str, Array], x: Value) -> Value:
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        return _record(_window("max", area), area, x, out, {"fill": -math.inf})

    return Kernel(run)


def avg_pool(op: AvgPool, x: TensorType) -> Kernel | None:
    window = op.window(x)
    counts = window_counts(window, x.spatial, include_padding=op.count_include_pad)
    return _mean(window, x, counts)


def adaptive_avg_pool(op: AdaptiveAvgPool, x: TensorType) -> Kernel | None:
    """A window where the stretches are of one size, without overlap."""
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
    x: Value,
    factor: Place | Array,
    factor_image: int,
    shift: Array | None = None,
    residual: Value | None = None,
    epilogue: Epilogue | None = None,
) -> Value:
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


def square_sums(x: Value) -> Value:
    """The sum of squares of each channel, for the step being recorded."""
    return _reduced("squares", x.blocked(), x.tape.temporary((x.channels,)))


def _reduction(kind: Literal["max", "mean"], shape: tuple[int, ...]) -> Kernel:
    """Whole maps to one value of each channel."""
    return Kernel(lambda params, x: _reduced(kind, x.blocked(), x.tape.output(shape)))


def _reduced(kind: Literal["max", "mean", "squares"], x: Value, out: Value) -> Value:
    one, whole = (1, 1), (1, x.pixels)
    area = Area(whole, one, one, (0, 0), whole, whole, one)
    share = aligned((1,))
    share[:] = 1 / x.pixels
    return _record(lambda _: Reduction(machine().lanes, kind), area, x, out, {"weight": share})


def _mean(window: Window, x: TensorType, counts: Array) -> Kernel | None:
    area = area_of(window, x)
    if area is None:
        return None
    shares = aligned(area.output)
    shares[:] = 1 / counts.reshape(area.output)

    def run(params: Mapping[str, Array], x: Value) -> Value:
        by = {"weight": shares, "weight_row": area.output[1] * FLOAT}
        return _record(_window("mean", area), area, x, x.tape.output((x.channels, *window.output)), by)

    return Kernel(run)


def _window(kind: Literal["dot", "max", "mean"], area: Area) -> Callable[[int], Recipe]:
    return lambda pixels: WindowTile(machine().lanes, pixels, area.stride[1], kind)


def _record(
    tile: Callable[[int], Recipe],
    area: Area,
    x: Value,
    out: Value,
    by: Mapping[str, Any],
    residual: Value | None = None,
    epilogue: Epilogue | None = None,
) -> Value:
    """One call for all blocks of channels."""
    tape, x = x.tape, x.blocked()
    if residual is not None:
        residual = residual.blocked()
    (height, width), vector = area.output, machine().vector
    columns = (width - 1) * area.stride[1] + area.reach[1]
    budget = machine().l2_bytes // 2 // (columns * vector)
    band = min(max((budget - area.reach[0]) // area.stride[0] + 1, 1), height)
    patch_plane = ((band - 1) * area.stride[0] + area.reach[0]) * columns * vector
    source_row = area.source[1] * vector
    row = columns * vector if area.overhangs else source_row
    most = 14 if machine().registers == 32 else 8
    bands = -(-height // band)
    fields = {
        **area.fields(),
        **residual_fields(residual, width=width),
        **clamp_fields(epilogue),
        "planes": 1,
        "rows": area.kernel[0],
        "row": area.dilation[0] * row,
        "columns": area.kernel[1],
        "column": area.dilation[1] * vector,
        "out_pixel": vector,
        "out_block": out.plane,
        "batch": tape.batch,
        "height": height,
        "width": width,
        "bands": bands,
        "band_rows": band,
        "source": x.place,
        "source_image": x.image,
        "source_plane": x.plane,
        "source_row": source_row,
        "source_pixel": vector,
        "pixel": vector,
        "patch": int(area.overhangs),
        "patch_plane": patch_plane,
        "patch_row": columns * vector,
        "out": out.place,
        "out_image": out.image,
        "out_row": width * vector,
        "blocks": x.blocks,
        "most_pixels": most,
        "tiles": tile_table(tile, most, [width]),
        **by,
    }
    units = tape.batch * x.blocks * bands
    tape.call(POOLING, POOL, fields, units, patch_plane if area.overhangs else 0)
    return out
