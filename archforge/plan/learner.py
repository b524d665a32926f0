"""The contract of backends that train, and the learner that every op file's own gradient gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from archforge.ir import Array
from archforge.plan.backward import TrainingPlan
from archforge.plan.contract import Backend

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Completed", "Learned", "Learner", "Learning", "OutputGradients", "ReferenceLearner"]

# The gradients of the loss with respect to the outputs, by their names in the graph.
OutputGradients = Callable[[Mapping[str, Array]], Mapping[str, Array]]
# What is told of the gradient of a parameter, by its full name, as soon as it is complete.
Completed = Callable[[str, Array], None]


class Learned(NamedTuple):
    """Gradients of the trained parameters, and new contents of buffers, by their full names: arrays of the
    shapes that the parameters have, which the caller may overwrite and which the next batch may reuse."""

    gradients: Mapping[str, Array]
    buffers: Mapping[str, Array]


class Learner(Protocol):
    """A training plan on a backend. fallbacks: kinds of ops that run on the kernels and gradients
    of their own files, for want of the backend's."""

    @property
    def fallbacks(self) -> tuple[str, ...]: ...

    def learn(
        self,
        params: Mapping[str, Array],
        inputs: Mapping[str, Array],
        draws: Callable[[str], Generator],
        loss: OutputGradients,
        complete: Completed | None = None,
    ) -> Learned:
        """One batch forward and back. params: every array by its full name, each the same array at each call,
        changed in place between them. draws: the random numbers of a node, by its name, from their beginning
        at each call. `loss` is called once with the outputs. `complete` is called with each gradient that
        will be returned, in the order of `TrainingPlan.reached_from`: while the way back goes on, or at its
        end where they come together."""
        ...


@runtime_checkable
class Learning(Backend, Protocol):
    """A backend that trains. recomputes: its learners let go of what the plan makes again."""

    @property
    def recomputes(self) -> bool: ...

    def learner(self, plan: TrainingPlan, dtype: str) -> Learner:
        """A learner of the plan for values in `dtype`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceLearner:
    """A plan on the op files' own kernels and gradients in NumPy."""

    plan: TrainingPlan
    fallbacks: tuple[str, ...] = ()

    def learn(
        self,
        params: Mapping[str, Array],
        inputs: Mapping[str, Array],
        draws: Callable[[str], Generator],
        loss: OutputGradients,
        complete: Completed | None = None,
    ) -> Learned:
        passed = self.plan.run(params, inputs, draws)
        return Learned(passed.back(loss(passed.outputs), complete), passed.buffers)
