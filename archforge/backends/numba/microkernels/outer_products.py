"""Microkernels of weight gradients: a tile of sums is kept in registers while pixels pass by.

`OuterProduct`: R channels in by B vectors of channels out. For each pixel the gradients of B vectors are
loaded, each of R inputs is spread over a vector, and R * B multiply-adds follow. With 32 registers R x B = 6
x 4. R inputs lie side by side: channels of a block, or of a plain map the columns of a kernel.

`ChannelProduct`: each channel with itself, as in depthwise convolutions: a sum for each of R columns of the
kernel.

Both take the addresses (geometry, x, dy, sums) and numbers of rows and of pixels in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archforge.backends.numba.microkernels.record_reader import RecordReader
from archforge.backends.numba.runtime.records import OUTER
from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction

__all__ = ["ChannelProduct", "OuterProduct"]

ARGUMENTS = ("geometry", "x", "dy", "sums", "rows", "pixels")


@dataclass(frozen=True, slots=True)
class OuterProduct:
    """`channels` by `blocks` sums, [channel][block][lane]."""

    lanes: int
    channels: int
    blocks: int

    @property
    def name(self) -> str:
        return f"outer_{self.lanes}_{self.channels}x{self.blocks}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        vector, geometry = self.lanes * FLOAT, RecordReader(f, OUTER)
        plane, at = geometry["dy_plane"], f.arguments["sums"]
        places = [
            (r, q, (r * self.blocks + q) * vector) for r in range(self.channels) for q in range(self.blocks)
        ]
        sums = {(r, q): f.variable(f.load(at, offset)) for r, q, offset in places}
        with _pixels(f, geometry) as (x, dy):
            gradients = [f.load(place) for place in f.addresses(dy, plane, self.blocks)]
            for r in range(self.channels):
                value = f.spread(x, r * FLOAT)
                for q, d in enumerate(gradients):
                    sums[r, q].set(f.multiply_add(value, d, sums[r, q].get()))
        for r, q, offset in places:
            f.store(sums[r, q].get(), at, offset)
        return f.finish()


@dataclass(frozen=True, slots=True)
class ChannelProduct:
    """Sums of `columns` columns of a kernel, [column][lane], which see pixels `step` vectors apart."""

    lanes: int
    columns: int
    step: int

    @property
    def name(self) -> str:
        return f"channel_product_{self.lanes}_{self.columns}_step{self.step}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        vector, at = self.lanes * FLOAT, f.arguments["sums"]
        sums = [f.variable(f.load(at, k * vector)) for k in range(self.columns)]
        with _pixels(f, RecordReader(f, OUTER)) as (x, dy):
            d = f.load(dy)
            for k, total in enumerate(sums):
                total.set(f.multiply_add(f.load(x, k * self.step * vector), d, total.get()))
        for k, total in enumerate(sums):
            f.store(total.get(), at, k * vector)
        return f.finish()


@contextmanager
def _pixels(f: IrFunction, geometry: RecordReader) -> Iterator[tuple[Any, Any]]:
    """A loop over the pixels of all rows, giving the addresses of both streams."""
    strides = [(geometry[f"{name}_row"], geometry[f"{name}_pixel"]) for name in ("x", "dy")]
    rows = [f.variable(f.arguments[name]) for name in ("x", "dy")]
    with f.loop(f.arguments["rows"]):
        pixels = [f.variable(row.get()) for row in rows]
        with f.loop(f.arguments["pixels"]):
            x, dy = (pixel.get() for pixel in pixels)
            yield x, dy
            for pixel, (_, stride) in zip(pixels, strides, strict=True):
                pixel.set(f.add(pixel.get(), stride))
        for row, (stride, _) in zip(rows, strides, strict=True):
            row.set(f.add(row.get(), stride))
