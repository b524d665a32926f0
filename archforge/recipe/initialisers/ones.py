"""Ones everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Initialiser

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Ones"]


class Ones(Initialiser):
    """1 everywhere. Source: torch.nn.init.ones_."""

    word = "ones"
    is_constant = True

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        return np.ones(shape)
