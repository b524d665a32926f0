"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.recipe.base import Optimizer, Share

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent: v = momentum v + (1 - dampening) g, of which the first is v = g; p = p - lr v.
    Source: torch.optim.SGD.

    Attributes:
    lr: the learning rate.
    weight_decay: its product with the parameters is added to their gradients.
    momentum: the share of the last step that is kept; 0 for none.
    dampening: the share of a gradient that is left out of the momentum.
    nesterov: the step looks ahead, p = p - lr (g + momentum v).
    """

    word = "sgd"

    momentum: Share = 0.0
    dampening: Share = 0.0
    nesterov: bool = False

    def state(self) -> Mapping[str, float]:
        return {"momentum": 0.0} if self.momentum else {}

    def update(
        self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, decay: float, step: int
    ) -> None:
        if decay:
            gradient += decay * param
        if self.momentum:
            v = state["momentum"]
            v *= self.momentum
            v += gradient if step == 1 else (1 - self.dampening) * gradient
            gradient = gradient + self.momentum * v if self.nesterov else v
        param -= lr * gradient
