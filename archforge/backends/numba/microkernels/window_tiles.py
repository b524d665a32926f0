"""Microkernels of windows over each channel by itself: depthwise convolutions, pools, factors of channels.

`WindowTile` makes rows of outputs of one block of channels: R pixels by one vector. For each row of the
window the weights of its K columns are loaded; then every vector of the source once, from left to right, is
multiplied and added wherever a window of the R pixels sees it. With K = 3 and a stride of 1:

                   w[0]    w[1]    w[2]                3 registers (depthwise)
      x_0 ->       acc[0]
      x_1 ->       acc[1]  acc[0]                      R registers
      x_2 ->       acc[2]  acc[1]  acc[0]              1 register for the vector
        ...

Padding is not stored: where windows overhang the source at the top or the bottom, fewer of their rows are
taken, and vectors to the left and the right of it are replaced. Where R does not divide a row, the last tile
makes some pixels again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from archforge.backends.numba.microkernels.record_reader import RecordReader, write_results
from archforge.backends.numba.runtime.records import POOL
from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction, Variable

__all__ = ["MOST_IN_FLOAT32", "Reduction", "WindowTile", "seen_places"]

TURNS = 8
# Numbers that are summed one after the other in float32, which loses up to 1e-6 of a sum of equal ones; a
# million would lose 1e-2. The sums of so many are summed in float64.
MOST_IN_FLOAT32 = 16
# `source` is the block's first pixel, `out` and `residual` are the first of `rows` rows from `top` on.
ARGUMENTS = ("geometry", "source", "weight", "bias", "out", "residual", "top", "rows")


@dataclass(frozen=True, slots=True)
class _OutputRow:
    """A row of outputs, in IR: how many rows of the window lie in the source, the addresses where the first
    of them begins there and in the weights, and those of the results and of the value to add."""

    places: Any
    line: Any
    weight: Any
    out: Any
    residual: Any


@dataclass(frozen=True, slots=True)
class WindowTile:
    """`pixels` accumulators of one vector, for windows of so many `columns`, `stride` pixels apart. Of the
    vectors that a tile sees, so many on its `left` and on its `right` may lie beyond the source.

    `dot`: the bias plus the sum of the places' vectors times their weights. `max`: the largest.
    `mean`: the sum times a factor of each pixel of the output, which `weight` holds; `long_mean` is for
    windows of more than `MOST_IN_FLOAT32` places.

    The outputs lie `spread` pixels from each other.
    """

    lanes: int
    pixels: int
    columns: int
    stride: int
    dilation: tuple[int, int]
    left: int
    right: int
    kind: Literal["dot", "max", "mean", "long_mean"]
    spread: int = 1

    @property
    def name(self) -> str:
        apart = "" if self.dilation == (1, 1) else "_apart{}x{}".format(*self.dilation)
        edges = f"_edges{self.left}_{self.right}" if self.left or self.right else ""
        spread = "" if self.spread == 1 else f"_spread{self.spread}"
        sizes = f"{self.pixels}_columns{self.columns}_step{self.stride}"
        return f"{self.kind}_{self.lanes}_{sizes}{apart}{edges}{spread}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        g = RecordReader(f, POOL)
        y, out, residual = (f.variable(f.arguments[name]) for name in ("top", "out", "residual"))
        with f.loop(f.arguments["rows"]):
            row = self._row(f, g, y.get(), out.get(), residual.get())
            x = f.variable(f.word(0))
            with f.loop(g["row_tiles"]):
                self._tile(f, g, row, f.least(x.get(), g["last_tile"]))
                x.set(f.add(x.get(), self.pixels))
            y.set(f.add(y.get(), 1))
            out.set(f.add(out.get(), g["out_row"]))
            with f.when_not_zero(residual.get()):
                residual.set(f.add(residual.get(), g["residual_row"]))
        return f.finish()

    def _row(self, f: IrFunction, g: RecordReader, y: Any, out: Any, residual: Any) -> _OutputRow:
        """The values that all tiles of row `y` of the outputs share."""
        apart = f.word(self.dilation[0])

        def windows(rows: Any) -> Any:
            """The number of rows of a window that begin within so many rows."""
            return f.builder.sdiv(f.add(f.most(rows, f.word(0)), self.dilation[0] - 1), apart)

        above = f.builder.sub(g["pad_y"], f.builder.mul(y, g["stride_y"]))
        begin, end = windows(above), f.least(g["rows"], windows(f.add(g["source_height"], above)))
        line = f.builder.sub(f.builder.mul(begin, apart), above)
        weight = f.arguments["weight"]
        if self.kind == "dot":
            weight = f.add(weight, f.times(begin, self.columns * self.lanes * FLOAT))
        elif self.kind != "max":
            weight = f.add(weight, f.builder.mul(y, g["weight_row"]))
        return _OutputRow(
            f.builder.sub(end, begin),
            f.add(f.arguments["source"], f.builder.mul(line, g["source_row"])),
            weight,
            out,
            residual,
        )

    def _tile(self, f: IrFunction, g: RecordReader, row: _OutputRow, x: Any) -> None:
        """Code for one tile, `pixels` outputs from x on."""
        vector = self.lanes * FLOAT
        first = f.load(f.arguments["bias"]) if self.kind == "dot" else self._nothing(f)
        sums = [f.variable(first) for _ in range(self.pixels)]
        totals = [f.variable(f.widened(first)) for _ in sums] if self.kind == "long_mean" else []
        column = f.times(f.builder.sub(f.times(x, self.stride), g["pad_x"]), vector)
        at, weight = f.variable(f.add(row.line, column)), f.variable(row.weight)
        seen = seen_places(self.pixels, self.columns, self.stride, self.dilation[1])
        inside = self._inside(f, g, column, [*seen])
        with f.loop(row.places):
            w = [
                f.load(weight.get(), k * vector) if self.kind == "dot" else None for k in range(self.columns)
            ]
            for place, uses in seen.items():
                if place in inside:
                    offset, is_inside = inside[place]
                    value = f.select(is_inside, f.load(f.add(at.get(), offset)), self._nothing(f))
                else:
                    value = f.load(at.get(), place * vector)
                for r, k in uses:
                    self._take(f, sums[r], value, w[k])
                    if totals and ((k + 1) % MOST_IN_FLOAT32 == 0 or k + 1 == self.columns):
                        totals[r].set(f.plus(f.widened(sums[r].get()), totals[r].get()))
                        sums[r].set(first)
            at.set(f.add(at.get(), g["row"]))
            weight.set(f.add(weight.get(), self.columns * vector))
        for part, total in zip(sums, totals, strict=False):
            part.set(f.narrowed(total.get()))
        if self.kind.endswith("mean"):
            for r, total in enumerate(sums):
                factor = f.spread(f.add(row.weight, f.times(x, FLOAT)), r * FLOAT)
                total.set(f.multiply(total.get(), factor))
        offset = f.times(x, vector * self.spread)
        residual = f.when_less(f.word(0), row.residual, f.add(row.residual, offset), f.word(0))
        write_results(f, g, [[total] for total in sums], f.add(row.out, offset), residual)

    def _inside(
        self, f: IrFunction, g: RecordReader, column: Any, places: list[int]
    ) -> dict[int, tuple[Any, Any]]:
        """Offsets for the places that may lie beyond the source: of each one that does not, and a condition
        that is true if the place itself does not.

        `column` is the offset of the first place in its row.
        """
        vector, inside = self.lanes * FLOAT, {}
        for place in {*places[: self.left], *places[len(places) - self.right :]}:
            there = f.add(column, place * vector)
            is_inside = f.builder.icmp_unsigned("<", there, f.times(g["source_width"], vector))
            start = f.builder.sub(f.word(0), column)
            inside[place] = f.builder.select(is_inside, f.word(place * vector), start), is_inside
        return inside

    def _nothing(self, f: IrFunction) -> Any:
        """The value that changes no result: the vector in place of one beyond the source."""
        return f.lowest() if self.kind == "max" else f.constant(0.0)

    def _take(self, f: IrFunction, total: Variable, x: Any, w: Any) -> None:
        """Code that adds a vector of the source to an accumulator."""
        if self.kind == "dot":
            total.set(f.multiply_add(x, w, total.get()))
        elif self.kind == "max":
            total.set(f.larger(total.get(), x))
        else:
            total.set(f.plus(x, total.get()))


def seen_places(pixels: int, columns: int, stride: int, apart: int) -> dict[int, list[tuple[int, int]]]:
    """The places in a row of the source that a tile sees, from left to right, each with the pixels and the
    columns of their windows that see it."""
    seen: dict[int, list[tuple[int, int]]] = {}
    for r in range(pixels):
        for k in range(columns):
            seen.setdefault(r * stride + k * apart, []).append((r, k))
    return dict(sorted(seen.items()))


@dataclass(frozen=True, slots=True)
class Reduction:
    """A microkernel that reduces the record's `columns` vectors, `column` bytes apart, to one: their mean,
    the largest of each lane, or the sum of squares.

    Eight accumulators take turns, so that none waits for the addition before it, and begin anew before their
    sums lose much. `weight` holds the mean's factor.
    """

    lanes: int
    kind: Literal["max", "mean", "squares"]

    @property
    def name(self) -> str:
        return f"global_{self.kind}_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        start = f.lowest() if self.kind == "max" else f.constant(0.0)
        sums = [f.variable(start) for _ in range(TURNS)]
        total = f.variable(start if self.kind == "max" else f.widened(start))
        geometry = RecordReader(f, POOL)
        count, at = geometry["columns"], f.variable(f.arguments["source"])
        part = f.word(TURNS * MOST_IN_FLOAT32)
        with f.loop(f.builder.sdiv(count, part)):
            self._turns(f, geometry, at, sums, f.word(MOST_IN_FLOAT32))
            self._add_up(f, sums, total, start)
        rest = f.builder.srem(count, part)
        self._turns(f, geometry, at, sums, f.builder.sdiv(rest, f.word(TURNS)))
        self._turns(f, geometry, at, sums[:1], f.builder.srem(rest, f.word(TURNS)))
        self._add_up(f, sums, total, start)
        result = f.variable(total.get() if self.kind == "max" else f.narrowed(total.get()))
        if self.kind == "mean":
            result.set(f.multiply(result.get(), f.spread(f.arguments["weight"])))
        write_results(f, geometry, [[result]], f.arguments["out"], f.arguments["residual"])
        return f.finish()

    def _turns(
        self, f: IrFunction, geometry: RecordReader, at: Variable, sums: list[Variable], times: Any
    ) -> None:
        """Code by which each accumulator takes a vector so many times."""
        stride = geometry["column"]
        with f.loop(times):
            for total in sums:
                x = f.load(at.get())
                if self.kind == "squares":
                    total.set(f.multiply_add(x, x, total.get()))
                else:
                    total.set(self._combined(f, x, total.get()))
                at.set(f.add(at.get(), stride))

    def _add_up(self, f: IrFunction, sums: list[Variable], total: Variable, start: Any) -> None:
        """Code that adds the accumulators to the total, and lets them begin anew."""
        values = [variable.get() for variable in sums]
        while len(values) > 1:
            values = [self._combined(f, x, y) for x, y in zip(values[::2], values[1::2], strict=True)]
        (value,) = values
        total.set(self._combined(f, value if self.kind == "max" else f.widened(value), total.get()))
        for variable in sums:
            variable.set(start)

    def _combined(self, f: IrFunction, x: Any, y: Any) -> Any:
        return f.larger(x, y) if self.kind == "max" else f.plus(x, y)
