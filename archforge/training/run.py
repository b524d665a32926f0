"""The state of a training run, and what one update and one epoch do to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archforge.datasets.base import Pair
from archforge.draws import generator
from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan.backward import ForwardPass, TrainingPlan
from archforge.recipe.base import Epoch, Moment
from archforge.recipe.reaches import FIGURES
from archforge.recipe.update import Updater
from archforge.training.checkpoint import Checkpoint, Place
from archforge.training.measures import Measures
from archforge.training.setup import Setup, add_losses
from archforge.weights.bind import bind

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["TrainingRun"]


@dataclass(slots=True, eq=False)
class TrainingRun:
    """The state of a run: the arrays of the network by name, those of the optimizer, and the place."""

    setup: Setup
    arrays: dict[str, Array]
    updater: Updater
    place: Place = field(default_factory=Place)
    measures: Measures = field(default_factory=Measures)
    stopped: str = ""

    def stop(self, reason: str) -> None:
        """End the run behind the epoch under way, for a reason in words."""
        self.stopped = reason

    def kept(self) -> Mapping[str, Array]:
        """The arrays that a run is for: the moving averages of the parameters if they are wanted."""
        return self.updater.averaged(self.arrays)

    @property
    def epochs(self) -> list[Epoch]:
        """The epochs that have ended."""
        return [Epoch(i, row) for i, row in enumerate(self.place.history, start=1)]

    def restore(self, found: Checkpoint) -> None:
        """Go to the place of a checkpoint. Raises E0602 to E0604 for one of another network or recipe."""
        for name, array in bind(self.setup.network.params, found.weights).items():
            self.arrays[name][...] = array
        self.updater.restore(found.state)
        self.place = found.place
        self.measures = Measures.of(found.place.sums)

    def lr_factor(self, update: int) -> float:
        """The factor of the learning rate for an update, the first of which is 0."""
        setup = self.setup
        if not setup.recipe.schedule:
            return 1.0
        at = Moment(update, setup.updates_per_epoch, setup.recipe.epochs, self.epochs)
        return math.prod(schedule.factor(at) for schedule in setup.recipe.schedule)

    def update(self, group: Sequence[Pair]) -> float:
        """Make one update from the batches of a group, as if they were one. Returns its loss. Raises E0903
        where the loss is not finite; the parameters are then as they were."""
        samples = sum(len(batch.x) for batch in group)
        gradients: dict[str, Array] = {}
        loss = 0.0
        with np.errstate(all="ignore"):  # what is not finite shows in the loss
            for batch in group:
                number = self.place.epoch * len(self.setup.batches) + self.place.batch
                share = len(batch.x) / samples
                loss += share * self._learn(batch, number, share, gradients)
                self.place.batch += 1
            factor = self.lr_factor(self.place.updates)
            self.place.updates += 1
            self.updater.apply(self.arrays, gradients, factor, self.place.updates)
        return loss

    def _learn(self, batch: Pair, number: int, share: float, gradients: dict[str, Array]) -> float:
        """Add the gradients of a batch, a share of its group, to `gradients`. Returns its loss."""
        seed = self.setup.recipe.seed
        inputs = {self.setup.input: batch.x.astype(self.setup.dtype, copy=False)}
        total = 0.0

        def draws(name: str) -> Generator:
            return generator(seed, name, number)

        def back(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
            nonlocal total
            total, of_outputs = add_losses(self.measures, self.setup.losses, outputs, batch.y)
            if not math.isfinite(total):
                self._refuse(inputs, draws, total)
            return self._weighted(of_outputs, share)

        learned = self.setup.learner.learn(self.arrays, inputs, draws, back)
        for name, gradient in learned.gradients.items():
            if name in gradients:
                gradients[name] += gradient
            else:  # the learner may use the array again for the next batch
                gradients[name] = gradient if share == 1 else gradient.copy()
        for name, array in learned.buffers.items():
            self.arrays[name][...] = array
        return total

    def _weighted(self, gradients: Sequence[Array], share: float) -> dict[str, Array]:
        """Gradients of the losses of outputs by the values that they are of, each by its factor, and by the
        batch's share of its group where the loss is a mean."""
        found: dict[str, Array] = {}
        for part, gradient in zip(self.setup.losses.values(), gradients, strict=True):
            factor = part.factor * (share if part.loss.is_mean else 1.0)
            if factor != 1:
                gradient = gradient * gradient.dtype.type(factor)
            found[part.value] = found[part.value] + gradient if part.value in found else gradient
        return found

    def _refuse(self, inputs: Mapping[str, Array], draws: Callable[[str], Generator], loss: float) -> None:
        where = first_not_finite(self.setup.plan, self.arrays, inputs, draws)
        place = f"update {self.place.updates + 1}, epoch {self.place.epoch + 1}"
        help = "a smaller learning rate, a warm-up, or clipped gradients (`clip: {norm: 1}`)"
        fail("E0903", f"the loss is {loss} in {place}: {where}", help=help)

    def end_epoch(self, further: Mapping[str, float]) -> dict[str, float]:
        """Close the epoch under way with its figures and `further` ones. Returns them."""
        place = self.place
        lr = self.setup.optimizer.lr * self.lr_factor(place.updates - 1)
        row = {"epoch": place.epoch + 1, "lr": lr, **self.measures.figures(), **further}
        place.history.append(row)
        place.epoch += 1
        place.batch = 0
        self.measures = Measures()
        if self._is_best(row):
            place.best = place.epoch
        return row

    def _is_best(self, row: Mapping[str, float]) -> bool:
        if not self.place.best:
            return True
        best = self.place.history[self.place.best - 1]
        name = monitored(row)
        return row[name] > best[name] if FIGURES[name].is_share else row[name] < best[name]


def monitored(row: Mapping[str, float]) -> str:
    """The figure that tells which epoch is the best: the accuracy if there is one, else the loss, on what was
    held back if something was."""
    names = ("val_accuracy", "val_loss", "accuracy", "loss")
    return next(name for name in names if name in row)


def first_not_finite(
    plan: TrainingPlan,
    params: Mapping[str, Array],
    inputs: Mapping[str, Array],
    draws: Callable[[str], Generator],
) -> str:
    """The first array on the way to the loss that holds an infinity or NaN, in words."""
    for name, x in inputs.items():
        if not np.isfinite(x).all():
            return f"the input `{name}` holds numbers that are not finite"
    for name, array in params.items():
        if not np.isfinite(array).all():
            return f"`{name}` is not finite since the update before"
    passed = ForwardPass(plan, params, dict(inputs))
    for step in plan.forward:
        passed.step(step, draws)
        if not np.isfinite(passed.values[step.node.name]).all():
            return f"the output of `{step.node.name}`, a {step.node.op.kind}, is the first that is not finite"
    return "every layer's output is finite, the loss itself is not"
