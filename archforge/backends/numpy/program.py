"""Programs of plans in float32: each kernel writes its result where the plan's layout has its place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archforge.backends.numpy.call_memory import ArenaLayout, CallMemory
from archforge.ops.base import Array
from archforge.plan import Plan, Watcher

__all__ = ["NumpyProgram"]


class NumpyProgram:
    """A plan with its packed parameters. Threads may call it together: each call has memory of its own."""

    def __init__(self, plan: Plan, params: tuple[Mapping[str, Array], ...]) -> None:
        self._plan = plan
        self._params = params
        self._layout = ArenaLayout(plan)
        self._idle: list[CallMemory] = []

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self.watched(inputs, Watcher())

    def watched(self, inputs: Mapping[str, Array], watcher: Watcher) -> dict[str, Array]:
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = CallMemory()
        values = memory.values(self._layout, len(next(iter(inputs.values()))))
        for name, array in inputs.items():
            np.copyto(values[name], np.moveaxis(array, 1, -1), casting="same_kind")
        watcher.took_inputs()
        for step, params in zip(self._plan.steps, self._params, strict=True):
            given = (values[name] for name in step.inputs)
            step.run(params, *given, out=values[step.output], scratch=memory.scratch)
            watcher.made(step.output)
        left = {name: np.moveaxis(values[name], -1, 1).copy() for name in self._plan.wanted}
        watcher.gave_outputs()
        self._idle.append(memory)
        return left
