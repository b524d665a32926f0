"""The state of a training run, and what one update and one epoch do to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archforge.datasets.base import Pair
from archforge.draws import BatchShare, generator, shared_generator
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
from archforge.training.sums import OneProcess, Sums
from archforge.weights.bind import bind

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["TrainingRun"]


@dataclass(slots=True, eq=False)
class TrainingRun:
    """The state of a run: the arrays of the network by name, those of the optimizer, and the place.

    is_ending: a signal to end was heard of with the last update, by every rank of the run.
    """

    setup: Setup
    arrays: dict[str, Array]
    updater: Updater
    sums: Sums = field(default_factory=OneProcess)
    place: Place = field(default_factory=Place)
    measures: Measures = field(default_factory=Measures)
    stopped: str = ""
    is_ending: bool = False

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

    def update(self, group: Sequence[Pair], ending: Callable[[], bool] = lambda: False) -> float:
        """Make one update from the batches of a group, as if they were one. Returns its loss. ending: whether
        a signal to end has come. Raises E0903 where the loss is not finite; the parameters are then as they
        were."""
        place, part = self.place, Measures()
        shares = [self.setup.batches.share(place.batch + i) for i in range(len(group))]
        samples = sum(share.batch for share in shares)
        self.sums.begin(len(group), ending)
        with np.errstate(all="ignore"):  # what is not finite shows in the loss
            for batch, share in zip(group, shares, strict=True):
                self._learn(batch, share, share.batch / samples, part)
                place.batch += 1
            own = sum(share.samples for share in shares) / samples
            found = self.sums.finish(part, self.buffers, own)
            factor = self.lr_factor(place.updates)
            place.updates += 1
            self.updater.apply(self.arrays, found.gradients, factor, place.updates)
        self.is_ending = found.ending
        self.measures.add_sums(found.sums, part)
        return found.sums["loss"] / samples

    @property
    def buffers(self) -> dict[str, Array]:
        """The arrays of the network that are not trained, but follow its batches."""
        decls = self.setup.network.params
        return {name: array for name, array in self.arrays.items() if decls[name].role == "buffer"}

    def _learn(self, batch: Pair, share: BatchShare, of_group: float, part: Measures) -> None:
        """Learn from this process's share of a batch, a part of its group; figures go to `part`."""
        seed, number = self.setup.recipe.seed, self.place.epoch * len(self.setup.batches) + self.place.batch
        inputs = {self.setup.input: batch.x.astype(self.setup.dtype, copy=False)}

        def draws(name: str) -> Generator:
            drawn = generator(seed, name, number)
            return drawn if share.is_whole else shared_generator(drawn, share)

        def back(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
            parts = self.setup.parts_of_means(share, outputs, batch.y)
            loss, of_outputs = add_losses(part, self.setup.losses, outputs, batch.y, parts, share.batch)
            if not math.isfinite(loss):
                self._refuse(inputs, draws, loss)
            self.sums.measured(part)
            return self._weighted(of_outputs, [of_group * mean for mean in parts])

        learned = self.setup.learner.learn(self.arrays, inputs, draws, back, self.sums.complete)
        self.sums.add(learned.gradients)
        for name, array in learned.buffers.items():
            self.arrays[name][...] = array

    def _weighted(self, gradients: Sequence[Array], parts: Sequence[float]) -> dict[str, Array]:
        """Gradients of the losses of outputs by the values that they are of, each by its factor, and where
        the loss is a mean by the part of it that these samples are."""
        found: dict[str, Array] = {}
        for part, gradient, of_mean in zip(self.setup.losses.values(), gradients, parts, strict=True):
            factor = part.factor * (of_mean if part.loss.is_mean else 1.0)
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
    passed = ForwardPass(plan, params, dict(inputs), draws)
    for step in plan.forward:
        passed.step(step)
        if not np.isfinite(passed.values[step.node.name]).all():
            return f"the output of `{step.node.name}`, a {step.node.op.kind}, is the first that is not finite"
    return "every layer's output is finite, the loss itself is not"
