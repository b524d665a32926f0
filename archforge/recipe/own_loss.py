"""Losses that are written outside of archforge, and the check that every loss is held by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from archforge.errors import fail, type_in_words
from archforge.ir import Array, shape_text
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes, Loss, LossValue
from archforge.recipe.digests import code_digest

__all__ = ["OwnLoss", "gradient_deviation", "require_gradient"]

# Largest deviation of a gradient from a difference of fourth order in float64, of the sum of magnitudes.
TOLERANCE = 1e-6


class OwnLoss(Loss):
    """A loss that a function gives, with its gradient with respect to the prediction.

    Attributes:
    name: the name of the function, and digest: a hash of its code and of what it was made with, for records;
    not of what it finds by a global name.
    function: from a prediction float[N, *shape] and a target to the loss and an array like the prediction.
    is_sum: the loss of two batches is the sum of theirs, not their mean.
    """

    word = "own"
    never_said = ("digest",)

    name: str
    digest: str = ""
    function: Callable[[Array, Array], tuple[float, Array]] = Field(exclude=True)
    is_sum: bool = False

    @property
    def is_mean(self) -> bool:
        return not self.is_sum

    @classmethod
    def of(cls, function: Callable[[Array, Array], tuple[float, Array]], *, is_sum: bool = False) -> OwnLoss:
        """The loss that a function gives."""
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return cls(name=name, digest=code_digest(function), function=function, is_sum=is_sum)

    def classes(self, prediction: Array, target: Array) -> Classes | None:
        """The classes along the first axis, where targets are their numbers."""
        are_numbers = np.issubdtype(target.dtype, np.integer)
        if not are_numbers or target.shape != prediction.shape[:1] + prediction.shape[2:]:
            return None
        found = Classes.along(1, prediction, target)
        return found if target.max(initial=0) < found.number else None

    def value(self, prediction: Array, target: Array) -> LossValue:
        found: Any = self.function(prediction, target)
        if not isinstance(found, tuple) or len(found) != 2:
            fail("E0607", f"the loss `{self.name}` gave {_named(found)}", help="return loss, gradient")
        loss, gradient = found
        gradient = np.asarray(gradient)
        if gradient.shape != prediction.shape:
            fail(
                "E0607",
                f"the loss `{self.name}` gave a gradient of {shape_text(gradient.shape)} for a prediction of "
                f"{shape_text(prediction.shape)}",
                help="the derivative of the loss by each number of the prediction",
            )
        if np.size(loss) != 1:
            fail("E0607", f"the loss `{self.name}` gave {_named(loss)} for a number")
        return LossValue(float(np.asarray(loss).item()), gradient.astype(prediction.dtype, copy=False))


def gradient_deviation(loss: Loss, prediction: Array, target: Array, seed: int = 0) -> float:
    """The difference between the gradient of a loss and its derivative in a random direction, in float64,
    relative to the sum of the magnitudes that make up the derivative.

    A right gradient gives 1e-8 or less, unless the prediction is within 1e-4 of a kink of the loss.
    """
    x = prediction.astype(np.float64)
    gradient = loss.value(x.copy(), target).gradient
    direction = np.random.default_rng(seed).standard_normal(x.shape)
    direction *= min(1.0, 1.0 / max(float(np.abs(direction).max(initial=0)), 1e-300))

    def along(step: float) -> float:
        return loss.value(x + step * direction, target).loss

    h = 1e-4
    slope = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    products = gradient.astype(np.float64) * direction
    size = float(np.abs(products).sum()) or 1.0
    return abs(float(products.sum()) - slope) / size


def require_gradient(loss: Loss, prediction: Array, target: Array) -> None:
    """Raises E0607 if the gradient of a loss is not its derivative at a prediction."""
    deviation = gradient_deviation(loss, prediction, target)
    if not deviation <= TOLERANCE:
        name = getattr(loss, "name", loss.word)
        fail(
            "E0607",
            f"the gradient of the loss `{name}` is not its derivative: it is {deviation:.1e} off",
            help="the derivative by each number of the prediction of what is returned as the loss: where a "
            "mean divides one, it divides both",
        )


def _named(value: Any) -> str:
    return f"an array of {shape_text(value.shape)}" if hasattr(value, "shape") else type_in_words(value)
