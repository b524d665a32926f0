"""Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from archforge.ir import Array
from archforge.recipe.base import NotNegative
from archforge.recipe.moments import MomentOptimizer

__all__ = ["Nadam"]


class Nadam(MomentOptimizer):
    """Adam whose step looks ahead, with a momentum u_t = beta1 (1 - 0.96^(t psi) / 2) that grows to beta1:
    p = p - lr ((1 - u_t) g / (1 - u_1 u_2...u_t) + u_t+1 m / (1 - u_1 u_2...u_t+1)) / d, where d is Adam's
    divisor √(v / (1 - beta2^t)) + eps.
    Source: Dozat, 2016, Incorporating Nesterov Momentum into Adam, section 3; torch.optim.NAdam.

    Attributes:
    momentum_decay: psi, the pace at which the momentum grows.
    """

    word = "nadam"
    elsewhere = ("NAdamOptimizer",)

    lr: NotNegative = 2e-3
    momentum_decay: NotNegative = 4e-3

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        mean, squares = self.gather(gradient, state)
        now, ahead = (_momentum(self.betas[0], self.momentum_decay, t) for t in (step, step + 1))
        product = _product(self.betas[0], self.momentum_decay, step)
        gradient *= lr * (1 - now) / (1 - product)
        gradient += (lr * ahead / (1 - product * ahead)) * mean
        gradient /= self.divisor(squares, step)
        param -= gradient


def _momentum(beta: float, decay: float, step: int) -> float:
    return float(beta * (1 - 0.5 * 0.96 ** (step * decay)))


# One update asks for it once for each array.
@lru_cache(maxsize=4)
def _product(beta: float, decay: float, steps: int) -> float:
    """The product of the momenta of the first steps, 0 where 1 less it is 1."""
    product = 1.0
    for step in range(1, steps + 1):
        product *= _momentum(beta, decay, step)
        if product < 1e-17:
            return 0.0
    return product
