"""Xavier initialisation."""

from __future__ import annotations

import math

from archforge.ops.base import PositiveReal
from archforge.recipe.fans import Distribution, FanInitialiser

__all__ = ["Xavier"]


class Xavier(FanInitialiser):
    """A deviation of scale √(2 / (fan_in + fan_out)), between what keeps the size of values and that of
    gradients. Source: Glorot and Bengio, 2010, equation 16; torch.nn.init.xavier_uniform_ and xavier_normal_,
    whose `gain` is the scale.

    Attributes:
    scale: a factor of the deviation.
    """

    word = "xavier"
    elsewhere = ("xavier_uniform", "xavier_normal", "glorot_uniform", "glorot_normal", "glorot", "XavierInit")

    distribution: Distribution = "uniform"
    scale: PositiveReal = 1.0

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.scale * math.sqrt(2 / (fan_in + fan_out))
