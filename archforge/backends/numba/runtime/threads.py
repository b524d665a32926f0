"""Threads that help with a call. They sleep in a queue between calls, and nothing waits for one of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from archforge.backends.numba.toolchain.machine import machine

__all__ = ["help_with"]


class _ThreadPool:
    """Threads that take jobs from a queue. They start when first needed, and again in a forked process."""

    def __init__(self) -> None:
        self._start_lock = Lock()
        self._jobs: SimpleQueue[Callable[[], None]] | None = None

    def submit(self, job: Callable[[], None]) -> None:
        if self._jobs is None:
            with self._start_lock:
                if self._jobs is None:
                    self._jobs = self._started()
        self._jobs.put(job)

    @staticmethod
    def _started() -> SimpleQueue[Callable[[], None]]:
        jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

        def work() -> None:
            while True:
                job = jobs.get()
                job()
                del job  # what it holds must not live until the next one

        for i in range(machine().threads - 1):
            Thread(target=work, name=f"archforge-{i + 1}", daemon=True).start()
        return jobs


_pool = _ThreadPool()


def _forget() -> None:
    global _pool
    _pool = _ThreadPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def help_with(job: Callable[[int], None]) -> None:
    """`job(0)` here, and `job(1)`, ... on threads that are free, at once or later.

    A job that comes late must find that nothing is left to do.
    """

    def of(thread: int) -> Callable[[], None]:
        return lambda: job(thread)

    for thread in range(1, machine().threads):
        _pool.submit(of(thread))
    job(0)
