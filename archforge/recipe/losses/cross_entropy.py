"""Cross-entropy of classes."""

from __future__ import annotations

import math
from typing import Literal

from archforge.ir import Array
from archforge.ops.base import Axis
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes, Loss, LossValue, Share

__all__ = ["CrossEntropy"]


class CrossEntropy(Loss):
    """The negative logarithm of the probability of the right class, which the softmax of the logits gives.
    Source: torch.nn.CrossEntropyLoss.

    Attributes:
    smoothing: share of the target that is spread evenly over all classes.
    axis: the axis of the classes; 0 is the channels, -1 the last one.
    reduction: `mean` over all predictions, `sum` of them, or `batch_mean`, their sum divided by the number
      of samples.
    """

    word = "cross_entropy"
    takes_under = ("softmax", "log_softmax")

    smoothing: Share = 0.0
    axis: Axis = 0
    reduction: Literal["mean", "sum", "batch_mean"] = "mean"

    @property
    def is_mean(self) -> bool:
        return self.reduction != "sum"

    def classes(self, prediction: Array, target: Array) -> Classes:
        return Classes.along(self.axis % (prediction.ndim - 1) + 1, prediction, target)

    def value(self, prediction: Array, target: Array) -> LossValue:
        axis = self.axis % (prediction.ndim - 1) + 1
        shifted = prediction - prediction.max(axis, keepdims=True)
        exp = np.exp(shifted)
        total = exp.sum(axis, keepdims=True)
        log_p = shifted - np.log(total)
        classes = prediction.shape[axis]
        wanted = target
        if np.issubdtype(target.dtype, np.integer):
            wanted = np.zeros_like(prediction)
            np.put_along_axis(wanted, np.expand_dims(target, axis), 1, axis)
        if self.smoothing:
            wanted = wanted * (1 - self.smoothing) + self.smoothing / classes
        count = {
            "mean": prediction.size // classes,
            "sum": 1,
            "batch_mean": len(prediction),
        }[self.reduction]
        loss = -float((wanted * log_p).sum(dtype=np.float64)) / count
        gradient = (exp / total * wanted.sum(axis, keepdims=True) - wanted) / prediction.dtype.type(count)
        return LossValue(loss if math.isfinite(loss) else math.nan, gradient)
