"""Microkernels of convolutions that mix channels: a tile of outputs is kept in registers while the window
passes over it.

`Product`: R pixels by B vectors of output channels. For each input value the weights of B vectors are
loaded, the value is spread over a vector for each pixel, and R * B multiply-adds follow. With 32 registers
R x B = 14 x 2:

                       weights of one input channel
                       +-------------+-------------+
                       | w[0..L)     | w[L..2L)    |      2 registers
                       +-------------+-------------+
      pixel 0   x_0 -> | acc[0][0]   | acc[0][1]   |
      pixel 1   x_1 -> | acc[1][0]   | acc[1][1]   |      28 registers
        ...            |    ...      |    ...      |
      pixel 13  x_13-> | acc[13][0]  | acc[13][1]  |      1 register for the spread value
                       +-------------+-------------+

It takes (geometry, source, weight, bias, out, residual, ahead), addresses, with the geometry's record in
`runtime/records.py`; no residual is address 0. While a product computes it has weights that come later, at
`ahead`, brought to the L2 cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archforge.backends.numba.runtime.records import GEOMETRY, RecordTable
from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction, Variable

__all__ = ["LINE", "Product", "RecordReader", "steps", "write"]

LINE = 64  # bytes of a cache line
ARGUMENTS = ("geometry", "source", "weight", "bias", "out", "residual", "ahead")


@dataclass(frozen=True, slots=True)
class Product:
    """`pixels` by `blocks` accumulators; pixels are `step` floats apart in the source. The geometry's run
    and depth are multiples of `unroll`.

    No pixel reads at one turn of the loop what another reads, so `unroll` is at most `step`: LLVM would keep
    the spread value for both, and for lack of a register on the stack.
    """

    lanes: int
    pixels: int
    blocks: int
    step: int
    unroll: int

    @property
    def name(self) -> str:
        return f"product_{self.lanes}_{self.pixels}x{self.blocks}_step{self.step}_unroll{self.unroll}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        vector = self.lanes * FLOAT
        bias = [f.load(f.arguments["bias"], q * vector) for q in range(self.blocks)]
        sums = [[f.variable(bias[q]) for q in range(self.blocks)] for _ in range(self.pixels)]
        weight = f.variable(f.arguments["weight"])
        geometry = RecordReader(f, GEOMETRY)
        run, left = geometry["run"], f.variable(geometry["depth"])
        ahead, lines = f.variable(f.arguments["ahead"]), geometry["prefetch_lines"]
        with geometry.places() as place:
            with f.loop(lines):
                f.prefetch(ahead.get())
                ahead.set(f.add(ahead.get(), LINE))
            source = f.variable(place)
            here = f.least(run, left.get())
            left.set(f.builder.sub(left.get(), here))
            with f.loop(f.builder.sdiv(here, f.word(self.unroll))):
                x_at, w_at = source.get(), weight.get()
                for u in range(self.unroll):
                    w = [f.load(w_at, (u * self.blocks + q) * vector) for q in range(self.blocks)]
                    for r in range(self.pixels):
                        x = f.spread(x_at, (r * self.step + u) * FLOAT)
                        for q in range(self.blocks):
                            sums[r][q].set(f.multiply_add(x, w[q], sums[r][q].get()))
                source.set(f.add(x_at, self.unroll * FLOAT))
                weight.set(f.add(w_at, self.unroll * self.blocks * vector))
        write(f, geometry, sums, f.arguments["out"], f.arguments["residual"])
        return f.finish()


class RecordReader:
    """The fields of the record at the address that a function has as its argument `geometry`."""

    def __init__(self, f: IrFunction, record: RecordTable) -> None:
        self._f = f
        self._record = record
        self.address = f.arguments["geometry"]

    def __getitem__(self, name: str) -> Any:
        return self._f.integer_at(self.address, self._record.offset(name))

    def spread(self, name: str) -> Any:
        return self._f.spread(self.address, self._record.offset(name))

    @contextmanager
    def places(self) -> Iterator[Any]:
        """A loop over planes, rows and columns of the window, giving each one's address."""
        f, at = self._f, self._f.arguments["source"]
        with ExitStack() as loops:
            for count, stride in (("planes", "plane"), ("rows", "row"), ("columns", "column")):
                place, length = f.variable(at), self[stride]
                loops.enter_context(f.loop(self[count]))
                loops.callback(_advance, f, place, length)
                at = place.get()
            yield at


def steps(f: IrFunction, start: Any, stride: Any, count: int) -> list[Any]:
    """`count` addresses, `stride` apart."""
    places = [start]
    for _ in range(count - 1):
        places.append(f.add(places[-1], stride))
    return places


def _advance(f: IrFunction, place: Variable, stride: Any) -> None:
    place.set(f.add(place.get(), stride))


def write(f: IrFunction, geometry: RecordReader, sums: list[list[Variable]], out: Any, residual: Any) -> None:
    """The epilogue: add the residual if there is one, clamp, store."""
    low, high = geometry.spread("low"), geometry.spread("high")
    with f.when_not_zero(residual):
        for total, at in _outputs(f, sums, residual, geometry["residual_pixel"], geometry):
            total.set(f.plus(total.get(), f.load(at)))
    for total, at in _outputs(f, sums, out, geometry["out_pixel"], geometry):
        f.store(f.at_most(high, f.at_least(low, total.get())), at)


def _outputs(
    f: IrFunction, sums: list[list[Variable]], start: Any, pixel: Any, geometry: RecordReader
) -> list[tuple[Variable, Any]]:
    """Each accumulator with the address of its place."""
    places = []
    for q in range(len(sums[0])):
        at = start
        for row in sums:
            places.append((row[q], at))
            at = f.add(at, pixel)
        start = f.add(start, geometry["out_plane"])
    return places
