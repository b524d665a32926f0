"""Binary cross-entropy of logits."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.activations import sigmoid
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes
from archforge.recipe.loss_kinds import ElementLoss

__all__ = ["BinaryCrossEntropyWithLogits"]


class BinaryCrossEntropyWithLogits(ElementLoss):
    """-t log p - (1 - t) log(1 - p) of each p = sigmoid(y) by itself. Source: torch.nn.BCEWithLogitsLoss."""

    word = "bce_with_logits"
    elsewhere = ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits")
    reads = "scores"
    takes_under = ("sigmoid",)

    def classes(self, prediction: Array, target: Array) -> Classes:
        return super().classes(prediction, target) or Classes.sides(prediction, 0, target)

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        softplus = np.maximum(prediction, 0) + np.log1p(np.exp(-np.abs(prediction)))
        return softplus - target * prediction, sigmoid(prediction) - target

    def probabilities(self, prediction: Array) -> Array:
        return sigmoid(prediction)
