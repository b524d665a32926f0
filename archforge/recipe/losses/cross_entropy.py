"""Cross-entropy of classes."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Share
from archforge.recipe.loss_kinds import ClassLoss, log_softmax

__all__ = ["CrossEntropy"]


class CrossEntropy(ClassLoss):
    """The negative logarithm of the probability of the right class, which the softmax of the logits gives.
    Source: torch.nn.CrossEntropyLoss.

    Attributes:
    smoothing: share of the target that is spread evenly over all classes.
    """

    word = "cross_entropy"
    elsewhere = ("cce", "categorical_crossentropy", "sparse_categorical_crossentropy", "CrossEntropyLoss")
    reads = "scores"
    takes_under = ("softmax", "log_softmax")

    smoothing: Share = 0.0

    def smoothed(self, wanted: Array, axis: int) -> Array:
        if not self.smoothing:
            return wanted
        even: Array = wanted.sum(axis, keepdims=True) * (self.smoothing / wanted.shape[axis])
        return wanted * (1 - self.smoothing) + even

    def terms(self, prediction: Array, wanted: Array, axis: int) -> tuple[Array, Array]:
        log_p = log_softmax(prediction, axis)
        return -wanted * log_p, np.exp(log_p) * wanted.sum(axis, keepdims=True) - wanted

    def probabilities(self, prediction: Array) -> Array:
        return np.exp(log_softmax(prediction, self.class_axis(prediction)))
