"""An accuracy that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from archforge.ops.base import Rate
from archforge.recipe.base import Epoch, Stop

__all__ = ["EnoughAccuracy"]

Accuracy = Literal["accuracy", "val_accuracy"]


class EnoughAccuracy(Stop):
    """An end of the run behind an epoch whose accuracy is high enough.

    Attributes:
    at: the accuracy that is enough, a share of 1.
    of: that of the samples trained on, or of those held back.
    """

    word = "accuracy"
    elsewhere = ("accuracy_threshold",)

    at: Rate
    of: Accuracy = "accuracy"

    def reason(self, history: Sequence[Epoch]) -> str:
        found = history[-1].figures[self.of] if history else -1
        return f"`{self.of}` is {found:.2%}, at least {self.at:.2%}" if found >= self.at else ""
