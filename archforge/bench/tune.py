"""Tuning: for each op that several kernels can compute, the fastest one in its network, by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from archforge import driver
from archforge.analysis.network import Network
from archforge.bench.profile import elapsed_by_step
from archforge.plan import Executable, Plan, Tunable

__all__ = ["Tuning", "UseTime", "tune"]

WORTH = 0.97  # of the cost model's time, at most: less is noise
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class UseTime:
    """Seconds of each kernel for one use of an op, summed over all steps that have this use.

    The kernel that the cost model takes is the first.
    """

    use: str
    layers: tuple[str, ...]
    elapsed_s: Mapping[str, float]

    @property
    def default(self) -> str:
        return next(iter(self.elapsed_s))

    @property
    def best(self) -> str:
        """The fastest kernel, or the cost model's if that is hardly slower."""
        fastest = min(self.elapsed_s, key=lambda name: self.elapsed_s[name])
        return fastest if self.elapsed_s[fastest] < WORTH * self.elapsed_s[self.default] else self.default


@dataclass(frozen=True, slots=True)
class Tuning:
    """The result of tuning: the times of each use, and seconds of a whole call with the cost model's kernels
    and with the best ones."""

    uses: tuple[UseTime, ...]
    default_s: float
    best_s: float

    @property
    def choices(self) -> dict[str, str]:
        """The best kernels, if a whole call is faster with them; else the cost model's."""
        gains = self.best_s < self.default_s
        return {use.use: use.best if gains else use.default for use in self.uses}

    @property
    def changed(self) -> tuple[UseTime, ...]:
        """The uses whose choice is not the cost model's."""
        return tuple(use for use in self.uses if self.choices[use.use] != use.default)


def tune(
    network: Network,
    backend: Tunable,
    inputs: Mapping[str, Any],
    *,
    rounds: int,
    clock: Clock = time.perf_counter,
    say: Callable[[str], None] = lambda text: None,
) -> Tuning:
    """Take the least time of each step over `rounds` calls, with each of its kernels. Nothing is stored.

    All are timed in the whole network, where the caches are as they will be.
    """

    def compiled(choices: Mapping[str, str]) -> Executable:
        return driver.compile(network, backend=backend.choosing(choices))

    default = compiled({})
    uses = {use: steps for use, steps in _uses(default.plan, backend).items() if len(steps.kernels) > 1}
    elapsed: dict[str, dict[str, float]] = {use: {} for use in uses}
    variants = max((len(steps.kernels) for steps in uses.values()), default=0)
    # There and back, so that a machine that warms up, or is disturbed for a while, favours none.
    turns = (*range(variants), *reversed(range(variants)))
    for turn, index in enumerate(turns, start=1):
        say(f"timing kernels, {turn} of {len(turns)}")
        choices = {use: s.kernels[index] for use, s in uses.items() if index < len(s.kernels)}
        least = _least_by_step(compiled(choices) if index else default, inputs, rounds, clock)
        for use, kernel in choices.items():
            seconds = sum(least.get(value, 0.0) for value in uses[use].values)
            elapsed[use][kernel] = min(seconds, elapsed[use].get(kernel, seconds))
    times = tuple(UseTime(use, tuple(uses[use].layers), seconds) for use, seconds in elapsed.items())
    say("timing whole calls")
    best = compiled({time.use: time.best for time in times})
    return Tuning(times, *_least_of_calls((default, best), inputs, rounds, clock))


class _Uses(NamedTuple):
    """The steps with one use: their layers as parameters name them, the values that they make, and the
    kernels that can make them, the cost model's first."""

    layers: list[str]
    values: list[str]
    kernels: tuple[str, ...]


def _uses(plan: Plan, backend: Tunable) -> dict[str, _Uses]:
    """The steps of the plan that run on kernels of the backend, by their use."""
    found: dict[str, _Uses] = {}
    for step in plan.steps:
        op, types = step.node.op, tuple(plan.types[value] for value in step.node.inputs)
        if not step.is_fallback:
            kernels = backend.alternatives(op, *types)
            use = found.setdefault(backend.use_of(op, *types), _Uses([], [], kernels))
            use.layers.append(step.layer)
            use.values.append(step.output)
    return found


def _least_by_step(run: Executable, inputs: Mapping[str, Any], rounds: int, clock: Clock) -> dict[str, float]:
    """Seconds by the value that a step makes, the least of each; the first call is not counted."""
    run.run(inputs)
    times = [elapsed_by_step(run, inputs, clock).by_step for _ in range(rounds)]
    return {value: min(elapsed[value] for elapsed in times) for value in times[0]}


def _least_of_calls(
    runs: tuple[Executable, Executable], inputs: Mapping[str, Any], rounds: int, clock: Clock
) -> tuple[float, float]:
    """Seconds of a whole call of each, in turn, the least; the first ones are not counted."""
    for run in runs:
        run.run(inputs)
    pairs = [tuple(_elapsed(run, inputs, clock) for run in runs) for _ in range(rounds)]
    first, second = (min(elapsed) for elapsed in zip(*pairs, strict=True))
    return first, second


def _elapsed(run: Executable, inputs: Mapping[str, Any], clock: Clock) -> float:
    begin = clock()
    run.run(inputs)
    return clock() - begin
