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

With `bfloat16` each of these words is a pair of numbers, of two input channels, and a multiply-add adds both
products to a sum in float32.

A product takes the addresses (geometry, source, weight, bias, out, residual, ahead). The geometry is a record
of `runtime/records.py`; without a residual its address is 0. While a product computes, it has weights that
come later, at `ahead`, brought to the L2 cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archforge.backends.numba.microkernels.record_reader import RecordReader, write_results
from archforge.backends.numba.runtime.records import GEOMETRY
from archforge.backends.numba.toolchain.machine import FLOAT

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction, Variable

__all__ = ["LINE", "Product"]

LINE = 64  # bytes of a cache line
ARGUMENTS = ("geometry", "source", "weight", "bias", "out", "residual", "ahead")


@dataclass(frozen=True, slots=True)
class Product:
    """`pixels` by `blocks` accumulators; pixels are `step` words apart in the source. What is read of a run
    in any plane is a multiple of `unroll`.

    No pixel reads at one turn of the loop what another reads, so `unroll` is at most `step`: LLVM would keep
    the spread value for both, and for lack of a register on the stack.
    """

    lanes: int
    pixels: int
    blocks: int
    step: int
    unroll: int
    bfloat16: bool = False

    @property
    def name(self) -> str:
        kind = "product_bfloat16" if self.bfloat16 else "product"
        return f"{kind}_{self.lanes}_{self.pixels}x{self.blocks}_step{self.step}_unroll{self.unroll}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        vector = self.lanes * FLOAT
        bias = [f.load(f.arguments["bias"], q * vector) for q in range(self.blocks)]
        sums = [[f.variable(bias[q]) for q in range(self.blocks)] for _ in range(self.pixels)]
        weight = f.variable(f.arguments["weight"])
        geometry = RecordReader(f, GEOMETRY)
        ahead, lines = f.variable(f.arguments["ahead"]), geometry["prefetch_lines"]
        multiply_add = f.multiply_add_pairs if self.bfloat16 else f.multiply_add
        with _window_places(f, geometry) as (place, run):
            with f.loop(lines):
                f.prefetch(ahead.get())
                ahead.set(f.add(ahead.get(), LINE))
            source = f.variable(place)
            with f.loop(f.builder.sdiv(run, f.word(self.unroll))):
                x_at, w_at = source.get(), weight.get()
                for u in range(self.unroll):
                    w = [f.load(w_at, (u * self.blocks + q) * vector) for q in range(self.blocks)]
                    for r in range(self.pixels):
                        x = f.spread(x_at, (r * self.step + u) * FLOAT)
                        for q in range(self.blocks):
                            sums[r][q].set(multiply_add(x, w[q], sums[r][q].get()))
                source.set(f.add(x_at, self.unroll * FLOAT))
                weight.set(f.add(w_at, self.unroll * self.blocks * vector))
        write_results(f, geometry, sums, f.arguments["out"], f.arguments["residual"])
        return f.finish()


@contextmanager
def _window_places(f: IrFunction, geometry: RecordReader) -> Iterator[tuple[Any, Any]]:
    """A loop over planes, rows and columns of the window, giving the address of each place in the source and
    the number of floats to read there."""
    plane, left, skipped = (
        f.variable(v) for v in (f.arguments["source"], geometry["planes"], geometry["skipped"])
    )
    with f.loop(geometry["planes"]):
        left.set(f.add(left.get(), -1))
        cut = f.when_less(f.word(0), left.get(), f.word(0), geometry["cut"])
        run = f.builder.sub(geometry["run"], f.add(skipped.get(), cut))
        at = f.add(plane.get(), f.times(skipped.get(), FLOAT))
        with ExitStack() as loops:
            for count, stride in (("rows", "row"), ("columns", "column")):
                place, length = f.variable(at), geometry[stride]
                loops.enter_context(f.loop(geometry[count]))
                loops.callback(_advance, f, place, length)
                at = place.get()
            yield at, run
        skipped.set(f.word(0))
        _advance(f, plane, geometry["plane"])


def _advance(f: IrFunction, place: Variable, stride: Any) -> None:
    """Code that adds a stride to a place."""
    place.set(f.add(place.get(), stride))
