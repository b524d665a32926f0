"""One number everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archforge.ir import Array
from archforge.ops.base import Real
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Initialiser

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["ConstantInitialiser"]


class ConstantInitialiser(Initialiser):
    """One number everywhere. Source: torch.nn.init.constant_.

    Attributes:
    value: the number.
    """

    word = "constant"
    is_constant = True

    value: Real

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        return np.full(shape, float(self.value))
