"""A learning rate that falls where a figure no longer gets better."""

from __future__ import annotations

import math

from archforge.ops.base import Count, Rate
from archforge.recipe.base import Moment, NotNegative, Schedule, Share
from archforge.recipe.watched import Figure, figures_of

__all__ = ["Plateau"]


class Plateau(Schedule):
    """A factor that falls when a figure has not got better for more epochs than patience allows.
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau.

    Attributes:
    patience: the number of epochs without progress that are allowed.
    gamma: what each fall multiplies the factor by.
    of: the figure of an epoch that is watched.
    threshold: the share of the best figure so far by which one must be better to be progress.
    cooldown: the number of epochs behind a fall that count for nothing.
    least: the factor below which it does not fall.
    """

    word = "plateau"
    elsewhere = ("ReduceLROnPlateau", "reduce_on_plateau")

    patience: Count = 10
    gamma: Share = 0.1
    of: Figure = "val_loss"
    threshold: NotNegative = 1e-4
    cooldown: Count = 0
    least: Rate = 0.0

    def factor(self, at: Moment) -> float:
        factor, best, idle, waiting = 1.0, math.inf, 0, 0
        for figure in figures_of(at.history, self.of):
            if best == math.inf or figure < best - self.threshold * abs(best):
                best, idle = figure, 0
            else:
                idle += 1
            if waiting:
                waiting, idle = waiting - 1, 0
            if idle > self.patience:
                factor = max(factor * self.gamma, self.least)
                idle, waiting = 0, self.cooldown
        return factor
