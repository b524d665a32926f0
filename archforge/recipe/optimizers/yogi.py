"""Yogi."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative
from archforge.recipe.moments import MomentOptimizer, move_towards

__all__ = ["Yogi"]


class Yogi(MomentOptimizer):
    """Adam whose mean squares move towards a new square by a share of the square alone:
    v = v - (1 - beta2) sign(v - g²) g². Both means are freed of their start as in Adam, and as in TensorFlow
    Addons. Source: doi:10.5555/3327546.3327647, algorithm 2.

    Attributes:
    initial: the number that v starts as.
    """

    word = "yogi"

    lr: NotNegative = 1e-2
    eps: NotNegative = 1e-3
    initial: NotNegative = 1e-6

    def state(self) -> Mapping[str, float]:
        return {"mean": 0.0, "squares": self.initial}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        mean, squares = state["mean"], state["squares"]
        move_towards(mean, gradient, 1 - self.betas[0])
        gradient *= gradient
        way = np.sign(gradient - squares)
        gradient *= 1 - self.betas[1]
        way *= gradient
        squares += way
        move = mean * (lr / (1 - self.betas[0] ** step))
        move /= self.divisor(squares, step)
        param -= move
