"""Microkernel that copies pixels of one block of channels as bfloat16, side by side.

It takes the addresses and numbers (source, pixel, out, count): pixels lie `pixel` bytes apart in the source.
Each is a vector of float32, whose numbers are rounded to the nearest bfloat16, of two the even one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

__all__ = ["NarrowPixels"]


@dataclass(frozen=True, slots=True)
class NarrowPixels:
    """Copies `count` vectors of so many `lanes`."""

    lanes: int

    @property
    def name(self) -> str:
        return f"narrow_pixels_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ("source", "pixel", "out", "count"), self.lanes)
        source, out = (f.variable(f.arguments[name]) for name in ("source", "out"))
        with f.loop(f.arguments["count"]):
            f.store_bfloat16(f.load(source.get()), out.get())
            source.set(f.add(source.get(), f.arguments["pixel"]))
            out.set(f.add(out.get(), self.lanes * FLOAT // 2))
        return f.finish()
