"""Binary cross-entropy of probabilities."""

from __future__ import annotations

from archforge.errors import fail
from archforge.ir import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes
from archforge.recipe.loss_kinds import ElementLoss

__all__ = ["BinaryCrossEntropy"]

# Bounds of torch.nn.BCELoss: of its logarithms, and of what its gradient is divided by.
LEAST_LOGARITHM, LEAST_VARIANCE = -100.0, 1e-12


class BinaryCrossEntropy(ElementLoss):
    """-t log p - (1 - t) log(1 - p) of each probability by itself, with logarithms of -100 at least: for a
    network that ends with sigmoid or softmax. `bce_with_logits` is more exact near 0 and 1.
    Source: torch.nn.BCELoss.
    """

    word = "bce"
    elsewhere = ("BCELoss", "binary_crossentropy", "binary_cross_entropy")
    reads = "probabilities"

    def classes(self, prediction: Array, target: Array) -> Classes:
        return super().classes(prediction, target) or Classes.sides(prediction, 0.5, target)

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        outside = prediction[(prediction < 0) | (prediction > 1)]
        if outside.size:
            fail("E0607", f"`bce` takes probabilities, found {outside[0]:.4g}", help="`bce_with_logits`")
        with np.errstate(divide="ignore"):
            yes = np.maximum(np.log(prediction), LEAST_LOGARITHM)
            no = np.maximum(np.log1p(-prediction), LEAST_LOGARITHM)
        variance = np.maximum(prediction * (1 - prediction), LEAST_VARIANCE)
        return -target * yes - (1 - target) * no, (prediction - target) / variance
