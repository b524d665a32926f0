"""A learning rate that falls as one over time."""

from __future__ import annotations

from archforge.recipe.base import Moment, NotNegative, Schedule

__all__ = ["InverseTime"]


class InverseTime(Schedule):
    """A factor 1 / (1 + decay t) of the number t of updates behind. Source: torch.optim.Adagrad, whose
    `lr_decay` this is; tanbir/miniDLF, which gives a `decay` of 1e-6 to each optimizer.

    Attributes:
    decay: the decay of an update.
    """

    word = "inverse_time"
    elsewhere = ("decay", "lr_decay", "InverseTimeDecay")

    decay: NotNegative

    def factor(self, at: Moment) -> float:
        return 1 / (1 + self.decay * at.update)
