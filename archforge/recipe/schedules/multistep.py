"""A learning rate that falls behind given epochs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from archforge.ops.base import Positive
from archforge.recipe.base import Moment, NotNegative, Schedule

__all__ = ["MultiStep"]

Milestones = Annotated[tuple[Positive, ...], Field(min_length=1, description="a list of numbers of epochs")]


class MultiStep(Schedule):
    """A factor that is multiplied by gamma behind each of the epochs that are given.
    Source: torch.optim.lr_scheduler.MultiStepLR.

    Attributes:
    epochs: numbers of epochs.
    gamma: what each multiplies the factor by.
    """

    word = "multistep"
    elsewhere = ("MultiStepLR",)

    epochs: Milestones
    gamma: NotNegative = 0.1

    def factor(self, at: Moment) -> float:
        return float(self.gamma ** sum(at.epoch >= epoch for epoch in self.epochs))
