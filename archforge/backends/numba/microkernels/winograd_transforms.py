"""Winograd's transforms as microkernels, for the forms of `archforge.backends.winograd_forms`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archforge.backends.numba.microkernels.record_reader import RecordReader
from archforge.backends.numba.runtime.records import GEOMETRY
from archforge.backends.numba.toolchain.machine import FLOAT
from archforge.backends.winograd_forms import Coefficients, WinogradAxis, WinogradForm

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction

__all__ = ["InputTransform", "OutputTransform", "WeightTransform"]

Vectors = Sequence[Any]


@dataclass(frozen=True, slots=True)
class InputTransform:
    """A microkernel from a tile's inputs to its values: (source, bytes of its row, out, bytes from a
    frequency to the next)."""

    lanes: int
    form: WinogradForm

    @property
    def name(self) -> str:
        return f"winograd_in_{self.lanes}_{self.form.symbol}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ("source", "source_row", "out", "stride"), self.lanes)
        vector, (height, width) = self.lanes * FLOAT, (self.form.rows.points, self.form.columns.points)
        rows = f.addresses(f.arguments["source"], f.arguments["source_row"], height)
        columns = [
            _values_at_points(f, self.form.rows, [f.load(row, x * vector) for row in rows])
            for x in range(width)
        ]
        frequency = iter(f.addresses(f.arguments["out"], f.arguments["stride"], self.form.frequencies))
        for y in range(height):
            for value in _values_at_points(f, self.form.columns, [column[y] for column in columns]):
                f.store(value, next(frequency))
        return f.finish()


@dataclass(frozen=True, slots=True)
class OutputTransform:
    """A microkernel from a tile's products to its outputs, which are then finished like those of other tiles.

    It takes (geometry, products, bytes from a frequency to the next, bias, out, bytes of its row, residual,
    bytes of its row).
    """

    lanes: int
    form: WinogradForm

    @property
    def name(self) -> str:
        return f"winograd_out_{self.lanes}_{self.form.symbol}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        names = ("geometry", "source", "stride", "bias", "out", "out_row", "residual", "residual_row")
        f = IrFunction(self.name, names, self.lanes)
        vector, (rows, points) = self.lanes * FLOAT, (self.form.rows, self.form.columns.points)
        at = f.addresses(f.arguments["source"], f.arguments["stride"], self.form.frequencies)
        columns = [
            _outputs_of(f, rows, [f.load(at[y * points + x]) for y in range(rows.points)])
            for x in range(points)
        ]
        bias = f.load(f.arguments["bias"])
        results = []
        for y in range(rows.outputs):
            row = _outputs_of(f, self.form.columns, [column[y] for column in columns])
            results.append([f.variable(f.plus(value, bias)) for value in row])
        geometry = RecordReader(f, GEOMETRY)
        low, high = geometry.spread("low"), geometry.spread("high")

        def each(start: Any, stride: Any, do: Callable[[Any, Any, int], None]) -> None:
            for row, at in zip(results, f.addresses(start, stride, rows.outputs), strict=True):
                for x, result in enumerate(row):
                    do(result, at, x * vector)

        with f.when_not_zero(f.arguments["residual"]):
            each(
                f.arguments["residual"],
                f.arguments["residual_row"],
                lambda result, at, x: result.set(f.plus(result.get(), f.load(at, x))),
            )
        each(
            f.arguments["out"],
            f.arguments["out_row"],
            lambda result, at, x: f.store(f.at_most(high, f.at_least(low, result.get())), at, x),
        )
        return f.finish()


@dataclass(frozen=True, slots=True)
class WeightTransform:
    """A microkernel from vectors of weights at each place of a kernel to those of each frequency: (source,
    bytes from a place to the next, out, bytes from a frequency to the next, number of vectors)."""

    lanes: int
    form: WinogradForm

    @property
    def name(self) -> str:
        return f"winograd_weights_{self.lanes}_{self.form.symbol}"

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ("source", "place", "out", "stride", "count"), self.lanes)
        vector, (rows, columns) = self.lanes * FLOAT, (self.form.rows, self.form.columns)
        source, out = (f.variable(f.arguments[name]) for name in ("source", "out"))
        with f.loop(f.arguments["count"]):
            places = f.addresses(source.get(), f.arguments["place"], rows.taps * columns.taps)
            weights = [f.load(place) for place in places]
            frequency = iter(f.addresses(out.get(), f.arguments["stride"], self.form.frequencies))
            along = [
                [_weighted(f, row, weights[i :: columns.taps]) for row in _matrix(rows)]
                for i in range(columns.taps)
            ]
            for y in range(rows.points):
                for row in _matrix(columns):
                    f.store(_weighted(f, row, [column[y] for column in along]), next(frequency))
            for place in (source, out):
                place.set(f.add(place.get(), vector))
        return f.finish()


def _matrix(axis: WinogradAxis) -> list[list[float]]:
    """G of an axis; that of a single tap is 1."""
    rows: list[list[float]] = axis.weights().tolist()
    return rows if axis.points > 1 else [[1.0]]


def _weighted(f: IrFunction, row: Sequence[float], vectors: Vectors) -> Any:
    """The sum of vectors times the numbers of a row, some of which is not 0."""
    terms = [(factor, x) for factor, x in zip(row, vectors, strict=True) if factor]
    (factor, x), *others = terms
    total = x if factor == 1 else f.times_constant(factor, x)
    for factor, x in others:
        total = f.multiply_add(f.constant(factor), x, total)
    return total


def _values_at_points(f: IrFunction, axis: WinogradAxis, d: Vectors) -> Vectors:
    """B^T d along one axis. The rows of p and -p have equal even coefficients and opposite odd ones."""
    if axis.points == 1:
        return d
    zero, *others, infinity = axis.values()
    values = [_dot(f, zero, d)]
    for row in others[::2]:
        even, odd = _dot(f, row[::2], d[::2]), _dot(f, row[1::2], d[1::2])
        values += [f.plus(even, odd), f.minus(even, odd)]
    return [*values, _dot(f, infinity, d)]


def _outputs_of(f: IrFunction, axis: WinogradAxis, m: Vectors) -> Vectors:
    """A^T m along one axis: output i is the sum of p^i m over the points; infinity goes to the last."""
    if axis.points == 1:
        return m
    first, last = m[0], m[-1]
    pairs = [*zip(m[1:-1:2], m[2:-1:2], strict=True)]
    sums, differences = [f.plus(*p) for p in pairs], [f.minus(*p) for p in pairs]
    outputs = [
        _dot(f, [p**i for p in axis.pairs], differences if i % 2 else sums) for i in range(axis.outputs)
    ]
    outputs[0] = f.plus(outputs[0], first)
    outputs[-1] = f.plus(outputs[-1], last)
    return outputs


def _dot(f: IrFunction, coefficients: Coefficients, vectors: Vectors) -> Any:
    """The sum of the vectors times their coefficients, the last of which is not 0."""
    *terms, (last, total) = zip(coefficients, vectors, strict=False)
    if last != 1:
        total = f.times_constant(float(last), total)
    for coefficient, vector in reversed(terms):
        if coefficient == 1:
            total = f.plus(total, vector)
        elif coefficient:
            total = f.multiply_add(f.constant(float(coefficient)), vector, total)
    return total
