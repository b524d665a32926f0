"""Hinge loss."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes
from archforge.recipe.loss_kinds import ElementLoss

__all__ = ["Hinge"]


class Hinge(ElementLoss):
    """max(0, 1 - t y) of a score y. A target above 0 is t = 1, any other -1, so that numbers of classes ask
    each class for a score on its own side. Source: torchmetrics.functional.hinge_loss for two classes.
    """

    word = "hinge"
    elsewhere = ("HingeLoss", "hinge_loss", "MultiMarginLoss")
    reads = "scores"

    def classes(self, prediction: Array, target: Array) -> Classes:
        return super().classes(prediction, target) or Classes.sides(prediction, 0, target)

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        side = np.where(target > 0, 1, -1).astype(prediction.dtype)
        margin = 1 - side * prediction
        return np.maximum(margin, 0), np.where(margin > 0, -side, 0)
