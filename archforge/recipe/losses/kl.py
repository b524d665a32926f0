"""Kullback-Leibler divergence."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes, LossValue
from archforge.recipe.loss_kinds import ReducedLoss, log_softmax
from archforge.recipe.targets import target_values

__all__ = ["KullbackLeibler"]


class KullbackLeibler(ReducedLoss):
    """The divergence of the probabilities that the softmax of the logits gives from those of the target: the
    sum of t (log t - log p) over the classes.

    The mean is over predictions, so that it is the divergence; torch's `mean` also divides by the number of
    classes. Source: torch.nn.functional.kl_div of log_softmax.

    Attributes:
    axis: the axis of the classes; 0 is the channels, -1 the last one.
    """

    word = "kl"
    elsewhere = ("KLDivLoss", "kl_div", "kl_divergence", "kullback_leibler_divergence")
    reads = "scores"
    takes_under = ("softmax", "log_softmax")

    def classes(self, prediction: Array, target: Array) -> Classes:
        return Classes.along(self.class_axis(prediction), prediction, target)

    def value(self, prediction: Array, target: Array) -> LossValue:
        axis = self.class_axis(prediction)
        wanted = target_values(prediction, target, axis)
        log_p = log_softmax(prediction, axis)
        log_wanted = np.log(np.where(wanted > 0, wanted, 1))  # t log t is 0 at 0
        gradient = np.exp(log_p) * wanted.sum(axis, keepdims=True) - wanted
        return self.reduced(wanted * (log_wanted - log_p), gradient, wanted.size // wanted.shape[axis])

    def probabilities(self, prediction: Array) -> Array:
        return np.exp(log_softmax(prediction, self.class_axis(prediction)))
