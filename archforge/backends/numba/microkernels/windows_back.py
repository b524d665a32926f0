"""The microkernel of the way back through windows over each channel by itself, for pools.

It takes the addresses (geometry, x, y, dy, out, shares), the numbers of rows and columns that a window sees,
and of windows side by side that see as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from archforge.backends.numba.microkernels.record_reader import RecordReader
from archforge.backends.numba.runtime.records import WINDOWS_BACK
from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

__all__ = ["WindowBack"]

ARGUMENTS = ("geometry", "x", "y", "dy", "out", "shares", "rows", "columns", "pixels")


@dataclass(frozen=True, slots=True)
class WindowBack:
    """Gradients of a mean, a share of which goes to each place, or of a maximum, which goes to the first
    place, in the order of rows, that holds it. They are added to what is there."""

    lanes: int
    kind: Literal["max", "mean"]

    @property
    def name(self) -> str:
        return f"window_back_{self.kind}_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        g, vector, zero = RecordReader(f, WINDOWS_BACK), self.lanes * FLOAT, f.constant(0.0)
        x, out, y, dy, share = (f.variable(f.arguments[n]) for n in ("x", "out", "y", "dy", "shares"))
        is_max = self.kind == "max"
        left = f.variable(zero)
        with f.loop(f.arguments["pixels"]):
            d = f.load(dy.get())
            left.set(d if is_max else f.multiply(d, f.spread(share.get())))
            largest = f.load(y.get()) if is_max else zero
            x_row, out_row = f.variable(x.get()), f.variable(out.get())
            with f.loop(f.arguments["rows"]):
                x_at, out_at = f.variable(x_row.get()), f.variable(out_row.get())
                with f.loop(f.arguments["columns"]):
                    given = left.get()
                    if is_max:
                        takes = f.builder.fcmp_ordered("==", f.load(x_at.get()), largest)
                        left.set(f.builder.select(takes, zero, given))
                        given = f.builder.select(takes, given, zero)
                    f.store(f.plus(f.load(out_at.get()), given), out_at.get())
                    for place in (x_at, out_at):
                        place.set(f.add(place.get(), g["column"]))
                for place in (x_row, out_row):
                    place.set(f.add(place.get(), g["row"]))
            for place, step in ((x, g["step"]), (out, g["step"]), (y, vector), (dy, vector), (share, FLOAT)):
                place.set(f.add(place.get(), step))
        return f.finish()
