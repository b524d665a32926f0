"""Processes of this machine, by `concurrent.futures`: each worker is an executor of one process, so that it
is known which job a process had that died."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from math import inf
from multiprocessing.connection import Connection
from threading import Event, Thread
from time import monotonic

from archforge.errors import fail
from archforge.sweeps.engines import (
    LOOK_S,
    MOST_DEATHS,
    Pool,
    Records,
    Work,
    ended_late,
    ended_with_its_process,
)
from archforge.sweeps.job import Job, JobRecord

__all__ = ["ENGINE", "Processes", "require_no_worker", "require_threads"]


THREADS = 2  # that an executor starts
GUARD = 'if __name__ == "__main__":'
DIED = (BrokenProcessPool, BrokenPipeError)  # of a process: at work, or before it has read what it is to do


class Worker:
    """One process, begun anew whenever it dies. It ends at once when this one does, or `end` is called."""

    def __init__(self) -> None:
        self._begin()

    def submit(self, work: Work, job: Job) -> Future[JobRecord]:
        """Begin a job."""
        try:
            return self._executor.submit(work, job)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.begin_anew()
            return self._executor.submit(work, job)

    def begin_anew(self) -> None:
        """Another process in place of one that has died."""
        self.end()
        self._begin()

    def end(self) -> None:
        """End the process, whatever it does."""
        self._leash.close()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        for left in reversed(range(MOST_DEATHS)):
            try:
                self._start()
                return
            except (OSError, ImportError, BrokenProcessPool) as error:
                if left == 0 or not isinstance(error, DIED):
                    help = f"semaphores need /dev/shm, processes memory, a script that sweeps {GUARD}"
                    fail("E0911", f"no process can be started to work: {error}", help=help)

    def _start(self) -> None:
        require_threads(THREADS)
        end, self._leash = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("spawn")
        with end:
            self._executor = ProcessPoolExecutor(1, context, _obey, (end,))
            self._executor.submit(os.getpid).result()  # now: later it could only be a job that is wrong


class Processes:
    """The engine of one machine."""

    def records(self, work: Work, jobs: Iterable[Job], pool: Pool) -> Records:
        """Have the work done by `pool.workers` processes. One whose job does not end by itself is ended."""
        waiting, deaths = deque(jobs), Counter[str]()
        idle: list[Worker] = []
        running: dict[Future[JobRecord], tuple[Worker, Job, float]] = {}
        try:
            idle += (Worker() for _ in range(min(pool.workers, len(waiting))))
            while waiting or running:
                while waiting and idle:
                    worker, job = idle.pop(), waiting.popleft()
                    running[worker.submit(work, job)] = worker, job, monotonic() + pool.patience_s
                done, _ = wait(running, None if pool.patience_s == inf else LOOK_S, FIRST_COMPLETED)
                late = [future for future, (_, _, until) in running.items() if monotonic() > until]
                for future in {*done, *late}:
                    worker, job, _ = running.pop(future)
                    idle.append(worker)
                    if not future.done():
                        worker.begin_anew()
                        yield job, ended_late()
                        continue
                    try:
                        yield job, future.result()
                    except BrokenProcessPool:
                        worker.begin_anew()
                        deaths[job.key] += 1
                        if deaths[job.key] < MOST_DEATHS:
                            waiting.appendleft(job)
                        else:
                            yield job, ended_with_its_process()
        finally:
            for worker in (*idle, *(worker for worker, _, _ in running.values())):
                worker.end()


ENGINE = Processes()


def require_threads(number: int) -> None:
    """Raises RuntimeError where so many more threads cannot be started. One that an executor cannot start
    itself has it wait without an end."""
    over = Event()
    try:
        for _ in range(number):
            Thread(target=over.wait, daemon=True).start()
    finally:
        over.set()


def require_no_worker() -> None:
    """Raises E0001 in a process that is being started, in which a script runs again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        message = "each worker runs the script that sweeps again, and there it would sweep as well"
        fail("E0001", message, help=f"call it behind {GUARD}")


def _obey(end: Connection) -> None:
    """Begin in a worker: leave Ctrl-C to the process that started it, and end when that one lets go."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    Thread(target=_end_with, args=(end,), daemon=True).start()


def _end_with(end: Connection) -> None:
    with suppress(EOFError, OSError):
        end.recv_bytes()
    os._exit(0)
