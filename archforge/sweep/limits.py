"""Limits of a job, on its time and on the memory of its process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from archforge.errors import fail
from archforge.hardware import data_bytes, short_bytes
from archforge.training.loop import Callback
from archforge.training.run import TrainingRun

__all__ = ["JobLimitError", "TimeLimit", "memory_limited", "require_memory_limit"]


LEAST = 64 << 20  # bytes for a job: without room for a thread, Python waits for one for ever


class JobLimitError(Exception):
    """A limit that a job has exceeded, in words."""


class TimeLimit(Callback):
    """A listener to a run that ends it behind the update that is over its time. seconds: since `started`;
    None for no limit."""

    def __init__(self, seconds: float | None, started: float) -> None:
        self.seconds, self.started = seconds, started

    def check(self) -> None:
        """Raises JobLimitError where the time is over."""
        if self.seconds is not None and perf_counter() - self.started > self.seconds:
            raise JobLimitError(f"out of time: the limit is {self.seconds:g} s")

    def on_start(self, run: TrainingRun) -> None:
        self.check()

    def on_update(self, run: TrainingRun, loss: float) -> None:
        self.check()

    def on_epoch(self, run: TrainingRun, figures: Mapping[str, float]) -> None:
        if run.place.epoch < run.setup.recipe.epochs:
            self.check()


def require_memory_limit() -> None:
    """Raises E0001 where the system does not keep limits on the memory of a process."""
    if sys.platform != "linux":
        fail("E0001", "--memory-limit needs Linux, which keeps it", help="leave it out")


@contextmanager
def memory_limited(size: int | None) -> Iterator[None]:
    """A block in which this process gets no more than `size` bytes of data, None for no limit: what asks for
    more raises MemoryError. Raises JobLimitError where there is no room beside what the process has."""
    if size is None or sys.platform == "win32":
        yield
        return
    import resource

    has = data_bytes()
    if has + LEAST > size:
        words = f"the process has {short_bytes(has)} by itself, the limit is {short_bytes(size)}"
        raise JobLimitError(f"out of memory: {words}")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [size, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
