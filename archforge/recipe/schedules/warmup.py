"""A learning rate that rises at first."""

from __future__ import annotations

from pydantic import model_validator

from archforge.ops.base import Count, Rate
from archforge.recipe.base import Moment, Schedule

__all__ = ["Warmup"]


class Warmup(Schedule):
    """A factor that rises to 1 along a straight line and stays there; another schedule beside it counts from
    the begin of the run. Source: torch.optim.lr_scheduler.LinearLR.

    Attributes:
    epochs: the number of epochs of the rise, behind each of which the factor changes.
    updates: the number of updates of the rise, in place of epochs.
    start: the factor at the begin.
    """

    word = "warmup"
    elsewhere = ("LinearLR", "linear", "linear_warmup", "warm_up")

    epochs: Count = 0
    updates: Count = 0
    start: Rate = 1 / 3

    @model_validator(mode="after")
    def _fits(self) -> Warmup:
        if bool(self.epochs) == bool(self.updates):
            raise ValueError("give `epochs` or `updates`, one of them above 0")
        return self

    def factor(self, at: Moment) -> float:
        share = at.epoch / self.epochs if self.epochs else at.update / self.updates
        return self.start + (1 - self.start) * min(share, 1)
