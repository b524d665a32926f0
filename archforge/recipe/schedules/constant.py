"""A constant learning rate."""

from __future__ import annotations

from archforge.ops.base import Count
from archforge.recipe.base import Moment, NotNegative, Schedule

__all__ = ["Constant"]


class Constant(Schedule):
    """One factor for the first epochs, 1 behind them. Source: torch.optim.lr_scheduler.ConstantLR.

    Attributes:
    scale: the factor.
    epochs: the number of epochs that it is for; 0 for the whole run.
    """

    word = "constant"
    elsewhere = ("ConstantLR",)

    scale: NotNegative = 1.0
    epochs: Count = 0

    def factor(self, at: Moment) -> float:
        return self.scale if not self.epochs or at.epoch < self.epochs else 1.0
