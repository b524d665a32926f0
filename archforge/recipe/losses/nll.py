"""Negative log-likelihood of classes."""

from __future__ import annotations

from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.loss_kinds import ClassLoss

__all__ = ["NegativeLogLikelihood"]


class NegativeLogLikelihood(ClassLoss):
    """The negative of the right class's output, which is the logarithm of its probability: for a network that
    ends with log_softmax. Source: torch.nn.NLLLoss.
    """

    word = "nll"
    elsewhere = ("NLLLoss", "nll_loss", "negative_log_likelihood")
    reads = "log_probabilities"

    def terms(self, prediction: Array, wanted: Array, axis: int) -> tuple[Array, Array]:
        return -wanted * prediction, -wanted

    def probabilities(self, prediction: Array) -> Array:
        return np.exp(prediction)
