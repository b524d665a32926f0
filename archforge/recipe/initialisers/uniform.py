"""Uniform numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from archforge.ir import Array
from archforge.ops.base import Real
from archforge.recipe.base import Initialiser

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Uniform"]


class Uniform(Initialiser):
    """Numbers between two bounds, each as likely. Source: torch.nn.init.uniform_.

    Attributes:
    low: the lower bound.
    high: the upper bound.
    """

    word = "uniform"
    elsewhere = ("random_uniform",)

    low: Real = 0.0
    high: Real = 1.0

    @model_validator(mode="after")
    def _fits(self) -> Uniform:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        return self

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        return generator.uniform(self.low, self.high, shape)
