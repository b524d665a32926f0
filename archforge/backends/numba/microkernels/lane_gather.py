"""Microkernels that gather vectors whose lanes lie in different places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

__all__ = ["LaneGather"]

WORD = 8  # bytes of an address


@dataclass(frozen=True, slots=True)
class LaneGather:
    """Vectors side by side from lanes of others: (addresses of each lane's first float, int64[lanes]; the
    first result; the number of vectors). From a vector to the next all lanes move on by one vector.

    Floats are loaded one by one: where CPUs gather, they take no less time for it.
    """

    lanes: int

    @property
    def name(self) -> str:
        return f"gather_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ("lanes", "out", "count"), self.lanes)
        vector = self.lanes * FLOAT
        offset = f.variable(f.word(0))
        with f.loop(f.arguments["count"]):
            at = offset.get()
            places = [f.integer_at(f.arguments["lanes"], lane * WORD) for lane in range(self.lanes)]
            f.store(f.joined([f.add(place, at) for place in places]), f.add(f.arguments["out"], at))
            offset.set(f.add(at, vector))
        return f.finish()
