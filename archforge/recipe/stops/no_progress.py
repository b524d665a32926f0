"""A figure that no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archforge.ops.base import Positive
from archforge.recipe.base import Epoch, NotNegative, Stop
from archforge.recipe.watched import Figure, figures_of

__all__ = ["NoProgress"]


class NoProgress(Stop):
    """An end of the run behind epochs without progress beyond the best one so far.

    Attributes:
    patience: the number of epochs without progress that end the run.
    of: the figure of an epoch that is watched.
    min_delta: how much better than the best so far a figure must be to be progress.
    """

    word = "no_progress"
    elsewhere = ("early_stopping", "EarlyStopping")

    patience: Positive = 10
    of: Figure = "val_loss"
    min_delta: NotNegative = 0.0

    def reason(self, history: Sequence[Epoch]) -> str:
        best, idle = math.inf, 0
        for figure in figures_of(history, self.of):
            idle += 1
            if figure < best - self.min_delta:
                best, idle = figure, 0
        return f"`{self.of}` made no progress in {idle} epochs" if idle >= self.patience else ""
