"""Windows over each channel by itself: depthwise convolutions, pools, factors of channels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from archforge.backends.numba.families import resample
from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.families.epilogues import ABSORBED, Ending
from archforge.backends.numba.families.map_pixels import MapPixels, Phase
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.microkernels.window_tiles import (
    MOST_IN_FLOAT32,
    Reduction,
    WindowTile,
    seen_places,
)
from archforge.backends.numba.runtime.records import POOL, merged
from archforge.backends.numba.runtime.tape import BufferPlace, PackedPlace, Params, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.numba.toolchain.machine_code import Recipe
from archforge.ir import TensorType
from archforge.ops.base import Array, per_axis
from archforge.ops.conv import Conv
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.pool import AvgPool, MaxPool, window_counts
from archforge.ops.window import Window
from archforge.plan import Epilogue, Kernel

if TYPE_CHECKING:
    from archforge.ops.adaptive_pool import AdaptiveAvgPool

__all__ = [
    "adaptive_avg_pool",
    "avg_pool",
    "depthwise",
    "global_pool",
    "max_pool",
    "record_depthwise",
    "square_sums",
    "weighed",
]

POOLING = UnitRecipe("channel_windows", "pool")

# Pixels of a tile, and multiply-adds that it unrolls; pixels whose activation is done together, in the L1
# cache.
MOST_PIXELS, MOST_UNROLLED, GROUP_PIXELS = 14, 160, 256
# Multiply-adds of vectors below which a map is not cut further.
LEAST_WORK, UNITS_PER_THREAD = 1 << 12, 8


def depthwise(op: Conv, x: TensorType) -> Kernel | None:
    """A convolution with as many groups as channels, in and out, over one or two axes."""
    window = Window2d.of(op.window(x), x)
    if window is None:
        return None

    def pack(params: Params) -> Params:
        """`weight` as [block][row][column][lane], and `bias`, in whole blocks."""
        lanes, blocks = machine().lanes, blocks_of(op.out)
        places = math.prod(window.kernel)
        weight, bias = aligned((blocks, places, lanes)), aligned((blocks, lanes))
        by_channel = np.zeros((blocks * lanes, places), np.float32)
        by_channel[: op.out] = params["weight"].reshape(op.out, places)
        weight[:] = by_channel.reshape(blocks, lanes, places).swapaxes(1, 2)
        if op.bias:
            bias.reshape(-1)[: op.out] = params["bias"]
        return {"weight": weight, "bias": bias}

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        weights = _Weights(params["weight"], params["bias"], math.prod(window.kernel) * machine().vector)
        ending = Ending.of(x.tape.output(op.infer(TensorType(x.shape)).shape), residual, epilogue)
        return _record_windows(_RowTiles.of("dot", window), window, weights, x, ending)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def record_depthwise(
    window: Window2d, weight: PackedPlace, x: TapeValue, ending: Ending, phase: Phase
) -> None:
    """Record a depthwise convolution without a bias, which makes the pixels of a phase."""
    bias = aligned((x.blocks, machine().lanes))
    weights = _Weights(weight, bias, math.prod(window.kernel) * machine().vector)
    _record_windows(_RowTiles.of("dot", window, phase.stride[1]), window, weights, x, ending, phase)


def max_pool(op: MaxPool, x: TensorType) -> Kernel | None:
    """The largest of each window, over one or two axes."""
    window = Window2d.of(op.window(x), x)
    if window is None:
        return None

    def run(params: Params, x: TapeValue) -> TapeValue:
        ending = Ending.of(x.tape.output(op.infer(TensorType(x.shape)).shape))
        return _record_windows(_RowTiles.of("max", window), window, _Weights(), x, ending)

    return Kernel(run)


def avg_pool(op: AvgPool, x: TensorType) -> Kernel | None:
    """The mean of each window, over one or two axes."""
    window = op.window(x)
    counts = window_counts(window, x.spatial, include_padding=op.count_include_pad)
    return _mean(window, x, counts)


def adaptive_avg_pool(op: AdaptiveAvgPool, x: TensorType) -> Kernel | None:
    """Means over parts of a map: windows side by side where all parts are of one size."""
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
    shift: Array | None = None,
    residual: TapeValue | None = None,
    epilogue: Epilogue | None = None,
    *,
    factor_image: int = 0,
) -> TapeValue:
    """Record each channel times its factor, plus its shift: a depthwise convolution of one place.

    Factors of an image are `factor_image` bytes from those of the next.
    """
    x = x.blocked()
    window = Window2d.of_one_pixel(x.pixels)
    bias = aligned((x.blocks, machine().lanes)) if shift is None else shift
    weights = _Weights(factor, bias, machine().vector, image=factor_image)
    ending = Ending.of(x.tape.output(x.shape, x.axis), residual, epilogue)
    return _record_windows(_RowTiles.of("dot", window), window, weights, x, ending)


def global_pool(op: GlobalAvgPool | GlobalMaxPool, x: TensorType) -> Kernel:
    """The mean or the largest of each whole map."""
    return _reduction("max" if isinstance(op, GlobalMaxPool) else "mean", op.infer(x).shape)


def square_sums(x: TapeValue) -> TapeValue:
    """Record the sum of squares of each channel, for the step being recorded."""
    return _reduced("squares", x.blocked(), x.tape.temporary((x.channels,)))


def _reduction(kind: Literal["max", "mean"], shape: tuple[int, ...]) -> Kernel:
    """A kernel from whole maps to one value of each channel."""
    return Kernel(lambda params, x: _reduced(kind, x.blocked(), x.tape.output(shape)))


def _reduced(kind: Literal["max", "mean", "squares"], x: TapeValue, out: TapeValue) -> TapeValue:
    """Record one call that reduces each whole map to one value."""
    row = (1, x.pixels)
    window = replace(Window2d.of_one_pixel(x.pixels), kernel=row, reach=row, output=(1, 1))
    share = aligned((1,))
    share[:] = 1 / x.pixels
    tiles = _RowTiles(Reduction(machine().lanes, kind))
    return _record_windows(tiles, window, _Weights(share), x, Ending.of(out))


def _mean(window: Window, x: TensorType, counts: Array) -> Kernel | None:
    """A kernel for the sum of each window over its count."""
    area = Window2d.of(window, x)
    if area is None:
        return None
    if counts.size == 1 and counts.item() == x.size // x.channels:
        return _reduction("mean", (x.channels, *window.output))
    kind: Literal["mean", "long_mean"] = "long_mean" if math.prod(area.kernel) > MOST_IN_FLOAT32 else "mean"
    shares = aligned(area.output)
    shares[:] = 1 / counts.reshape(area.output)
    weights = _Weights(shares, row=area.output[1] * FLOAT)

    def run(params: Params, x: TapeValue) -> TapeValue:
        ending = Ending.of(x.tape.output((x.channels, *window.output)))
        return _record_windows(_RowTiles.of(kind, area), area, weights, x, ending)

    return Kernel(run)


@dataclass(frozen=True, slots=True)
class _Weights:
    """Weights and biases of windows, or factors of results, and bytes from one block of channels, row of
    results or image to the next."""

    weight: BufferPlace | Array | int = 0
    bias: Array | int = 0
    block: int = 0
    row: int = 0
    image: int = 0

    def fields(self) -> dict[str, Any]:
        """The fields of POOL for the weights."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "block_weight": self.block,
            "weight_row": self.row,
            "weight_image": self.image,
        }


@dataclass(frozen=True, slots=True)
class _RowTiles:
    """The tile of a row of outputs: how often it is repeated, and at which pixel the last one begins."""

    tile: Recipe
    number: int = 1
    last: int = 0

    @classmethod
    def of(
        cls, kind: Literal["dot", "max", "mean", "long_mean"], window: Window2d, apart: int = 1
    ) -> _RowTiles:
        """The fewest tiles for a row, of nearly equal size; the last one may overlap the one before. Outputs
        lie so many pixels apart."""
        width, columns, stride = window.output[1], window.kernel[1], window.stride[1]
        most = min(MOST_PIXELS, machine().registers - columns - 2, MOST_UNROLLED // columns)
        most = max(most // 3 if kind == "long_mean" else most, 1)  # float64 takes two registers more
        tiles = -(-width // most)
        pixels = -(-width // tiles)
        starts = {min(i * pixels, width - pixels) * stride - window.before[1] for i in range(tiles)}
        seen = seen_places(pixels, columns, stride, window.dilation[1])
        left = sum(place + min(starts) < 0 for place in seen)
        right = sum(place + max(starts) >= window.source[1] for place in seen)
        tile = WindowTile(machine().lanes, pixels, columns, stride, window.dilation, left, right, kind, apart)
        return cls(tile, tiles, width - pixels)

    def fields(self) -> dict[str, Any]:
        """The fields of POOL for the tiles."""
        return {"tile": self.tile, "row_tiles": self.number, "last_tile": self.last}


def _record_windows(
    tiles: _RowTiles,
    window: Window2d,
    weights: _Weights,
    x: TapeValue,
    ending: Ending,
    phase: Phase | None = None,
) -> TapeValue:
    """Record one call for all blocks of channels, which makes those pixels that a phase names."""
    tape, x = x.tape, x.blocked()
    rows, bands = _bands(window, tape.batch * x.blocks)
    source = MapPixels.in_rows(x, window.source[1])

    def result(value: TapeValue) -> MapPixels:
        return MapPixels.of(value).at(phase) if phase else MapPixels.in_rows(value, window.output[1])

    out = result(ending.out)
    residual = {"residual": 0}
    if ending.residual:
        pixels = result(ending.residual)
        residual = pixels.fields("residual", "image", "row", "pixel")
    fields = merged(
        tiles.fields(),
        weights.fields(),
        _window_fields(window, source),
        source.fields("source", "image", "plane", "row"),
        out.fields("out", "image", "plane", "row", "pixel"),
        residual,
        ending.fields(),
        {
            "blocks": x.blocks,
            "bands": bands,
            "band_rows": rows,
            "activated_rows": max(GROUP_PIXELS // window.output[1], 1),
        },
    )
    tape.call(POOLING, POOL, fields, tape.batch * x.blocks * bands)
    return ending.out


def _window_fields(window: Window2d, source: MapPixels) -> dict[str, int]:
    """The fields of POOL for a window and how it lies over the source."""
    return {
        "rows": window.kernel[0],
        "row": window.dilation[0] * source.row,
        "columns": window.kernel[1],
        "column": window.dilation[1] * source.pixel,
        "height": window.output[0],
        "width": window.output[1],
        "stride_y": window.stride[0],
        "pad_y": window.before[0],
        "pad_x": window.before[1],
        "source_height": window.source[0],
        "source_width": window.source[1],
    }


def _bands(window: Window2d, maps: int) -> tuple[int, int]:
    """Rows of a band, and bands into which each of so many maps is cut, so that threads share them evenly."""
    height, width = window.output
    wanted = -(-machine().threads * UNITS_PER_THREAD // maps)
    least = -(-LEAST_WORK // (width * math.prod(window.kernel)))
    rows = min(max(-(-height // wanted), least), height)
    bands = -(-height // rows)
    return -(-height // bands), bands
