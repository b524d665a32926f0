"""A learning rate that falls exponentially."""

from __future__ import annotations

from archforge.recipe.base import Moment, NotNegative, Schedule

__all__ = ["Exponential"]


class Exponential(Schedule):
    """A factor that is multiplied by gamma behind each epoch. Source: torch.optim.lr_scheduler.ExponentialLR.

    Attributes:
    gamma: what each epoch multiplies the factor by.
    """

    word = "exponential"
    elsewhere = ("ExponentialLR", "exponential_decay")

    gamma: NotNegative

    def factor(self, at: Moment) -> float:
        return float(self.gamma**at.epoch)
