"""Microkernels that turn squares of floats, as many rows as a vector has lanes: dense weights, in which the
channels out are rows, to and from vectors of channels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction

__all__ = ["TurnedSquare"]

WORD = 8  # bytes of a number in `order`


@dataclass(frozen=True, slots=True)
class TurnedSquare:
    """Rows to vectors, or vectors to rows: (dense, bytes from a row to the next, vectors, bytes from a vector
    to the next, order). `order`, int64[lanes], has the number of the vector of each column; of rows to
    vectors it may be negative, and the column is left out."""

    lanes: int
    to: Literal["vectors", "rows"]

    @property
    def name(self) -> str:
        return f"square_to_{self.to}_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ("dense", "row", "vectors", "line", "order"), self.lanes)
        rows = f.addresses(f.arguments["dense"], f.arguments["row"], self.lanes)
        order = [f.integer_at(f.arguments["order"], i * WORD) for i in range(self.lanes)]
        at = [f.add(f.arguments["vectors"], f.builder.mul(n, f.arguments["line"])) for n in order]
        if self.to == "rows":
            for row, values in zip(rows, _turned(f, [f.load(place) for place in at]), strict=True):
                f.store(values, row)
            return f.finish()
        for number, place, values in zip(order, at, _turned(f, [f.load(r) for r in rows]), strict=True):
            with f.builder.if_then(f.builder.icmp_signed(">=", number, f.word(0))):
                f.store(values, place)
        return f.finish()


def _turned(f: IrFunction, rows: Sequence[Any]) -> list[Any]:
    """The columns of a square, by exchanging one bit of the numbers of row and column after the other."""
    turned, lanes = list(rows), len(rows)
    step = 1
    while step < lanes:
        for i in (i for i in range(lanes) if not i & step):
            first, second = turned[i], turned[i + step]
            low = [k if not k & step else lanes + k - step for k in range(lanes)]
            high = [k + step if not k & step else lanes + k for k in range(lanes)]
            turned[i], turned[i + step] = f.shuffled(first, second, low), f.shuffled(first, second, high)
        step *= 2
    return turned
