"""Kaiming initialisation."""

from __future__ import annotations

import math
from typing import Literal

from archforge.ops.base import PositiveReal
from archforge.recipe.base import NotNegative
from archforge.recipe.fans import FanInitialiser

__all__ = ["Kaiming"]

Mode = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["relu", "leaky_relu", "linear", "sigmoid", "tanh", "selu"]

# Source: torch.nn.init.calculate_gain.
GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "selu": 3 / 4}


class Kaiming(FanInitialiser):
    """A deviation of gain / √fan, which keeps the size of values from layer to layer, or of their gradients.
    Source: arXiv:1502.01852, section 2.2; torch.nn.init.kaiming_normal_ and kaiming_uniform_.

    Attributes:
    mode: keeps that of values by `fan_in`, of gradients by `fan_out`.
    nonlinearity: the activation behind the layer, which sets the gain: √2 for relu.
    slope: that of leaky_relu below 0.
    scale: a factor of the deviation.
    """

    word = "kaiming"
    elsewhere = ("kaiming_normal", "kaiming_uniform", "he_normal", "he_uniform", "he", "KaimingInit", "msra")

    mode: Mode = "fan_in"
    nonlinearity: Nonlinearity = "relu"
    slope: NotNegative = 0.01
    scale: PositiveReal = 1.0

    def deviation(self, fan_in: int, fan_out: int) -> float:
        slope = {"relu": 0.0, "leaky_relu": self.slope}.get(self.nonlinearity, 0.0)
        gain = GAINS.get(self.nonlinearity, math.sqrt(2 / (1 + slope**2)))
        return self.scale * gain / math.sqrt(fan_in if self.mode == "fan_in" else fan_out)
