"""Winograd's transforms as microkernels: F(4x4, 3x3) at the points 0, +-3/4, +-3/2 and infinity.

A tile of 4x4 outputs sees 6x6 inputs. Both are carried into the 36 products of a polynomial multiplication
at six points along each axis, where a convolution is a product channel by channel:

      6x6 inputs          36 values           36 sums over channels      4x4 outputs
      d           ->  B^T d B  =  V   ->   M = sum of U * V          ->  A^T M A
                                           U = G w G^T, once

Against the usual points 0, +-1, +-2 these halve the rounding error in float32. Source: arXiv:1509.09308;
for the choice of points arXiv:1803.10986, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from archforge.backends.numba.machine import FLOAT
from archforge.backends.numba.tiles import Geometry
from archforge.backends.numba.vectors import Function
from archforge.ops.base import Array

__all__ = ["FREQUENCIES", "InputTransform", "OutputTransform", "transformed_weights"]

POINTS = (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2))
OUT, IN = 4, 6  # extents of a tile
FREQUENCIES = IN * IN

Vectors = Sequence[Any]


def transformed_weights(weight: Array) -> Array:
    """U float32[6, 6, O, I] of weights [O, I, 3, 3], computed in float64.

    Row j of G is (1, p, p^2) over the product of p - q for the other points q; for infinity (0, 0, 1).
    """
    rows = []
    for p in POINTS:
        scale = Fraction(1)
        for q in POINTS:
            scale *= p - q if q != p else 1
        rows.append([float(p**i / scale) for i in range(3)])
    g = np.array([*rows, [0.0, 0.0, 1.0]])
    wide = np.asarray(weight, np.float64).reshape(-1, 9)
    made: Array = (np.kron(g, g) @ wide.T).astype(np.float32)  # G w G^T is linear in the 9 elements of w
    return made.reshape(IN, IN, *weight.shape[:2])


@dataclass(frozen=True, slots=True)
class InputTransform:
    """(source, bytes of its row, out, bytes from a frequency to the next): 6x6 vectors to 36."""

    lanes: int

    @property
    def name(self) -> str:
        return f"winograd_in_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        f = Function(self.name, ("source", "source_row", "out", "stride"), self.lanes)
        vector = self.lanes * FLOAT
        rows = _steps(f, f.arguments["source"], f.arguments["source_row"], IN)
        columns = [_values_at_points(f, [f.load(row, x * vector) for row in rows]) for x in range(IN)]
        frequency = iter(_steps(f, f.arguments["out"], f.arguments["stride"], FREQUENCIES))
        for y in range(IN):
            for value in _values_at_points(f, [column[y] for column in columns]):
                f.store(value, next(frequency))
        return f.finish()


@dataclass(frozen=True, slots=True)
class OutputTransform:
    """(geometry, products, bytes from a frequency to the next, bias, out, bytes of its row, residual,
    bytes of its row): 36 vectors to 4x4, with the epilogue of a tile."""

    lanes: int

    @property
    def name(self) -> str:
        return f"winograd_out_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        names = ("geometry", "source", "stride", "bias", "out", "out_row", "residual", "residual_row")
        f = Function(self.name, names, self.lanes)
        vector = self.lanes * FLOAT
        at = _steps(f, f.arguments["source"], f.arguments["stride"], FREQUENCIES)
        columns = [_outputs_of(f, [f.load(at[y * IN + x]) for y in range(IN)]) for x in range(IN)]
        bias = f.load(f.arguments["bias"])
        results = []
        for y in range(OUT):
            row = _outputs_of(f, [column[y] for column in columns])
            results.append([f.variable(f.plus(value, bias)) for value in row])
        geometry = Geometry(f)
        low, high = geometry.spread("low"), geometry.spread("high")

        def each(start: Any, stride: Any, do: Callable[[Any, Any, int], None]) -> None:
            for row, at in zip(results, _steps(f, start, stride, OUT), strict=True):
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


def _values_at_points(f: Function, d: Vectors) -> Vectors:
    """B^T d along one axis. What points p and -p share is computed once: with p^2 = a and the other
    pair's square b, the values are (d4 - b d2) +- p (d3 - b d1)."""

    def pair(p: float, other: float) -> tuple[Any, Any]:
        even = f.multiply_add(f.constant(-other), d[2], d[4])
        odd = f.times_constant(p, f.multiply_add(f.constant(-other), d[1], d[3]))
        return f.plus(even, odd), f.minus(even, odd)

    def end(first: int) -> Any:
        """a b d_first - (a + b) d_{first + 2} + d_{first + 4}."""
        rest = f.multiply_add(f.constant(-(A + B)), d[first + 2], d[first + 4])
        return f.multiply_add(f.constant(A * B), d[first], rest)

    return [end(0), *pair(0.75, B), *pair(1.5, A), end(1)]


A, B = 0.75**2, 1.5**2


def _outputs_of(f: Function, m: Vectors) -> Vectors:
    """A^T m along one axis: output i is the sum of p^i m over the points, m5 going to the last alone."""
    near_sum, near_difference = f.plus(m[1], m[2]), f.minus(m[1], m[2])
    far_sum, far_difference = f.plus(m[3], m[4]), f.minus(m[3], m[4])

    def weighed(power: int, far: Any, near: Any) -> Any:
        return f.multiply_add(f.constant(1.5**power), far, f.times_constant(0.75**power, near))

    return [
        f.plus(f.plus(m[0], near_sum), far_sum),
        weighed(1, far_difference, near_difference),
        weighed(2, far_sum, near_sum),
        f.plus(weighed(3, far_difference, near_difference), m[5]),
    ]
