"""A learning rate that falls along a cosine."""

from __future__ import annotations

import math

from archforge.ops.base import Count, Rate
from archforge.recipe.base import Moment, Pace, Schedule

__all__ = ["Cosine"]


class Cosine(Schedule):
    """A factor that falls from 1 to the least along half a wave of a cosine, and would rise again behind it.
    Source: arXiv:1608.03983, equation 5; torch.optim.lr_scheduler.CosineAnnealingLR.

    Attributes:
    epochs: the length of the half wave; 0 for the whole run.
    least: the factor at its end.
    by: changes the factor behind each epoch, or behind each update.
    """

    word = "cosine"
    elsewhere = ("CosineAnnealingLR", "cosine_annealing", "cosine_decay")

    epochs: Count = 0
    least: Rate = 0.0
    by: Pace = "epochs"

    def factor(self, at: Moment) -> float:
        share = at.epochs_behind(self.by) / (self.epochs or at.epochs)
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * share)) / 2
