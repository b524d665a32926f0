"""The roofline: the least time of a plan, by what it has to compute and to move, and by the machine's limits.

The limit on arithmetic counts direct convolutions: Winograd's do with fewer multiplications, and may go
beyond it. That on memory lets every weight be read once and every value between steps be written once and
read once by each step that needs it; caches that hold some of them may go beyond it. Source of the model:
doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from archforge import backends
from archforge.ir import TensorType
from archforge.plan import Limits, Plan, Step

__all__ = ["Bound", "Work", "bound", "greater_limits", "measured_limits", "work_of"]

FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Work:
    """Multiply-accumulates, bytes of weights and bytes of values, of one step or of several."""

    macs: int
    weight_bytes: int
    value_bytes: int

    def __add__(self, other: Work) -> Work:
        return Work(
            self.macs + other.macs,
            self.weight_bytes + other.weight_bytes,
            self.value_bytes + other.value_bytes,
        )

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.value_bytes


@dataclass(frozen=True, slots=True)
class Bound:
    """The least seconds that each limit allows."""

    compute_s: float
    memory_s: float

    @property
    def s(self) -> float:
        """The seconds that both limits allow."""
        return max(self.compute_s, self.memory_s)

    @property
    def by(self) -> str:
        """The limit that binds: `compute` or `memory`."""
        return "compute" if self.compute_s >= self.memory_s else "memory"


def work_of(plan: Plan, batch: int) -> list[Work]:
    """The work of each step for so many images, in float32."""
    return [_work(step, plan.types, batch) for step in plan.steps]


def bound(work: Work, limits: Limits) -> Bound:
    """The least time that some work takes, if all threads do it."""
    return Bound(work.flops / limits.all_flops, work.bytes / limits.read_bytes)


def measured_limits(threads: int) -> Limits | None:
    """Measure the peak rates of this machine, with code that a backend compiles; None if none here does."""
    able = backends.compiling()
    return able[0].limits(threads) if able else None


def greater_limits(before: Limits | None, after: Limits | None) -> Limits | None:
    """The greater of both measurements of each rate, since a slow moment of the machine is no limit."""
    if before is None or after is None:
        return None
    return Limits(
        before.threads,
        max(before.one_flops, after.one_flops),
        max(before.all_flops, after.all_flops),
        max(before.read_bytes, after.read_bytes),
    )


def _work(step: Step, types: Mapping[str, TensorType], batch: int) -> Work:
    values = [types[v] for v in (*step.inputs, step.output)]
    return Work(
        macs=batch * step.node.op.macs(*(types[v] for v in step.node.inputs)),
        weight_bytes=FLOAT * sum(decl.size for decl in step.params.values()),
        value_bytes=FLOAT * batch * sum(math.prod(t.shape) for t in values),
    )
