"""Lion."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative, Optimizer
from archforge.recipe.moments import Betas, move_towards

__all__ = ["Lion"]


class Lion(Optimizer):
    """Steps of one length in the direction that the signs of a mean gradient give:
    p = p (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g.
    Source: arXiv:2302.06675, algorithm 2.

    Attributes:
    weight_decay: the share of the parameters, times the learning rate, that each update takes away.
    betas: the share of m in the direction, and the share of m that is kept.
    """

    word = "lion"
    decay_is_apart = True

    lr: NotNegative = 1e-4
    betas: Betas = (0.9, 0.99)

    def state(self) -> Mapping[str, float]:
        return {"mean": 0.0}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        mean = state["mean"]
        direction = mean * self.betas[0]
        direction += (1 - self.betas[0]) * gradient
        move_towards(mean, gradient, 1 - self.betas[1])
        np.sign(direction, out=direction)
        direction *= lr
        param -= direction
