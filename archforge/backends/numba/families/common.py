"""What families share: windows over two axes, epilogues, tables of tiles, and how work is cut into units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from archforge.backends.numba.runtime.tape import Value, aligned
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import Recipe, address
from archforge.backends.numba.toolchain.recipes import Unit
from archforge.ir import TensorType
from archforge.ops.activations import CLAMPS, Elu, Gelu, LeakyRelu
from archforge.ops.base import Array, Op
from archforge.ops.window import Window
from archforge.plan import Epilogue, Kernel

__all__ = [
    "ABSORBED",
    "ACTIVATIONS",
    "AnyAxis",
    "Area",
    "Phase",
    "activation_fields",
    "area_of",
    "blocks_of",
    "clamp_fields",
    "lanes_of",
    "pieces",
    "residual_fields",
    "tile_table",
]

# Ops whose function in `units/activation.py` has another name.
_NAMES = {"abs": "abs_"}
ACTIVATIONS = frozenset(
    (
        *("abs", "elu", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "mish", "relu", "relu6"),
        *("selu", "sigmoid", "silu", "softplus", "softsign", "tanh"),
    )
)
ABSORBED = ACTIVATIONS | {"add"}


@dataclass(frozen=True, slots=True)
class AnyAxis(Kernel):
    """A kernel that takes values as they are; others are given them in blocks of the first axis."""


@dataclass(frozen=True, slots=True)
class Area:
    """A window over two axes: (height, width) of each thing, in pixels."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    reach: tuple[int, int]
    source: tuple[int, int]
    output: tuple[int, int]

    @property
    def overhangs(self) -> bool:
        """Whether a window sees anything outside its source."""
        ends = zip(self.output, self.stride, self.reach, self.before, self.source, strict=True)
        return any(self.before) or any((o - 1) * s + r - b > n for o, s, r, b, n in ends)

    @property
    def is_pointwise(self) -> bool:
        return self.kernel == (1, 1) and self.stride == (1, 1) and self.source == self.output

    def fields(self) -> dict[str, int]:
        names = ("stride", "pad", "reach"), (self.stride, self.before, self.reach)
        both = {f"{n}_{axis}": v[i] for n, v in zip(*names, strict=True) for i, axis in enumerate("yx")}
        return both | {"source_height": self.source[0], "source_width": self.source[1]}


@dataclass(frozen=True, slots=True)
class Phase:
    """Pixels of a map `stride` apart from the one at `first` on: (height, width) of each."""

    first: tuple[int, int]
    stride: tuple[int, int]

    def fields(self, value: Value, name: str) -> dict[str, Any]:
        """Where they lie in the value that the record calls `name`."""
        row = value.area[1] * machine().vector
        return {
            name: value.place + self.first[0] * row + self.first[1] * machine().vector,
            f"{name}_row": self.stride[0] * row,
            f"{name}_pixel": self.stride[1] * machine().vector,
        }


def area_of(window: Window, x: TensorType) -> Area | None:
    """The window over two axes; one axis is the width of a map of height 1. None for three."""
    extra = 2 - len(window.kernel)
    if extra not in (0, 1):
        return None

    def pair(values: Iterable[int], lacking: int) -> tuple[int, int]:
        first, second = (*(lacking,) * extra, *values)
        return first, second

    return Area(
        kernel=pair(window.kernel, 1),
        stride=pair(window.stride, 1),
        dilation=pair(window.dilation, 1),
        before=pair((before for before, _ in window.padding), 0),
        reach=pair(window.reach, 1),
        source=pair(x.spatial, 1),
        output=pair(window.output, 1),
    )


def blocks_of(channels: int) -> int:
    return -(-channels // machine().lanes)


def lanes_of(values: Array) -> Array:
    """One float for each channel, to whole blocks, with zeros beyond the last."""
    made = aligned((blocks_of(len(values)) * machine().lanes,))
    made[: len(values)] = values
    return made


def clamp_fields(epilogue: Epilogue | None) -> dict[str, Any]:
    """What a tile does with its results: clamping where that is the activation, else its function."""
    op = epilogue.activation if epilogue else None
    if op is not None and op.kind in CLAMPS:
        return dict(zip(("low", "high"), CLAMPS[op.kind], strict=True))
    return {"low": -math.inf, "high": math.inf, **activation_fields(op)}


def activation_fields(op: Op | None) -> dict[str, Any]:
    if op is None:
        return {"activation": 0, "parameter": 0}
    name = _NAMES.get(op.kind, op.kind)
    if isinstance(op, Gelu) and op.approximate == "tanh":
        name = "gelu_tanh"
    parameter = op.slope if isinstance(op, LeakyRelu) else op.alpha if isinstance(op, Elu) else 0.0
    return {"activation": address(Unit("activation", name)), "parameter": np.array([parameter], np.float32)}


def residual_fields(residual: Value | None, *, width: int) -> dict[str, Any]:
    """Where the value to add lies, `width` pixels to a row; 0 for none."""
    if residual is None:
        return {"residual": 0}
    return {
        "residual": residual.place,
        "residual_image": residual.image,
        "residual_row": width * machine().vector,
        "residual_pixel": machine().vector,
    }


def pieces(count: int, most: int) -> set[int]:
    """The sizes of tiles into which `run_tiles` cuts `count` pixels."""
    number = -(-count // most)
    return {count // number, -(-count // number)}


def tile_table(tile: Callable[[int], Recipe], most: int, counts: Iterable[int]) -> Array:
    """int64[most + 1], the functions for rows of so many pixels by the size of tile."""
    table = aligned((most + 1,), np.int64)
    for size in sorted(set().union(*(pieces(count, most) for count in counts))):
        table[size] = address(tile(size))
    return table
