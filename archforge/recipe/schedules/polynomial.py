"""A learning rate that falls along a power."""

from __future__ import annotations

from archforge.ops.base import Count, PositiveReal
from archforge.recipe.base import Moment, Pace, Schedule

__all__ = ["Polynomial"]


class Polynomial(Schedule):
    """A factor (1 - t / T)^power of the epochs t behind, 0 from T on.
    Source: torch.optim.lr_scheduler.PolynomialLR.

    Attributes:
    power: the power; 1 falls along a straight line.
    epochs: T; 0 for the whole run.
    by: changes the factor behind each epoch, or behind each update.
    """

    word = "polynomial"
    elsewhere = ("PolynomialLR", "poly", "polynomial_decay")

    power: PositiveReal = 1.0
    epochs: Count = 0
    by: Pace = "epochs"

    def factor(self, at: Moment) -> float:
        share = at.epochs_behind(self.by) / (self.epochs or at.epochs)
        return float((1 - min(share, 1)) ** self.power)
