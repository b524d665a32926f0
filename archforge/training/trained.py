"""A trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from archforge.analysis.network import Network
from archforge.data.arrays import write_arrays
from archforge.data.class_names import class_texts
from archforge.datasets.arrays import ArraySamples, Rows, input_rows
from archforge.datasets.batches import Batches
from archforge.datasets.given import given_data
from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan import Executable
from archforge.recipe.loss_input import probabilities_of
from archforge.training.evaluation import Evaluator
from archforge.training.history import Row
from archforge.training.run import TrainingRun
from archforge.training.setup import batches_of, examined, input_of, main_loss

__all__ = ["Trained"]


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """The result of training. history: the figures of each epoch by name. reason: why it ended, in words."""

    run: TrainingRun
    evaluator: Evaluator
    history: Sequence[Row]
    reason: str

    def __repr__(self) -> str:
        epochs = f"{len(self.history)} epoch{'s' * (len(self.history) != 1)}"
        return f"<{self.network.name} after {epochs}: {self.reason}>"

    @property
    def network(self) -> Network:
        """The network that was trained."""
        return self.run.setup.network

    @property
    def weights(self) -> Mapping[str, Array]:
        """Every array of the network by name, with the moving averages where the recipe wants them."""
        return self.run.kept()

    @property
    def best(self) -> Row:
        """The figures of the epoch with the greatest accuracy, or the least loss where there is none, on what
        was held back if something was."""
        return self.history[self.run.place.best - 1]

    @cached_property
    def executable(self) -> Executable:
        """The network at inference."""
        return self.evaluator.loaded(self.weights)

    def predict(self, x: Any, *, argmax: bool = False) -> Array:
        """Predictions for inputs such as were trained on: arrays of N of them, pixels or values.

        The output of the network, float[N, *shape], as probabilities where it stands for some. argmax: the
        numbers of the classes instead, int64[N, ...].
        """
        predict = self._classes if argmax else self._probabilities
        executable, batches = self.executable, self._batches(x)
        found = [predict(self.evaluator.values(executable, batch.x)) for batch in batches.epoch()]
        predictions: Array = np.concatenate(found)
        return predictions

    def evaluate(self, data: Any) -> dict[str, float]:
        """The figures of other samples by name, `loss` and, of classes, `accuracy`. data: as for `train`."""
        recipe = self.run.setup.recipe
        _, shape = input_of(self.network)
        found = given_data(data, shape, recipe.data.format)
        examined(self.network, found, self.run.setup.losses)
        batches = batches_of(self.network, recipe, found.held_back or found.train, training=False)
        return self.evaluator.measures(self.weights, batches.epoch()).figures()

    def save(self, path: str | Path) -> None:
        """Write the weights under the profile's names as .safetensors, with the names of the classes, or as
        .npz. Raises E0705."""
        write_arrays(path, self.weights, class_texts(self.run.setup.classes))

    def _batches(self, x: Any) -> Batches:
        """Inputs in batches as the network takes them."""
        rows = input_rows(np.asarray(x), "the input", None)
        none = Rows.of(np.zeros(len(rows), np.int64), "no targets")
        samples = ArraySamples("the input", rows, none)
        return batches_of(self.network, self.run.setup.recipe, samples, training=False)

    def _probabilities(self, values: Mapping[str, Array]) -> Array:
        """The main output of a batch, as probabilities where it stands for some."""
        graph, (output, part) = self.network.graph, next(iter(self.run.setup.losses.items()))
        return probabilities_of(graph, output, part.loss)(values[graph.outputs[output]])

    def _classes(self, values: Mapping[str, Array]) -> Array:
        """The classes of a batch: the greatest of several numbers, or the side on which a single one lies.
        Raises E0607 for a single number of a loss that decides between no classes."""
        part = main_loss(self.run.setup.losses)
        prediction = values[part.value]
        axis = getattr(part.loss, "axis", 0) % (prediction.ndim - 1) + 1
        if prediction.shape[axis] > 1:
            greatest: Array = prediction.argmax(axis)
            return greatest
        sides = part.loss.classes(prediction, np.zeros_like(prediction))
        if sides is None:
            fail("E0607", f"`{part.loss.word}` of one number decides between no classes", help="argmax=False")
        return sides.predicted.squeeze(axis)
