"""Adam with a weight decay apart from its gradients."""

from __future__ import annotations

from archforge.recipe.base import NotNegative
from archforge.recipe.optimizers.adam import Adam

__all__ = ["AdamW"]


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters by themselves, p = p (1 - lr weight_decay), before each
    step. Source: arXiv:1711.05101, algorithm 2; torch.optim.AdamW.

    Attributes:
    weight_decay: the share of the parameters, times the learning rate, that each update takes away.
    """

    word = "adamw"
    elsewhere = ("AdamWOptimizer",)
    decay_is_apart = True

    weight_decay: NotNegative = 1e-2
