"""Adadelta."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative, Optimizer, Share

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps as long as the last ones were, by the length of gradients: s = rho s + (1 - rho) g²;
    d = g √(u + eps) / √(s + eps); u = rho u + (1 - rho) d²; p = p - lr d.
    Source: arXiv:1212.5701; torch.optim.Adadelta.

    Attributes:
    rho: the share of a mean of squares that is kept.
    eps: a term of both roots; it makes the first steps.
    """

    word = "adadelta"
    elsewhere = ("AdaDeltaOptimizer",)

    lr: NotNegative = 1.0
    rho: Share = 0.9
    eps: NotNegative = 1e-6

    def state(self) -> Mapping[str, float]:
        return {"gradients": 0.0, "steps": 0.0}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        squares, steps = state["gradients"], state["steps"]
        squares *= self.rho
        squares += (1 - self.rho) * (gradient * gradient)
        gradient *= np.sqrt(steps + self.eps)
        gradient /= np.sqrt(squares + self.eps)
        steps *= self.rho
        steps += (1 - self.rho) * (gradient * gradient)
        gradient *= lr
        param -= gradient
