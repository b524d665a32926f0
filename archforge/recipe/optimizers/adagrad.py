"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative, Optimizer

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Steps that are shorter the more squares of gradients have been added up: s = s + g²;
    p = p - lr g / (√s + eps). torch's `lr_decay` is the schedule `inverse_time`.
    Source: arXiv:1002.4908; torch.optim.Adagrad.

    Attributes:
    initial: the sum that squares are added to.
    eps: a term of the divisor, so that it is never 0.
    """

    word = "adagrad"
    elsewhere = ("AdaGradOptimizer",)

    lr: NotNegative = 1e-2
    initial: NotNegative = 0.0
    eps: NotNegative = 1e-10

    def state(self) -> Mapping[str, float]:
        return {"sum": self.initial}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        squares = state["sum"]
        squares += gradient * gradient
        divisor = np.sqrt(squares)
        divisor += self.eps
        gradient *= lr
        gradient /= divisor
        param -= gradient
