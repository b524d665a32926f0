"""Running a plan step by step in Python, for backends whose kernels compute when they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan.contract import Plan

__all__ = ["Interpreter"]


@dataclass(frozen=True, slots=True, eq=False)
class Interpreter:
    """Keeps no state between calls, so that threads can share it. `settle` waits for a value to be there,
    where values are lazy."""

    plan: Plan
    params: tuple[Mapping[str, Any], ...]
    settle: Callable[[Any], object] | None = None

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._run(inputs, lambda name, value: None)

    def watched(self, inputs: Mapping[str, Array], done: Callable[[str], None]) -> dict[str, Array]:
        def settled(name: str, value: Any) -> None:
            if self.settle is not None and value is not None:
                self.settle(value)
            done(name)

        outputs = self._run(inputs, settled)
        done("")
        return outputs

    def _run(self, inputs: Mapping[str, Array], done: Callable[[str, Any], None]) -> dict[str, Array]:
        plan, backend = self.plan, self.plan.backend
        values = {name: backend.enter(array, plan.dtype) for name, array in inputs.items()}
        done("", None)
        for step, params in zip(plan.steps, self.params, strict=True):
            given = (values[v] for v in step.inputs)
            values[step.output] = step.kernel.run(params, *given, **step.epilogue())
            done(step.output, values[step.output])
            for name in step.frees:
                del values[name]
        # Ops such as `flatten` return views; what a caller then writes must not reach its input.
        left = {name: backend.leave(values[name]) for name in plan.wanted}
        return {
            name: a.copy() if any(np.may_share_memory(a, x) for x in inputs.values()) else a
            for name, a in left.items()
        }
