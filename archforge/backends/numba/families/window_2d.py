"""Windows over maps of two axes, and parts of maps that are written by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.toolchain.machine import machine
from archforge.ir import TensorType
from archforge.ops.window import Window

__all__ = ["Area", "Phase", "area_of"]


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

    def fields(self, value: TapeValue, name: str) -> dict[str, Any]:
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
