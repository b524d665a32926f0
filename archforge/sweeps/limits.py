"""Limits of a job, on its time and on the memory of its process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from archforge.errors import DiagnosticError, fail, type_in_words
from archforge.hardware import data_bytes, lacks_memory, short_bytes, size_bytes
from archforge.python_values import require_text
from archforge.training.loop import Callback
from archforge.training.run import TrainingRun

__all__ = ["JobLimitError", "TimeLimit", "memory_limited", "memory_size", "time_limited"]


LEAST = 64 << 20  # bytes for a job: without room for a thread, Python waits for one for ever


class JobLimitError(Exception):
    """A lack of time or memory for a job, in words."""


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


def time_limited(name: str, seconds: Any) -> float | None:
    """Seconds that a caller gives for a job, None for any. Raises E0001."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        fail("E0001", f"{name} is a number of seconds, found {type_in_words(seconds)}")
    if not seconds > 0:  # NaN is neither
        fail("E0001", f"{name} {seconds:g} is no time", help="more than 0 seconds")
    return seconds


def memory_size(name: str, size: Any) -> int | None:
    """The bytes of a text that a caller gives for a process, None for any. Raises E0001, also where the
    system does not keep such limits."""
    if size is None:
        return None
    if sys.platform != "linux":
        fail("E0001", f"{name} needs Linux, which keeps it", help="leave it out")
    found = size_bytes(require_text(name, size))
    if not found:
        fail("E0001", f"`{size}` is no size of a memory", help="2G, or 500M")
    if found < LEAST:
        fail("E0001", f"{name} {short_bytes(found)} is less than any network needs", help="2G, or 500M")
    return found


@contextmanager
def memory_limited(size: int | None, own: Callable[[], int]) -> Iterator[None]:
    """A block in which this process gets no more than `size` bytes of data, None for no limit. Raises
    JobLimitError where there is no room beside what the process has, and for what asks for more.

    own: gives the bytes that the process has by itself. What earlier jobs have left in it is not counted: a
    job has the same room whatever was before it.
    """
    if size is None or sys.platform == "win32":
        with _told_of_memory():
            yield
        return
    import resource

    by_itself = own()
    if by_itself + LEAST > size:
        words = f"the process has {short_bytes(by_itself)} by itself, the limit is {short_bytes(size)}"
        raise JobLimitError(f"out of memory: {words}")
    size += max(data_bytes() - by_itself, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [size, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        with _told_of_memory():
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def _told_of_memory() -> Iterator[None]:
    """A block in which a lack of memory is a JobLimitError."""
    try:
        yield
    except DiagnosticError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise JobLimitError(f"out of memory: {error}".removesuffix(": ")) from error
        raise
