"""Optimizers that keep means of gradients and of their squares: what is common to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative, Optimizer, Share

__all__ = ["Betas", "MomentOptimizer", "move_towards"]

Betas = Annotated[tuple[Share, Share], Field(description="a list of two numbers from 0 to below 1")]


class MomentOptimizer(Optimizer):
    """An optimizer with running means m of gradients and v of their squares.

    Attributes:
    betas: the shares of m and of v that are kept.
    eps: a term of the divisor, so that it is never 0.
    """

    betas: Betas = (0.9, 0.999)
    eps: NotNegative = 1e-8

    def state(self) -> Mapping[str, float]:
        return {"mean": 0.0, "squares": 0.0}

    def gather(self, gradient: Array, state: Mapping[str, Array]) -> tuple[Array, Array]:
        """The running means, with this gradient in them."""
        mean, squares = state["mean"], state["squares"]
        move_towards(mean, gradient, 1 - self.betas[0])
        squares *= self.betas[1]
        squared = gradient * gradient
        squared *= 1 - self.betas[1]
        squares += squared
        return mean, squares

    def divisor(self, squares: Array, step: int) -> Array:
        """The root of mean squares freed of their start at 0, plus eps."""
        found: Array = np.sqrt(squares)
        found /= (1 - self.betas[1] ** step) ** 0.5
        found += self.eps
        return found


def move_towards(mean: Array, values: Array, share: float) -> None:
    """Move a running mean by a share of the way to new values, in place."""
    way = values - mean
    way *= share
    mean += way
