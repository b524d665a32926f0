"""Adam that divides by the largest mean squares so far."""

from __future__ import annotations

from archforge.ops.base import Flag
from archforge.recipe.optimizers.adam import Adam

__all__ = ["AMSGrad"]


class AMSGrad(Adam):
    """Adam whose `amsgrad` is true. Source: arXiv:1904.09237; torch.optim.Adam with amsgrad."""

    word = "amsgrad"
    elsewhere = ("AMSGradOptimizer",)

    amsgrad: Flag = True
