"""A loss that does not fall from one epoch to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from archforge.ops.base import Positive
from archforge.recipe.base import Epoch, Stop
from archforge.recipe.watched import Figure, figures_of

__all__ = ["NotFalling"]


class NotFalling(Stop):
    """An end of the run behind epochs none of which is better than the one before it.
    Source: tanbir/miniDLF, `early_stop_after`.

    Attributes:
    patience: the number of such epochs in a row that end the run.
    of: the figure of an epoch that is watched.
    """

    word = "not_falling"
    elsewhere = ("early_stop_after",)

    patience: Positive = 5
    of: Figure = "loss"

    def reason(self, history: Sequence[Epoch]) -> str:
        figures = figures_of(history, self.of)
        idle = 0
        for before, figure in pairwise(figures):
            idle = 0 if figure < before else idle + 1
        return (
            f"`{self.of}` got no better from one epoch to the next in {idle}" if idle >= self.patience else ""
        )
