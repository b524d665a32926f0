"""The simplest program: it calls the kernel of each step in turn, for kernels that compute when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archforge.ops.base import Array
from archforge.plan.contract import Plan, Watcher

__all__ = ["Interpreter"]


def _nothing(value: Any) -> None:
    """Wait for nothing: values that kernels return are computed already."""


@dataclass(frozen=True, slots=True, eq=False)
class Interpreter:
    """A program that keeps no state between calls, so that threads can share it. Where values are lazy,
    `settle` computes one; a watched call does so after each step."""

    plan: Plan
    params: tuple[Mapping[str, Any], ...]
    settle: Callable[[Any], object] = _nothing

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._run(inputs, _nothing, Watcher())

    def watched(self, inputs: Mapping[str, Array], watcher: Watcher) -> dict[str, Array]:
        return self._run(inputs, self.settle, watcher)

    def _run(
        self, inputs: Mapping[str, Array], settle: Callable[[Any], object], watcher: Watcher
    ) -> dict[str, Array]:
        plan, backend = self.plan, self.plan.backend
        values = {name: backend.enter(array, plan.dtype) for name, array in inputs.items()}
        for value in values.values():
            settle(value)
        watcher.took_inputs()
        for step, params in zip(plan.steps, self.params, strict=True):
            made = values[step.output] = step.run(params, *(values[v] for v in step.inputs))
            settle(made)
            watcher.made(step.output)
            for name in step.frees:
                del values[name]
        outputs = {name: backend.leave(values[name]) for name in plan.wanted}
        watcher.gave_outputs()
        return outputs
