"""Pools in training: forward by the kernels of inference, and gradients window by window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from archforge.backends.numba.families import channel_windows
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.microkernels.windows_back import WindowBack
from archforge.backends.numba.runtime.records import WINDOWS_BACK
from archforge.backends.numba.runtime.tape import TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.training.kernel import NodeOnTape, TrainingKernel, WayBack, as_inferred
from archforge.ir import TensorType
from archforge.ops.adaptive_pool import AdaptiveAvgPool
from archforge.ops.base import Array, per_axis
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.pool import AvgPool, MaxPool, window_counts
from archforge.plan import Kernel

__all__ = ["adaptive_avg_pool", "avg_pool", "global_pool", "max_pool"]

BACK = UnitRecipe("windows_back", "windows_back")


def max_pool(op: MaxPool, x: TensorType) -> TrainingKernel | None:
    """The largest of each window, over one or two axes."""
    return _pool(channel_windows.max_pool(op, x), Window2d.of(op.window(x), x), "max", None)


def avg_pool(op: AvgPool, x: TensorType) -> TrainingKernel | None:
    """The mean of each window, over one or two axes."""
    window = op.window(x)
    counts = window_counts(window, x.spatial, include_padding=op.count_include_pad)
    return _pool(channel_windows.avg_pool(op, x), Window2d.of(window, x), "mean", 1 / counts)


def adaptive_avg_pool(op: AdaptiveAvgPool, x: TensorType) -> TrainingKernel | None:
    """Means over parts of a map that are all of one size."""
    sizes = per_axis(op.size, len(x.spatial), "size")
    if len(sizes) > 2 or any(n % size for n, size in zip(x.spatial, sizes, strict=True)):
        return None
    kernel = tuple(n // size for n, size in zip(x.spatial, sizes, strict=True))
    pool = AvgPool(kernel=kernel)
    shares = np.full(sizes, 1 / math.prod(kernel))
    return _pool(channel_windows.adaptive_avg_pool(op, x), Window2d.of(pool.window(x), x), "mean", shares)


def global_pool(op: GlobalAvgPool | GlobalMaxPool, x: TensorType) -> TrainingKernel:
    """The mean or the largest of each whole map."""
    pixels = x.size // x.channels
    row = (1, pixels)
    window = replace(Window2d.of_one_pixel(pixels), kernel=row, reach=row, output=(1, 1))
    is_max = isinstance(op, GlobalMaxPool)
    kernel = channel_windows.global_pool(op, x)
    made = _pool(kernel, window, "max" if is_max else "mean", None if is_max else np.full(1, 1 / pixels))
    assert made is not None
    return made


def _pool(
    kernel: Kernel | None, window: Window2d | None, kind: Literal["max", "mean"], shares: Array | None
) -> TrainingKernel | None:
    """A pool with its kernel at inference; `shares` of each result go to the places of its window."""
    if kernel is None or window is None:
        return None
    factors = aligned((math.prod(window.output),))
    if shares is not None:
        factors[:] = shares.reshape(-1)

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        x = back.inputs[0].blocked()
        dx = on.tape.temporary(x.shape)
        line = window.source[1] * machine().vector
        fields = {
            **window.fields(),
            "blocks": x.blocks,
            "row": window.dilation[0] * line,
            "column": window.dilation[1] * machine().vector,
            "step": window.stride[1] * machine().vector,
            "dy": back.dy.place,
            "dy_image": back.dy.image,
            "out": dx.place,
            "out_image": dx.image,
            "shares": factors,
            "tile": WindowBack(machine().lanes, kind),
        }
        reads = {"x": x, "y": back.output} if kind == "max" else {}
        for name in ("x", "y"):
            value = reads.get(name)
            fields |= {name: value.place if value else 0, f"{name}_image": value.image if value else 0}
        on.tape.call(BACK, WINDOWS_BACK, fields, on.tape.images * x.blocks)
        return (dx,)

    return TrainingKernel(as_inferred(kernel), backward)
