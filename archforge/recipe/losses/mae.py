"""Mean absolute error."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.loss_kinds import ElementLoss

__all__ = ["AbsoluteError"]


class AbsoluteError(ElementLoss):
    """The magnitude of the difference; its slope at 0 is 0. Source: torch.nn.L1Loss."""

    word = "mae"
    elsewhere = ("L1Loss", "l1_loss", "l1", "mean_absolute_error")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        difference = prediction - target
        return np.abs(difference), np.sign(difference)
