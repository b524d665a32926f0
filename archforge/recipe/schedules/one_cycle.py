"""One rise and one fall of the learning rate."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from archforge.recipe.base import Moment, Schedule

__all__ = ["OneCycle"]

Fraction = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1")]
Divisor = Annotated[float, Field(ge=1, allow_inf_nan=False, description="a number, 1 or more")]


class OneCycle(Schedule):
    """A factor that rises to 1 along half a wave of a cosine and falls along another, over all updates of a
    run. The momentum stays. Source: arXiv:1708.07120; torch.optim.lr_scheduler.OneCycleLR, whose `max_lr` is
    the optimizer's `lr`.

    Attributes:
    rise: the share of the updates that the rise takes.
    start: 1 / start is the factor at the begin.
    end: 1 / (start end) is the factor at the end.
    """

    word = "one_cycle"
    elsewhere = ("OneCycleLR", "onecycle")

    rise: Fraction = 0.3
    start: Divisor = 25.0
    end: Divisor = 1e4

    def factor(self, at: Moment) -> float:
        total = at.epochs * at.updates_per_epoch
        top, last = self.rise * total - 1, total - 1
        first, final = 1 / self.start, 1 / (self.start * self.end)
        if at.update < top:
            return _between(first, 1.0, at.update / top)
        return _between(1.0, final, min((at.update - top) / (last - top), 1.0))


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
