"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from archforge.ir import Array
from archforge.ops.base import Flag
from archforge.recipe.base import NotNegative, Optimizer, Share

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent: v = momentum v + (1 - dampening) g, of which the first is v = g; p = p - lr v.
    Source: torch.optim.SGD.

    Attributes:
    momentum: the share of the last step that is kept; 0 for none.
    dampening: the share of a gradient that is left out of the momentum.
    nesterov: the step looks ahead: p = p - lr (g + momentum v).
    """

    word = "sgd"
    elsewhere = ("momentum", "SGDOptimizer", "MomentumOptimizer")

    lr: NotNegative = 1e-3
    momentum: Share = 0.0
    dampening: Share = 0.0
    nesterov: Flag = False

    @model_validator(mode="after")
    def _fits(self) -> SGD:
        if self.nesterov and (not self.momentum or self.dampening):
            raise ValueError("`nesterov` needs a momentum above 0, and no dampening")
        if self.dampening and not self.momentum:
            raise ValueError("`dampening` has no effect without momentum")
        return self

    def state(self) -> Mapping[str, float]:
        return {"momentum": 0.0} if self.momentum else {}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        if self.momentum:
            v = state["momentum"]
            v *= self.momentum
            v += gradient if step == 1 else (1 - self.dampening) * gradient
            if self.nesterov:
                gradient += self.momentum * v
            else:
                gradient = v
        param -= lr * gradient
