"""Huber's loss."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.base import PositiveReal
from archforge.ops.lazy_numpy import np
from archforge.recipe.loss_kinds import ElementLoss

__all__ = ["Huber"]


class Huber(ElementLoss):
    """Half the square of a small difference, which goes on as a straight line: delta (|d| - delta / 2).
    Source: torch.nn.HuberLoss.

    Attributes:
    delta: the difference up to which it is a square.
    """

    word = "huber"
    elsewhere = ("HuberLoss", "huber_loss")

    delta: PositiveReal = 1.0

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        difference = prediction - target
        slope = np.clip(difference, -self.delta, self.delta)
        return slope * (difference - slope / 2), slope
