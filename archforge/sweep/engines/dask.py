"""Workers of dask: those of a scheduler, on as many machines as it has, or a cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
from dask.distributed import Client, KilledWorker, LocalCluster, as_completed

from archforge.errors import DiagnosticError, fail
from archforge.sweep.engines import MOST_DEATHS, Pool, Records, Work
from archforge.sweep.job import Job, JobRecord, failed

__all__ = ["ENGINE", "SETTINGS", "DaskWorkers"]

# A job is given up when so many workers have died with it. A worker is given no job beside the one that it
# does: if it dies, that would count for both. A scheduler that others have started has settings of its own.
SETTINGS = {
    "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.logging.distributed": "error",
}
TIMEOUT_S = 30.0  # for a scheduler to answer


class DaskWorkers:
    """The engine of many machines. A worker does as many jobs at once as it has threads: give it one."""

    def records(self, work: Work, jobs: Iterable[Job], pool: Pool) -> Records:
        """Have the work done by the workers of a scheduler, or of a cluster of this machine."""
        with dask.config.set(SETTINGS), _client(pool) as client:
            futures = {client.submit(work, job, pure=False): job for job in jobs}
            for future in as_completed(list(futures)):
                yield futures.pop(future), _record(future)


ENGINE = DaskWorkers()


def _record(future: Any) -> JobRecord:
    """The record that a job has given. Raises E0911 where the scheduler is gone, or a worker is of another
    version."""
    try:
        record: JobRecord = future.result()
    except KilledWorker:
        return failed(f"the process that did it has died {MOST_DEATHS} times")
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
            yield client
        return
    with (
        LocalCluster(pool.workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client
