"""Adam."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.base import Flag
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative
from archforge.recipe.moments import MomentOptimizer

__all__ = ["Adam"]


class Adam(MomentOptimizer):
    """Mean gradients divided by the root of their mean squares, both freed of their start at 0:
    p = p - lr m / (1 - beta1^t) / (√(v / (1 - beta2^t)) + eps).
    Source: arXiv:1412.6980, algorithm 1; torch.optim.Adam.

    Attributes:
    amsgrad: divides by the root of the largest mean squares so far. Source: arXiv:1904.09237.
    """

    word = "adam"
    elsewhere = ("AdamOptimizer",)

    lr: NotNegative = 1e-3
    amsgrad: Flag = False

    def state(self) -> Mapping[str, float]:
        return {**super().state(), **({"largest": 0.0} if self.amsgrad else {})}

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        mean, squares = self.gather(gradient, state)
        if self.amsgrad:
            squares = np.maximum(state["largest"], squares, out=state["largest"])
        move = mean * (lr / (1 - self.betas[0] ** step))
        move /= self.divisor(squares, step)
        param -= move
