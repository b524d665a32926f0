"""Mean squared error."""

from __future__ import annotations

from archforge.ir import Array
from archforge.recipe.loss_kinds import ElementLoss

__all__ = ["SquaredError"]


class SquaredError(ElementLoss):
    """The square of the difference. Source: torch.nn.MSELoss."""

    word = "mse"
    elsewhere = ("MSELoss", "mse_loss", "mean_squared_error", "l2")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        difference = prediction - target
        return difference * difference, 2 * difference
