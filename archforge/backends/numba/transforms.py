"""Winograd's transforms as microkernels: F(m, r) along each axis, which has m outputs of a kernel of r taps
for m + r - 1 products.

A tile of outputs and the inputs that it sees are carried into the products of a polynomial multiplication
at n points along each axis, where a convolution is a product channel by channel. For F(4, 3) along both:

      6x6 inputs          36 values           36 sums over channels      4x4 outputs
      d           ->  B^T d B  =  V   ->   M = sum of U * V          ->  A^T M A
                                           U = G w G^T, once

Kernels of one row or column have tiles of one row or column. The points are 0, infinity and pairs +-p, chosen
by the rounding error in float32: for 6 points it is half that of the usual 0, +-1, +-2. Source of the
matrices: arXiv:1509.09308; for the choice of points arXiv:1803.10986, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from archforge.backends.numba.machine import FLOAT
from archforge.backends.numba.tiles import Geometry
from archforge.backends.numba.vectors import Function
from archforge.ops.base import Array

__all__ = ["Axis", "Form", "InputTransform", "OutputTransform", "transformed_weights"]

# The positive ones of each pair, by the number of all points.
PAIRS = {
    1: (),
    4: ("1",),
    6: ("3/4", "3/2"),
    8: ("1/2", "1", "7/4"),
    10: ("3/8", "3/4", "5/4", "2"),
    12: ("3/8", "3/4", "1", "3/2", "5/2"),
}

Vectors = Sequence[Any]
Row = Sequence[Fraction]


@dataclass(frozen=True)
class Axis:
    """F(outputs, taps) along one axis."""

    outputs: int
    taps: int

    def __str__(self) -> str:
        return f"{self.outputs}of{self.taps}"

    @property
    def points(self) -> int:
        return self.outputs + self.taps - 1

    @cached_property
    def pairs(self) -> list[Fraction]:
        return [Fraction(p) for p in PAIRS[self.points]]

    @cached_property
    def finite(self) -> list[Fraction]:
        """All points but infinity; for a single one that is all there is."""
        return [Fraction(0), *(s * p for p in self.pairs for s in (1, -1))] if self.points > 1 else []

    def weights(self) -> Array:
        """G float64[points, taps]: (1, p, p^2, ...) over the product of p - q for the other points q; for
        infinity (0, ..., 0, 1)."""
        rows = []
        for p in self.finite:
            scale = Fraction(1)
            for q in self.finite:
                scale *= p - q if q != p else 1
            rows.append([float(p**i / scale) for i in range(self.taps)])
        made: Array = np.array([*rows, [0.0] * (self.taps - 1) + [1.0]])
        return made

    def values(self) -> list[Row]:
        """B^T: for each point the coefficients, from the constant on, of the product of x - q over the
        other finite points."""
        return [_polynomial([q for q in self.finite if q != p]) for p in (*self.finite, None)]


@dataclass(frozen=True)
class Form:
    """A tile: F along the rows' axis and along the columns'."""

    rows: Axis
    columns: Axis

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    @property
    def frequencies(self) -> int:
        return self.rows.points * self.columns.points


def _polynomial(roots: Sequence[Fraction]) -> Row:
    made = [Fraction(1)]
    for q in roots:
        made = [low - q * high for low, high in zip([Fraction(0), *made], [*made, Fraction(0)], strict=True)]
    return made


def transformed_weights(weight: Array, form: Form) -> Array:
    """U float32[frequencies, O, I] of weights [O, I, KH, KW], computed in float64."""
    wide = np.asarray(weight, np.float64).reshape(-1, form.rows.taps * form.columns.taps)
    u = np.kron(form.rows.weights(), form.columns.weights()) @ wide.T  # G w G^T is linear in w
    made: Array = u.astype(np.float32).reshape(-1, *weight.shape[:2])
    return made


@dataclass(frozen=True, slots=True)
class InputTransform:
    """(source, bytes of its row, out, bytes from a frequency to the next): a tile's inputs to its values."""

    lanes: int
    form: Form

    @property
    def name(self) -> str:
        return f"winograd_in_{self.lanes}_{self.form}"

    def module(self) -> llvm.ModuleRef:
        f = Function(self.name, ("source", "source_row", "out", "stride"), self.lanes)
        vector, (height, width) = self.lanes * FLOAT, (self.form.rows.points, self.form.columns.points)
        rows = _steps(f, f.arguments["source"], f.arguments["source_row"], height)
        columns = [
            _values_at_points(f, self.form.rows, [f.load(row, x * vector) for row in rows])
            for x in range(width)
        ]
        frequency = iter(_steps(f, f.arguments["out"], f.arguments["stride"], self.form.frequencies))
        for y in range(height):
            for value in _values_at_points(f, self.form.columns, [column[y] for column in columns]):
                f.store(value, next(frequency))
        return f.finish()


@dataclass(frozen=True, slots=True)
class OutputTransform:
    """(geometry, products, bytes from a frequency to the next, bias, out, bytes of its row, residual,
    bytes of its row): a tile's sums to its outputs, with the epilogue of a tile."""

    lanes: int
    form: Form

    @property
    def name(self) -> str:
        return f"winograd_out_{self.lanes}_{self.form}"

    def module(self) -> llvm.ModuleRef:
        names = ("geometry", "source", "stride", "bias", "out", "out_row", "residual", "residual_row")
        f = Function(self.name, names, self.lanes)
        vector, (rows, points) = self.lanes * FLOAT, (self.form.rows, self.form.columns.points)
        at = _steps(f, f.arguments["source"], f.arguments["stride"], self.form.frequencies)
        columns = [
            _outputs_of(f, rows, [f.load(at[y * points + x]) for y in range(rows.points)])
            for x in range(points)
        ]
        bias = f.load(f.arguments["bias"])
        results = []
        for y in range(rows.outputs):
            row = _outputs_of(f, self.form.columns, [column[y] for column in columns])
            results.append([f.variable(f.plus(value, bias)) for value in row])
        geometry = Geometry(f)
        low, high = geometry.spread("low"), geometry.spread("high")

        def each(start: Any, stride: Any, do: Callable[[Any, Any, int], None]) -> None:
            for row, at in zip(results, _steps(f, start, stride, rows.outputs), strict=True):
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


def _steps(f: Function, start: Any, stride: Any, count: int) -> list[Any]:
    """`count` addresses, `stride` apart."""
    places = [start]
    for _ in range(count - 1):
        places.append(f.add(places[-1], stride))
    return places


def _values_at_points(f: Function, axis: Axis, d: Vectors) -> Vectors:
    """B^T d along one axis. The rows of p and -p have equal even coefficients and opposite odd ones."""
    if axis.points == 1:
        return d
    zero, *others, infinity = axis.values()
    values = [_dot(f, zero, d)]
    for row in others[::2]:
        even, odd = _dot(f, row[::2], d[::2]), _dot(f, row[1::2], d[1::2])
        values += [f.plus(even, odd), f.minus(even, odd)]
    return [*values, _dot(f, infinity, d)]


def _outputs_of(f: Function, axis: Axis, m: Vectors) -> Vectors:
    """A^T m along one axis: output i is the sum of p^i m over the points, infinity's going to the last
    alone."""
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


def _dot(f: Function, coefficients: Row, vectors: Vectors) -> Any:
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
