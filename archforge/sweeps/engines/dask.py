"""Workers of dask: those of a scheduler, on as many machines as it has, or a cluster of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import dask
from dask.distributed import Client, Future, KilledWorker, LocalCluster

from archforge.errors import DiagnosticError, fail
from archforge.sweeps.engines import (
    LOOK_S,
    MOST_DEATHS,
    Pool,
    Records,
    Work,
    ended_late,
    ended_with_its_process,
)
from archforge.sweeps.job import Job, JobRecord, failed

__all__ = ["ENGINE", "SETTINGS", "DaskWorkers"]

# A job is given up when so many workers have died with it. A worker is given no job beside the one that it
# does: if it dies, that would count for both. A scheduler that others have started has settings of its own.
SETTINGS = {
    "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.logging.distributed": "error",
}
LEAVE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # to the process that sweeps
TIMEOUT_S = 30.0  # for a scheduler to answer, and for a first worker


class DaskWorkers:
    """The engine of many machines. A worker does as many jobs at once as it has threads: give it one."""

    def records(self, work: Work, jobs: Iterable[Job], pool: Pool) -> Records:
        """Have the work done by the workers of a scheduler, or of a cluster of this machine."""
        with dask.config.set(SETTINGS), _client(pool) as client:
            done: SimpleQueue[Future] = SimpleQueue()
            waiting: dict[str, tuple[Future, Job]] = {}
            for job in jobs:
                future = client.submit(work, job, pure=False)
                waiting[future.key] = future, job
                future.add_done_callback(done.put)
            watch = _Watch(client, pool.patience_s)
            while waiting:
                future = watch.next(done)
                if future is not None and future.key in waiting:
                    yield waiting.pop(future.key)[1], _record(future)
                for worker, key in watch.late(waiting):
                    future, job = waiting.pop(key)
                    future.cancel()  # first: of a worker that is ended, other workers get the jobs
                    client.restart_workers([worker], TIMEOUT_S, raise_for_error=False)
                    yield job, ended_late()


ENGINE = DaskWorkers()


class _Watch:
    """The clock of each job that a worker does, from when it is first seen there."""

    def __init__(self, client: Client, patience_s: float) -> None:
        self.client, self.patience_s = client, patience_s
        self._looked = monotonic()
        self._since: dict[tuple[str, str], float] = {}

    def next(self, done: SimpleQueue[Future]) -> Future | None:
        """A job that is done, None where it is time to look at the others."""
        try:
            return done.get(timeout=None if self.patience_s == inf else LOOK_S)
        except Empty:
            return None

    def late(self, waiting: Iterable[str]) -> list[tuple[str, str]]:
        """The workers whose job has lasted too long, each with the key of that job."""
        now = monotonic()
        if self.patience_s == inf or now - self._looked < LOOK_S:
            return []
        self._looked = now
        found = self._at_work()
        self._since = {pair: self._since.get(pair, now) for pair in found if pair[1] in waiting}
        return [pair for pair, since in self._since.items() if now - since > self.patience_s]

    def _at_work(self) -> list[tuple[str, str]]:
        """Each worker with the jobs that it does; those behind them wait for one of its threads."""
        try:
            threads, found = self.client.nthreads(), self.client.processing()
        except OSError:  # the scheduler is lost: each of its jobs is about to say so
            return []
        return [(worker, key) for worker, keys in found.items() for key in keys[: threads.get(worker, 1)]]


def _record(future: Any) -> JobRecord:
    """The record that a job has given. Raises E0911 where the scheduler is gone, or a worker is of another
    version."""
    try:
        record: JobRecord = future.result()
    except KilledWorker:
        return ended_with_its_process()
    except DiagnosticError:
        raise
    except Exception as error:  # noqa: BLE001  whatever dask raises for a job that no worker could do
        if future.cancelled():
            fail("E0911", f"the scheduler is lost: {error}", help="the same command goes on")
        return failed(f"{type(error).__name__}: {error}")
    return record


@contextmanager
def _client(pool: Pool) -> Iterator[Client]:
    """A client whose workers end with the block, unless others have started them."""
    if pool.scheduler:
        try:
            client = Client(pool.scheduler, timeout=TIMEOUT_S)
        except (OSError, ValueError) as error:
            fail("E0911", f"no scheduler answers at {pool.scheduler}: {error}", help="dask scheduler")
        with client:
            try:
                client.wait_for_workers(1, TIMEOUT_S)
            except TimeoutError:
                help = f"dask worker {pool.scheduler} --nthreads 1"
                fail("E0911", f"the scheduler at {pool.scheduler} has no workers", help=help)
            yield client
        return
    with (
        # The limit of a job alone holds, as in processes: a worker of dask gets no share of the memory.
        LocalCluster(
            n_workers=pool.workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # of its server: 8787 may be taken
            silence_logs=logging.ERROR,
            preload=LEAVE_CTRL_C,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
