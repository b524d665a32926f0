"""The time of a call, step by step: each step of a plan alone, beside the least time that the machine
needs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from archforge.bench.roofline import Bound, Work, bound, measured_limits, work_of
from archforge.plan import Executable, Limits, Watcher

__all__ = ["Profile", "StepTime", "elapsed_by_step", "profile"]


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step of a plan, and how long it takes alone.

    `name` is its layer's, as in a weights file, `value` the name of its result. `ops` are the kinds of its
    own op and of those that are fused into it. `elapsed_s` is 0 where nothing had to be done: a view, or a
    concatenation whose parts lie in place.
    """

    name: str
    value: str
    ops: tuple[str, ...]
    output: tuple[int, ...]
    work: Work
    elapsed_s: float
    is_fallback: bool

    @property
    def flops_per_s(self) -> float | None:
        return self.work.flops / self.elapsed_s if self.work.macs and self.elapsed_s else None

    def bound(self, limits: Limits | None) -> Bound | None:
        """The least time that the machine needs for the step; None if the machine's limits are not known."""
        return bound(self.work, limits) if limits else None


@dataclass(frozen=True, slots=True)
class Profile:
    """The steps in the order of the plan; all times are medians.

    `around_s` goes into taking in the inputs and giving out the outputs. `call_s` is a whole call, which does
    not stop after each step.
    """

    steps: tuple[StepTime, ...]
    around_s: float
    call_s: float
    limits: Limits | None

    @property
    def elapsed_s(self) -> float:
        """The sum of all steps, each alone, and of `around_s`."""
        return sum(step.elapsed_s for step in self.steps) + self.around_s

    @property
    def work(self) -> Work:
        return sum((step.work for step in self.steps), Work(0, 0, 0))

    def to_json(self) -> dict[str, Any]:
        return {
            "call_s": self.call_s,
            "elapsed_s": self.elapsed_s,
            "around_s": self.around_s,
            "macs": self.work.macs,
            "limits": asdict(self.limits) if self.limits else None,
            "steps": [self._step_json(step) for step in self.steps],
        }

    def _step_json(self, step: StepTime) -> dict[str, Any]:
        least = step.bound(self.limits)
        return {
            "name": step.name,
            "value": step.value,
            "ops": step.ops,
            "output": step.output,
            "macs": step.work.macs,
            "weight_bytes": step.work.weight_bytes,
            "value_bytes": step.work.value_bytes,
            "elapsed_s": step.elapsed_s,
            "bound_s": least.s if least else None,
            "bound_by": least.by if least else None,
            "fallback": step.is_fallback,
        }


def profile(
    executable: Executable,
    inputs: Mapping[str, Any],
    *,
    threads: int,
    rounds: int,
    say: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Measure `rounds` calls that stop after each step, and as many whole ones, in turn."""
    batch = len(next(iter(inputs.values())))
    say("calling it for the first time")
    executable.run(inputs)
    pieces: list[Elapsed] = []
    calls: list[float] = []
    for round_ in range(rounds):
        say(f"round {round_ + 1} of {rounds}")
        pieces.append(elapsed_by_step(executable, inputs))
        begin = time.perf_counter()
        executable.run(inputs)
        calls.append(time.perf_counter() - begin)
    say("measuring the limits of the machine")
    plan = executable.plan
    steps = tuple(
        StepTime(
            step.layer,
            step.output,
            tuple(node.op.kind for node in (step.node, *step.then)),
            plan.types[step.output].shape,
            work,
            statistics.median(piece.by_step.get(step.output, 0.0) for piece in pieces),
            step.is_fallback,
        )
        for step, work in zip(plan.steps, work_of(plan, batch), strict=True)
    )
    around_s = statistics.median(piece.around_s for piece in pieces)
    return Profile(steps, around_s, statistics.median(calls), measured_limits(threads))


class Elapsed(Watcher):
    """Seconds of one watched call: of each step, by the value that it makes, and around the steps."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.by_step: dict[str, float] = {}
        self.around_s = 0.0
        self._clock = clock
        self._last = clock()

    def took_inputs(self) -> None:
        self.around_s += self._lap()

    def made(self, value: str) -> None:
        self.by_step[value] = self.by_step.get(value, 0.0) + self._lap()
        # What it takes to write that down is no part of the next step.
        self._last = self._clock()

    def gave_outputs(self) -> None:
        self.around_s += self._lap()

    def _lap(self) -> float:
        """Seconds since the lap before."""
        begin, self._last = self._last, self._clock()
        return self._last - begin


def elapsed_by_step(
    executable: Executable, inputs: Mapping[str, Any], clock: Callable[[], float] = time.perf_counter
) -> Elapsed:
    """Run once, and measure the seconds of each step."""
    elapsed = Elapsed(clock)
    executable.program.watched(inputs, elapsed)
    return elapsed
