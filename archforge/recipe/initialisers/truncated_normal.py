"""Normal numbers between bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from archforge.ir import Array
from archforge.ops.base import PositiveReal, Real
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Initialiser

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["TruncatedNormal"]


class TruncatedNormal(Initialiser):
    """Normal numbers, those beyond the bounds drawn anew. Source: torch.nn.init.trunc_normal_.

    Attributes:
    std: their standard deviation, before they are bounded.
    mean: their mean, before they are bounded.
    low: the lower bound.
    high: the upper bound.
    """

    word = "truncated_normal"
    elsewhere = ("trunc_normal",)

    std: PositiveReal = 1.0
    mean: Real = 0.0
    low: Real = -2.0
    high: Real = 2.0

    @model_validator(mode="after")
    def _fits(self) -> TruncatedNormal:
        if not self.low < self.high or not self.low <= self.mean <= self.high:
            raise ValueError("`low` must be below `high`, and `mean` between them")
        return self

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        drawn, number = np.empty(int(np.prod(shape))), 0
        while number < drawn.size:
            kept = self._kept(drawn.size - number, generator)
            drawn[number : number + kept.size] = kept
            number += kept.size
        return drawn.reshape(shape)

    def _kept(self, number: int, generator: Generator) -> Array:
        """The numbers between the bounds of so many that are drawn: about one in eight of them at least."""
        if self.high - self.low >= 2 * self.std:
            tried = generator.normal(self.mean, self.std, number)
            return tried[(self.low <= tried) & (tried <= self.high)]
        tried = generator.uniform(self.low, self.high, number)
        likely = np.exp(-(((tried - self.mean) / self.std) ** 2) / 2)
        return tried[generator.random(number) < likely]
