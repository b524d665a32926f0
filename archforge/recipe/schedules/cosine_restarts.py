"""A learning rate that falls along a cosine, again and again."""

from __future__ import annotations

import math

from archforge.ops.base import Positive, Rate
from archforge.recipe.base import Moment, Pace, Schedule

__all__ = ["CosineRestarts"]


class CosineRestarts(Schedule):
    """A factor that falls from 1 to the least along half a wave of a cosine, then starts again at 1.
    Source: arXiv:1608.03983, equation 5; torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.

    Attributes:
    epochs: the length of the first half wave.
    growth: the length of each half wave, in lengths of the one before.
    least: the factor at the end of a half wave.
    by: changes the factor behind each epoch, or behind each update.
    """

    word = "cosine_restarts"
    elsewhere = ("CosineAnnealingWarmRestarts", "sgdr")

    epochs: Positive
    growth: Positive = 1
    least: Rate = 0.0
    by: Pace = "epochs"

    def factor(self, at: Moment) -> float:
        behind, length = at.epochs_behind(self.by), self.epochs
        if self.growth == 1:
            behind %= length
        while behind >= length:
            behind, length = behind - length, length * self.growth
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * behind / length)) / 2
