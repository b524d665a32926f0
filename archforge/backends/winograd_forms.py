"""Winograd's convolution by F(m, r) along each axis, which has m outputs of a kernel of r taps for m + r - 1
products: its matrices, for the backends that use it.

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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = [
    "Coefficients",
    "WinogradAxis",
    "WinogradForm",
    "input_transform",
    "output_transform",
    "transformed_weights",
]

# The positive ones of each pair, by the number of all points.
PAIRS = {
    1: (),
    4: ("1",),
    6: ("3/4", "3/2"),
    8: ("1/2", "1", "7/4"),
    10: ("3/8", "3/4", "5/4", "2"),
    12: ("3/8", "3/4", "1", "3/2", "5/2"),
}

Coefficients = Sequence[Fraction]

UNIT = 2.0**-24  # the largest relative rounding error of float32
PIECE = 128  # pairs of channels whose weights are transformed at once


@dataclass(frozen=True)
class WinogradAxis:
    """F(outputs, taps) along one axis: so many outputs of a kernel of so many taps."""

    outputs: int
    taps: int

    @property
    def points(self) -> int:
        """Points at which the polynomials are multiplied."""
        return self.outputs + self.taps - 1

    @cached_property
    def pairs(self) -> list[Fraction]:
        """The positive point of each pair."""
        return [Fraction(p) for p in PAIRS[self.points]]

    @cached_property
    def finite(self) -> list[Fraction]:
        """All points but infinity, of which a single point is the only one."""
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

    def values(self) -> list[Coefficients]:
        """B^T: for each point the coefficients of the product of x - q over the other finite points.

        The constant's coefficient comes first.
        """
        return [_polynomial([q for q in self.finite if q != p]) for p in (*self.finite, None)]

    def sums(self) -> list[Coefficients]:
        """A^T: for each output i the powers p^i of the points; infinity goes to the last alone."""
        last = self.outputs - 1
        return [[*(p**i for p in self.finite), Fraction(i == last)] for i in range(self.outputs)]


@dataclass(frozen=True)
class WinogradForm:
    """A form of Winograd's convolution: F along the rows' axis and along the columns'."""

    rows: WinogradAxis
    columns: WinogradAxis

    def __str__(self) -> str:
        rows, columns = self.rows, self.columns
        return f"F({rows.outputs}x{columns.outputs}, {rows.taps}x{columns.taps})"

    @property
    def symbol(self) -> str:
        """A name for functions: 4of3x4of3."""
        return f"{self.rows.outputs}of{self.rows.taps}x{self.columns.outputs}of{self.columns.taps}"

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return self.rows.outputs * self.columns.outputs

    @property
    def tile_error(self) -> float:
        """The rounding error of an output, in its deviations, by one input of its tile as large as others:
        what its values are rounded by goes through random weights to outputs beside its own."""
        return _tile_error(self)

    @property
    def frequencies(self) -> int:
        """Products of a tile for each pair of channels."""
        return self.rows.points * self.columns.points


def _polynomial(roots: Sequence[Fraction]) -> Coefficients:
    """The coefficients of a polynomial with these roots, from the constant on."""
    made = [Fraction(1)]
    for q in roots:
        made = [low - q * high for low, high in zip([Fraction(0), *made], [*made, Fraction(0)], strict=True)]
    return made


def transformed_weights(weight: Array, form: WinogradForm, into: Array | None = None) -> Array:
    """U float32[frequencies, O, I] of weights [O, I, KH, KW], computed in float64, and written to `into`
    float32[frequencies, O * I] if that is given. The channels may come in the other order and are then so in
    U."""
    wide = np.asarray(weight, np.float64, order="C").reshape(-1, form.rows.taps * form.columns.taps)
    g = _weight_transform(form)
    made = np.empty((len(g), len(wide)), np.float32) if into is None else into
    # Pieces so small that BLAS does each on one thread: its pool would stand in the way of threads that pack.
    for begin in range(0, len(wide), PIECE):
        made[:, begin : begin + PIECE] = g @ wide[begin : begin + PIECE].T
    return made.reshape(-1, *weight.shape[:2])


@cache
def _weight_transform(form: WinogradForm) -> Array:
    """float64[frequencies, taps] from a kernel, row by row: G w G^T is linear in w."""
    made: Array = np.kron(form.rows.weights(), form.columns.weights())
    return made


@cache
def _tile_error(form: WinogradForm) -> float:
    into, out = (m.astype(np.float64) for m in (input_transform(form), output_transform(form)))
    weights = np.square(_weight_transform(form)).sum(1, keepdims=True)
    squares = np.square(out) @ (np.square(into) * weights)
    return UNIT * math.sqrt(squares.max() / (form.rows.taps * form.columns.taps))


def input_transform(form: WinogradForm) -> Array:
    """float32[frequencies, inputs] from a tile's inputs, row by row, to its values."""
    return _over_both(form.rows.values(), form.columns.values())


def output_transform(form: WinogradForm) -> Array:
    """float32[outputs, frequencies] from a tile's sums to its outputs, row by row."""
    return _over_both(form.rows.sums(), form.columns.sums())


def _over_both(rows: list[Coefficients], columns: list[Coefficients]) -> Array:
    """The matrix over both axes of a matrix along each of them. Coefficients that are not given are 0."""
    both = []
    for matrix in (rows, columns):
        width = max(map(len, matrix))
        both.append(np.array([[*map(float, row), *[0.0] * (width - len(row))] for row in matrix]))
    made: Array = np.kron(*both).astype(np.float32)
    return made
