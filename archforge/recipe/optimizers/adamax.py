"""Adam with the largest gradient."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative
from archforge.recipe.moments import MomentOptimizer, move_towards

__all__ = ["AdaMax"]


class AdaMax(MomentOptimizer):
    """Mean gradients divided by their largest magnitude, which fades: u = max(beta2 u, |g| + eps);
    p = p - lr m / (1 - beta1^t) / u. Source: arXiv:1412.6980, algorithm 2; torch.optim.Adamax.

    Attributes:
    betas: the shares of m and of u that are kept.
    """

    word = "adamax"
    elsewhere = ("AdaMaxOptimizer",)

    lr: NotNegative = 2e-3

    def state(self) -> Mapping[str, float]:
        return {"mean": 0.0, "largest": 0.0}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        mean, largest = state["mean"], state["largest"]
        move_towards(mean, gradient, 1 - self.betas[0])
        np.abs(gradient, out=gradient)
        gradient += self.eps
        largest *= self.betas[1]
        np.maximum(largest, gradient, out=largest)
        move = mean * (lr / (1 - self.betas[0] ** step))
        move /= largest
        param -= move
