"""A trained network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from archforge.analysis.network import Network
from archforge.data.arrays import write_arrays
from archforge.datasets.arrays import ArraySamples, Rows, input_rows
from archforge.datasets.batches import Batches
from archforge.datasets.fit import fitted
from archforge.datasets.given import given_data
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan import Executable
from archforge.recipe.loss_input import probabilities_of
from archforge.training.evaluation import Evaluator
from archforge.training.history import Row
from archforge.training.run import TrainingRun
from archforge.training.setup import batches_of, examined

__all__ = ["Trained"]

BATCH = 256  # samples that are predicted together


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
        outputs = [self._prediction(batch) for batch in self._inputs(x)]
        found: Array = np.concatenate(outputs)
        if not argmax:
            return found
        axis = getattr(next(iter(self.run.setup.losses.values())).loss, "axis", 0)
        classes: Array = found.argmax(axis % (found.ndim - 1) + 1)
        return classes

    def evaluate(self, data: Any) -> dict[str, float]:
        """The figures of other samples by name, `loss` and, of classes, `accuracy`. data: as for `train`."""
        recipe = self.run.setup.recipe
        (shape,) = (type_.shape for type_ in self.network.graph.inputs.values())
        found = given_data(data, shape, recipe.data.format)
        examined(self.network, found, self.run.setup.losses)
        batches = batches_of(self.network, recipe, found.held_back or found.train, training=False)
        return self.evaluator.measures(self.weights, batches.epoch()).figures()

    def save(self, path: str | Path) -> None:
        """Write the weights under the profile's names as .safetensors or .npz. Raises E0705."""
        write_arrays(path, self.weights)

    def _inputs(self, x: Any) -> Iterator[Array]:
        """Inputs in batches as the network takes them."""
        rows = input_rows(np.asarray(x), "the input", None)
        none = Rows.of(np.zeros(len(rows), np.int64), "no targets")
        samples = ArraySamples("the input", rows, none)
        (shape,) = (type_.shape for type_ in self.network.graph.inputs.values())
        way = fitted(samples, shape, self.run.setup.recipe.data, self.network.preprocessing, training=False)
        for batch in Batches(samples, way, BATCH).epoch():
            yield batch.x

    def _prediction(self, x: Array) -> Array:
        """The main output for a batch, as probabilities where it stands for some."""
        output, part = next(iter(self.run.setup.losses.items()))
        results = self.executable.run({next(iter(self.network.graph.inputs)): x})
        return probabilities_of(self.network.graph, output, part.loss)(results.outputs[output])
