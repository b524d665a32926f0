"""Initialisers whose spread depends on how many numbers a parameter joins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from archforge.ir import Array
from archforge.recipe.base import Initialiser

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Distribution", "FanInitialiser", "fans"]

Distribution = Literal["normal", "uniform"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """The fan-in and fan-out of a matrix or kernel: extents of its second and of its first axis, times the
    elements behind them. Source: torch.nn.init, which counts groups, transposed convolutions and the stacked
    gates of recurrent layers like any other array.
    """
    behind = math.prod(shape[2:])
    return shape[1] * behind, shape[0] * behind


class FanInitialiser(Initialiser):
    """Numbers around 0 whose deviation is that of the array's shape.

    Attributes:
    distribution: of the numbers: `normal`, or `uniform` between bounds of √3 deviations.
    """

    least_axes = 2

    distribution: Distribution = "normal"

    def deviation(self, fan_in: int, fan_out: int) -> float:
        """The standard deviation of a matrix or kernel with these fans."""
        raise NotImplementedError

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        deviation = self.deviation(*fans(shape))
        if self.distribution == "normal":
            return generator.normal(0.0, deviation, shape)
        bound = math.sqrt(3) * deviation
        return generator.uniform(-bound, bound, shape)
