"""Engines: libraries that have jobs done, in processes of this machine or of many."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from math import inf
from typing import NamedTuple, Protocol

from archforge.errors import fail
from archforge.hardware import threads
from archforge.sweeps.job import Job, JobRecord, TrainingSettings, failed

__all__ = [
    "ENGINES",
    "LOOK_S",
    "MOST_DEATHS",
    "Pool",
    "Records",
    "SweepEngine",
    "Work",
    "ended_late",
    "ended_with_its_process",
    "engine_for",
    "engine_of",
]

ENGINES = ("processes", "dask")
MOST_DEATHS = 3  # of processes that had a job, before it is recorded as the reason
LOOK_S = 1.0  # between two looks at the clock
GRACE_S = 60.0  # beyond its limit, for an update that is under way, which may have code made first
Work = Callable[[Job], JobRecord]
Records = Generator[tuple[Job, JobRecord], None, None]


class Pool(NamedTuple):
    """The workers that are wanted: their number, and the address of a scheduler that has some, else empty.
    time_limit_s: seconds in which a job ends by itself; None for any."""

    workers: int
    scheduler: str = ""
    time_limit_s: float | None = None

    @property
    def patience_s(self) -> float:
        """Seconds after which the process of a job is ended that has not ended by itself."""
        return inf if self.time_limit_s is None else self.time_limit_s + GRACE_S


class SweepEngine(Protocol):
    """A library that has jobs done."""

    def records(self, work: Work, jobs: Iterable[Job], pool: Pool) -> Records:
        """Have the work done for each job, and give each with its record as they come, in any order. A job
        whose process dies is done again, up to MOST_DEATHS times; the process of one that is not done in
        `pool.patience_s` is ended, and another begun. Workers end when this generator is closed, unless
        others have started them. Raises E0911 where there are no workers."""
        ...


def ended_late() -> JobRecord:
    """The record of a job whose process was ended, because it had lasted too long."""
    return failed(f"out of time: not ended {GRACE_S:g} s behind the limit")


def ended_with_its_process() -> JobRecord:
    """The record of a job that is given up, because its process has died each time."""
    return failed(f"the process that did it has died {MOST_DEATHS} times")


def engine_for(
    name: str | None, scheduler: str | None, workers: int | None, settings: TrainingSettings
) -> tuple[SweepEngine, Pool]:
    """The engine and the workers that a caller wants: by default processes, as many as cores fit. Raises
    E0001 for workers besides those of a scheduler, and what `engine_of` does."""
    if scheduler and (workers or name not in (None, "dask")):
        help = "leave it out: its workers are already there"
        fail("E0001", f"the scheduler {scheduler} is of dask, and has its own workers", help=help)
    engine = engine_of(name or ("dask" if scheduler else "processes"))
    number = workers or max(threads().number // settings.threads, 1)
    return engine, Pool(number, scheduler or "", settings.time_limit_s)


def engine_of(name: str) -> SweepEngine:
    """The engine of this name. Raises E0911 for one that does not exist, or whose package is missing."""
    if name not in ENGINES:
        fail("E0911", f"there is no engine `{name}` for sweeps", help=f"one of {', '.join(ENGINES)}")
    try:
        found: SweepEngine = import_module(f"{__package__}.{name}").ENGINE
    except ImportError as error:
        help = "install the extra: pip install 'archforge-zoo[dask]'"
        fail("E0911", f"the engine {name} cannot run here: {error}", help=help)
    return found
