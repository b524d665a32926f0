"""Normal numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archforge.ir import Array
from archforge.ops.base import Real
from archforge.recipe.base import Initialiser, NotNegative

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Normal"]


class Normal(Initialiser):
    """Normal numbers. Source: torch.nn.init.normal_.

    Attributes:
    std: their standard deviation.
    mean: their mean.
    """

    word = "normal"
    elsewhere = ("gaussian", "random_normal")

    std: NotNegative = 1.0
    mean: Real = 0.0

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        return generator.normal(self.mean, self.std, shape)
