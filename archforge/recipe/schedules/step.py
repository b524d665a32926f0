"""A learning rate that falls in steps."""

from __future__ import annotations

from archforge.ops.base import Positive
from archforge.recipe.base import Moment, NotNegative, Schedule

__all__ = ["Stepwise"]


class Stepwise(Schedule):
    """A factor that is multiplied by gamma at equal distances. Source: torch.optim.lr_scheduler.StepLR.

    Attributes:
    epochs: the number of epochs from one step to the next.
    gamma: what a step multiplies the factor by.
    """

    word = "step"
    elsewhere = ("StepLR",)

    epochs: Positive
    gamma: NotNegative = 0.1

    def factor(self, at: Moment) -> float:
        return float(self.gamma ** (at.epoch // self.epochs))
