"""LeCun initialisation."""

from __future__ import annotations

import math

from archforge.ops.base import PositiveReal
from archforge.recipe.fans import FanInitialiser

__all__ = ["LeCun"]


class LeCun(FanInitialiser):
    """A deviation of scale / √fan_in. Source: LeCun et al., 1998, Efficient BackProp, equation 16.

    Attributes:
    scale: a factor of the deviation.
    """

    word = "lecun"
    elsewhere = ("lecun_normal", "lecun_uniform")

    scale: PositiveReal = 1.0

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.scale / math.sqrt(fan_in)
