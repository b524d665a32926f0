"""Losses of one number by itself, and of probabilities of classes: what is common to each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from archforge.class_vars import read_once
from archforge.datasets.base import Targets
from archforge.errors import fail
from archforge.ir import Array, ShapeError, TensorType
from archforge.ops.base import Axis, resolve_axis
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Classes, Loss, LossValue, NotNegative, Reads
from archforge.recipe.targets import target_values

__all__ = ["ClassLoss", "ElementLoss", "ReducedLoss", "log_softmax"]

Reduction = Literal["mean", "sum", "batch_mean"]
Weights = Annotated[tuple[NotNegative, ...], Field(description="a list of numbers, 0 or more")]


class ReducedLoss(Loss):
    """A loss that is a mean or a sum over predictions.

    Attributes:
    reduction: `mean` over all predictions, `sum` of them, or `batch_mean`, their sum divided by the number of
      samples.
    axis: the axis along which a target that is the number of a class stands for a 1 among zeros; 0 is the
      channels, -1 the last one.
    """

    reduction: Reduction = "mean"
    axis: Axis = 0

    @property
    def is_mean(self) -> bool:
        return self.reduction != "sum"

    def require(self, x: TensorType) -> None:
        resolve_axis(self.axis, x)

    def class_axis(self, prediction: Array) -> int:
        """The axis of the classes in a prediction, the batch's counted. Raises E0607 for one that the loss
        cannot take."""
        x = TensorType(prediction.shape[1:])
        try:
            self.require(x)
            return resolve_axis(self.axis, x) + 1
        except ShapeError as error:
            fail("E0607", f"`{self.word}`: {error.message}", label=error.label, help=error.help)

    def class_number(self, x: TensorType) -> int:
        return max(x.shape[resolve_axis(self.axis, x)], 2)  # one number has two sides

    def classes(self, prediction: Array, target: Array) -> Classes | None:
        if target.size == prediction.size:
            return None
        return Classes.along(self.class_axis(prediction), prediction, target)

    def reduced(self, losses: Array, gradient: Array, count: float) -> LossValue:
        """The loss and its gradient, changed in place, of losses whose mean is over `count` predictions; 0
        where there are none."""
        divisor = {"mean": count, "sum": 1, "batch_mean": len(gradient)}[self.reduction] or 1
        gradient /= divisor
        return LossValue(float(losses.sum(dtype=np.float64)) / divisor, gradient)


@read_once
class ElementLoss(ReducedLoss):
    """A loss of each number of a prediction by itself, against a number of the target."""

    reads: ClassVar[Reads] = "values"

    def value(self, prediction: Array, target: Array) -> LossValue:
        wanted = target_values(prediction, target, self.class_axis(prediction))
        losses, slopes = self.terms(prediction, wanted)
        return self.reduced(losses, slopes, losses.size)

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """The loss of each element, and its derivative by the prediction, in a new array."""
        raise NotImplementedError


class ClassLoss(ReducedLoss):
    """A loss of probabilities of classes, each prediction along the axis by itself.

    Attributes:
    axis: the axis of the classes; 0 is the channels, -1 the last one.
    ignore: a number in targets that stands for no class and counts for nothing, neither in the loss nor in
      its mean. A batch of nothing else has the loss 0.
    weights: a factor for each class, 1 by default. A mean over predictions is weighted by them where targets
      are numbers of classes.
    """

    ignore: int = -100
    weights: Weights = ()

    def require(self, x: TensorType) -> None:
        super().require(x)
        classes = x.shape[resolve_axis(self.axis, x)]
        if self.weights and len(self.weights) != classes:
            raise ShapeError(
                f"there are {len(self.weights)} weights for {classes} classes", "weights", code="E0404"
            )

    def value(self, prediction: Array, target: Array) -> LossValue:
        axis = self.class_axis(prediction)
        wanted = target_values(prediction, target, axis, self.ignore)
        count = self._count(wanted, target, axis)
        losses, gradient = self.terms(prediction, self._weighted(self.smoothed(wanted, axis), axis), axis)
        return self.reduced(losses, gradient, count)

    def weighs(self, targets: Targets, labels: Array | None) -> bool:
        if self.reduction != "mean" or targets == "values":
            return False
        return bool(self.weights) or labels is None or bool((labels == self.ignore).any())

    def weight(self, prediction: Array, target: Array) -> float:
        if self.reduction != "mean":
            return super().weight(prediction, target)
        axis = self.class_axis(prediction)
        return self._count(target_values(prediction, target, axis, self.ignore), target, axis)

    def _count(self, wanted: Array, target: Array, axis: int) -> float:
        """The number of predictions, each by the weight of its class if that is told by its number."""
        if target.size < wanted.size:
            return float(self._weighted(wanted, axis).sum(dtype=np.float64))
        return float(wanted.size // wanted.shape[axis])

    def _weighted(self, wanted: Array, axis: int) -> Array:
        """Numbers for each class along an axis, times the weights of the classes."""
        if not self.weights:
            return wanted
        factors = np.array(self.weights, wanted.dtype)
        return wanted * factors.reshape([-1 if n == axis else 1 for n in range(wanted.ndim)])

    def classes(self, prediction: Array, target: Array) -> Classes:
        found = Classes.along(self.class_axis(prediction), prediction, target)
        return found._replace(right=np.where(found.right == self.ignore, -1, found.right))

    def smoothed(self, wanted: Array, axis: int) -> Array:
        """The probabilities of the classes that the loss is to be held against."""
        return wanted

    def terms(self, prediction: Array, wanted: Array, axis: int) -> tuple[Array, Array]:
        """The loss of each element, and the gradient of their sum in a new array.

        wanted: the weight of each logarithm of a probability. axis: that of the classes, the batch's counted.
        """
        raise NotImplementedError


def log_softmax(x: Array, axis: int) -> Array:
    """Logarithm of the softmax along an axis, the batch's counted; finite for whatever is finite."""
    shifted: Array = x - x.max(axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis, keepdims=True))
    return shifted
