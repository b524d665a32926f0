"""RMSProp."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.base import Flag
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative, Optimizer, Share

__all__ = ["RMSProp"]


class RMSProp(Optimizer):
    """Gradients divided by the root of their mean square: s = rho s + (1 - rho) g²; d = g / (√s + eps);
    p = p - lr d. With momentum v = momentum v + d and p = p - lr v.
    Source: Tieleman and Hinton, 2012, lecture 6.5; torch.optim.RMSprop, whose `alpha` is rho.

    Attributes:
    rho: the share of the mean square that is kept.
    eps: a term of the divisor, so that it is never 0.
    momentum: the share of the last step that is kept; 0 for none.
    centered: subtracts the square of the mean gradient, so that the divisor is a deviation.
    """

    word = "rmsprop"
    elsewhere = ("RMSPropOptimizer",)

    lr: NotNegative = 1e-2
    rho: Share = 0.99
    eps: NotNegative = 1e-8
    momentum: Share = 0.0
    centered: Flag = False

    def state(self) -> Mapping[str, float]:
        names = ["squares", *["mean"] * self.centered, *["momentum"] * bool(self.momentum)]
        return dict.fromkeys(names, 0.0)

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        squares = state["squares"]
        squares *= self.rho
        squares += (1 - self.rho) * (gradient * gradient)
        divisor = squares
        if self.centered:
            mean = state["mean"]
            mean += (1 - self.rho) * (gradient - mean)
            divisor = np.maximum(squares - mean * mean, 0)  # which rounding makes negative
        gradient /= np.sqrt(divisor) + self.eps
        if self.momentum:
            v = state["momentum"]
            v *= self.momentum
            v += gradient
            gradient = v
        param -= lr * gradient
