"""Sums over the batches of an update: gradients and figures, of one process or of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from archforge.ops.base import Array
from archforge.plan.learner import Completed
from archforge.training.measures import Measures

__all__ = ["OneProcess", "Summed", "Sums"]


class Summed(NamedTuple):
    """The gradients of an update, which may be overwritten, and its `Measures.sums`. ending: the run is to
    end behind it."""

    gradients: Mapping[str, Array]
    sums: Mapping[str, float]
    ending: bool


class Sums(Protocol):
    """The sums of one update after the other. For each: `begin`, for every batch `measured` and `add`, then
    `finish`."""

    @property
    def complete(self) -> Completed | None:
        """The function that a learner tells of gradients, if that is wanted."""
        ...

    def begin(self, batches: int, ending: Callable[[], bool]) -> None:
        """Begin an update of so many batches. ending: whether a signal to end has come."""
        ...

    def measured(self, part: Measures) -> None:
        """Called with what was measured since `begin` when the loss of a batch is known."""
        ...

    def add(self, gradients: Mapping[str, Array]) -> None:
        """Add the gradients of a batch, arrays that the next one may overwrite."""
        ...

    def finish(self, part: Measures, buffers: Mapping[str, Array], share: float) -> Summed:
        """The sums. buffers: those of the network behind the update, to which several processes, each with
        its share of the samples, give their mean."""
        ...


class OneProcess:
    """The sums of a run in one process."""

    complete: Completed | None = None

    def begin(self, batches: int, ending: Callable[[], bool]) -> None:
        self._batches, self._ending = batches, ending
        self._gradients: dict[str, Array] = {}

    def measured(self, part: Measures) -> None:
        """Nothing: `finish` gets it, too."""

    def add(self, gradients: Mapping[str, Array]) -> None:
        for name, gradient in gradients.items():
            if name in self._gradients:
                self._gradients[name] += gradient
            else:
                self._gradients[name] = gradient if self._batches == 1 else gradient.copy()

    def finish(self, part: Measures, buffers: Mapping[str, Array], share: float) -> Summed:
        return Summed(self._gradients, part.sums(), self._ending())
