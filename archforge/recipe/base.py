"""The kinds of parts that a training recipe is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from archforge.class_vars import read_once
from archforge.datasets.base import Targets
from archforge.ir import Array, TensorType
from archforge.parts import Part

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = [
    "Classes",
    "Epoch",
    "Initialiser",
    "Loss",
    "LossValue",
    "Moment",
    "NotNegative",
    "Optimizer",
    "Pace",
    "Reads",
    "Schedule",
    "Share",
    "Stop",
]

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or more")]
# Below 1: a decay or a momentum of 1 would keep its first value for ever.
Share = Annotated[float, Field(ge=0, lt=1, description="a number from 0 to below 1")]


class LossValue(NamedTuple):
    """The loss of a batch, and its gradient with respect to the prediction, in the prediction's dtype."""

    loss: float
    gradient: Array


class Classes(NamedTuple):
    """Predicted classes and the right ones, int[...] of one shape, and how many classes there are. A right
    class that is negative counts for nothing."""

    predicted: Array
    right: Array
    number: int

    @classmethod
    def along(cls, axis: int, prediction: Array, target: Array) -> Classes:
        """The greatest of the numbers along `axis` of a prediction, and of a target that is as large."""
        predicted = prediction.argmax(axis)
        right = target.argmax(axis) if target.shape == prediction.shape else target.reshape(predicted.shape)
        return cls(predicted, right, prediction.shape[axis])

    @classmethod
    def sides(cls, prediction: Array, bound: float, target: Array) -> Classes:
        """Two classes for each number of a prediction, 1 above the bound, and for each of a target, 1 above
        0.5."""
        right = (target > 0.5).reshape(prediction.shape)
        return cls((prediction > bound).astype("int64"), right.astype("int64"), 2)


# The numbers that a loss takes: any; values as targets are; scores that a softmax or sigmoid would make
# probabilities of; probabilities; or their logarithms.
Reads = Literal["any", "values", "scores", "probabilities", "log_probabilities"]


@read_once
class Loss(Part):
    """A number that says how far predictions are from their targets, the less the better. It has no state.

    reads: the numbers that predictions are. takes_under: kinds of ops which, last in a graph, are passed
    over: the loss takes their input, since it applies them itself.
    """

    what = "loss"
    package = "archforge.recipe.losses"
    reads: ClassVar[Reads] = "any"
    takes_under: ClassVar[tuple[str, ...]] = ()

    @property
    def is_mean(self) -> bool:
        """True if the loss of a batch is the mean of those of its samples, not their sum."""
        return True

    def classes(self, prediction: Array, target: Array) -> Classes | None:
        """The classes that predictions stand for, with the right ones; None where targets are no classes."""
        return None

    def class_number(self, x: TensorType) -> int | None:
        """The number of classes that predictions of this type decide between; None where they decide between
        none."""
        return None

    def require(self, x: TensorType) -> None:
        """Raises `ShapeError` where the loss cannot take predictions of this type."""

    def value(self, prediction: Array, target: Array) -> LossValue:
        """The loss of predictions float[N, *shape] and its gradient. `target` holds numbers of classes,
        int[N, *shape without the axis of classes], or as many numbers as the prediction. Raises E0607 where
        it holds neither."""
        raise NotImplementedError

    def weighs(self, targets: Targets, labels: Array | None) -> bool:
        """True if `weight` may not be in proportion to the number of samples, whose targets are of this kind,
        or, where they are single classes, `labels`."""
        return False

    def weight(self, prediction: Array, target: Array) -> float:
        """The number by which a mean over a batch is divided, or one in proportion to it."""
        return float(len(prediction))

    def probabilities(self, prediction: Array) -> Array:
        """The probabilities that a prediction, as the loss takes it, stands for; the prediction itself where
        it stands for none."""
        return prediction


@read_once
class Optimizer(Part):
    """A rule that moves parameters along their gradients. It works element by element: each array has a
    state of its own, arrays of the same shape by name.

    decay_is_apart: the weight decay shrinks the parameters by themselves, and is no part of their gradients.

    Attributes:
    lr: the learning rate, which schedules multiply.
    weight_decay: the product of this and the parameters is added to their gradients.
    """

    what = "optimizer"
    package = "archforge.recipe.optimizers"
    always_said = ("lr",)
    decay_is_apart: ClassVar[bool] = False

    lr: NotNegative
    weight_decay: NotNegative = 0.0

    def state(self) -> Mapping[str, float]:
        """The number that each array of the state starts as, by its name."""
        return {}

    def apply(
        self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, decay: float, step: int
    ) -> None:
        """Move `param` in place, and bring its state up to date in place.

        lr: the learning rate of this update. decay: the weight decay of this array. step: number of the
        update, from 1. `gradient` may be overwritten.
        """
        if decay and self.decay_is_apart:
            param *= 1 - lr * decay
        elif decay:
            gradient += decay * param
        self.update(param, gradient, state, lr, step)

    def update(self, param: Array, gradient: Array, state: Mapping[str, Array], lr: float, step: int) -> None:
        """`apply` behind the weight decay."""
        raise NotImplementedError


# When a schedule changes its factor: at each update, or at the begin of each epoch alone.
Pace = Literal["epochs", "updates"]


class Moment(NamedTuple):
    """A place in a run: the number of updates made so far, those of an epoch, the number of epochs of the
    run, and the epochs that have ended."""

    update: int
    updates_per_epoch: int
    epochs: int
    history: Sequence[Epoch]

    @property
    def epoch(self) -> int:
        """The number of whole epochs behind this moment."""
        return self.update // self.updates_per_epoch

    def epochs_behind(self, pace: Pace) -> float:
        """The number of epochs behind this moment, whole ones or with the part that the updates make."""
        return self.epoch if pace == "epochs" else self.update / self.updates_per_epoch


class Epoch(NamedTuple):
    """The figures of one epoch by name: `loss`, `accuracy`, `val_loss`, `val_accuracy`, `lr` and what else
    was measured; those that were not are left out. number: from 1."""

    number: int
    figures: Mapping[str, float]


class Schedule(Part):
    """A factor of the learning rate that changes in the course of a run. It has no state: the factor depends
    on the moment alone, so that a run that is resumed goes on as it would have."""

    what = "schedule"
    package = "archforge.recipe.schedules"

    def factor(self, at: Moment) -> float:
        """The factor of the learning rate for the next update."""
        raise NotImplementedError


@read_once
class Initialiser(Part):
    """A distribution that fresh parameters are drawn from.

    is_constant: every draw gives the same numbers. least_axes: number of axes that an array must have.
    """

    what = "initialiser"
    package = "archforge.recipe.initialisers"
    is_constant: ClassVar[bool] = False
    least_axes: ClassVar[int] = 0

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        """An array float64[*shape]."""
        raise NotImplementedError


class Stop(Part):
    """A rule that ends a run before its last epoch."""

    what = "rule to stop"
    package = "archforge.recipe.stops"

    def reason(self, history: Sequence[Epoch]) -> str:
        """The reason to stop behind the last of these epochs, in words; empty to go on."""
        raise NotImplementedError
