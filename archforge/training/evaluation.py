"""A network at inference on samples, with arrays that change between one evaluation and the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from archforge.analysis.network import Network
from archforge.data.stored_arrays import LazyArrays
from archforge.datasets.base import Pair
from archforge.ops.base import Array
from archforge.plan import Backend, Executable, GraphCompiler, Plan, load
from archforge.recipe.base import Loss
from archforge.training.measures import Measures
from archforge.training.setup import OutputLoss, add_losses, input_of, main_loss

__all__ = ["Evaluator"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluator:
    """A plan of a network that gives its outputs and the values that its losses read."""

    network: Network
    losses: Mapping[str, OutputLoss]
    plan: Plan

    @classmethod
    def of(
        cls, network: Network, losses: Mapping[str, OutputLoss], backend: Backend, dtype: str
    ) -> Evaluator:
        """An evaluator on a backend."""
        outputs = network.graph.outputs
        taps = {part.value for name, part in losses.items() if part.value != outputs[name]}
        return cls(
            network, losses, GraphCompiler(backend, dtype, taps=tuple(sorted(taps))).plan(network.graph)
        )

    @property
    def main_loss(self) -> Loss:
        """The loss of the main output."""
        return main_loss(self.losses).loss

    def loaded(self, arrays: LazyArrays) -> Executable:
        """The network with these arrays, which may not change while it is used."""
        return load(self.plan, arrays)

    def values(self, executable: Executable, x: Array) -> dict[str, Array]:
        """The outputs for a batch and the values that losses read, by their names in the graph."""
        outputs, taps = executable.run({input_of(self.network)[0]: x})
        return {self.network.graph.outputs[name]: array for name, array in outputs.items()} | taps

    def measures(self, arrays: LazyArrays, batches: Iterable[Pair]) -> Measures:
        """The figures of samples."""
        measures = Measures()
        for _ in self.measured(arrays, batches, measures):
            pass
        return measures

    def measured(
        self, arrays: LazyArrays, batches: Iterable[Pair], measures: Measures
    ) -> Iterator[tuple[Pair, Array]]:
        """Each batch with its prediction, the value that the main loss reads; figures go to `measures`."""
        executable = self.loaded(arrays)
        for batch in batches:
            values = self.values(executable, batch.x)
            add_losses(measures, self.losses, values, batch.y)
            yield batch, values[main_loss(self.losses).value]
