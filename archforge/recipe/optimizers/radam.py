"""Rectified Adam."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import NotNegative
from archforge.recipe.moments import MomentOptimizer

__all__ = ["RAdam"]


class RAdam(MomentOptimizer):
    """Adam whose steps are scaled down as long as few squares were seen, and not divided by their root at
    first. Source: arXiv:1908.03265, algorithm 2; torch.optim.RAdam.
    """

    word = "radam"
    elsewhere = ("RectifiedAdam",)

    lr: NotNegative = 1e-3

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        mean, squares = self.gather(gradient, state)
        kept = self.betas[1] ** step
        most = 2 / (1 - self.betas[1]) - 1  # samples that a mean of squares is worth, in the end and now
        samples = most - 2 * step * kept / (1 - kept)
        move = mean * (lr / (1 - self.betas[0] ** step))
        if samples > 5:
            scale = (samples - 4) * (samples - 2) * most / ((most - 4) * (most - 2) * samples)
            move *= (scale * (1 - kept)) ** 0.5
            move /= np.sqrt(squares) + self.eps
        param -= move
