"""Code that reads fields of a record, and code that writes the results of a tile by such fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archforge.backends.numba.runtime.records import RecordTable

if TYPE_CHECKING:
    from archforge.backends.numba.microkernels.vectors import IrFunction, Variable

__all__ = ["RecordReader", "write_results"]


class RecordReader:
    """Values of the fields of the record whose address is a function's argument `geometry`."""

    def __init__(self, f: IrFunction, record: RecordTable) -> None:
        self._f = f
        self._record = record
        self.address = f.arguments["geometry"]

    def __getitem__(self, name: str) -> Any:
        return self._f.integer_at(self.address, self._record.offset(name))

    def spread(self, name: str) -> Any:
        """A field of type f4 in every lane of a vector."""
        return self._f.spread(self.address, self._record.offset(name))


def write_results(
    f: IrFunction, geometry: RecordReader, sums: list[list[Variable]], out: Any, residual: Any
) -> None:
    """Add the residual if there is one, clamp the results and store them.

    `sums` has a row for each pixel and a column for each block of channels; `out` and `residual` are the
    addresses of the first pixel.
    """
    low, high = geometry.spread("low"), geometry.spread("high")
    with f.when_not_zero(residual):
        for total, at in _outputs(f, sums, residual, geometry["residual_pixel"], geometry):
            total.set(f.plus(total.get(), f.load(at)))
    for total, at in _outputs(f, sums, out, geometry["out_pixel"], geometry):
        f.store(f.at_most(high, f.at_least(low, total.get())), at)


def _outputs(
    f: IrFunction, sums: list[list[Variable]], start: Any, pixel: Any, geometry: RecordReader
) -> list[tuple[Variable, Any]]:
    """Each accumulator with the address of its result."""
    places = []
    for q in range(len(sums[0])):
        at = start
        for row in sums:
            places.append((row[q], at))
            at = f.add(at, pixel)
        start = f.add(start, geometry["out_plane"])
    return places
