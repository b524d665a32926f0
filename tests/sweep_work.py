"""Work for engines of sweeps, in a file of its own: each process that does it loads what is imported here."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from time import sleep, time

from archforge.sweeps.job import Job, JobRecord


def where_it_is_done(job: Job) -> JobRecord:
    """Work that tells of its process."""
    return JobRecord(machine=str(os.getpid()))


class Deadly:
    """Work that ends its process: for job 1 the first time, for job 3 always."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, job: Job) -> JobRecord:
        with (self.folder / job.key).open("a") as file:
            file.write("x")
        if job.draw.number == 3 or (job.draw.number == 1 and self.times(job) == 1):
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return JobRecord(error=float(job.draw.number))

    def times(self, job: Job) -> int:
        return len((self.folder / job.key).read_text())


class Sleepy:
    """Work that does not end for job 1, and leaves a mark when it begins with that."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, job: Job) -> JobRecord:
        if job.draw.number == 1:
            self.mark.touch()
            sleep(600)
        return JobRecord(error=0.0)

    def asleep_s(self) -> float:
        """Seconds since it fell asleep: a clock that stands still while processes load what they need."""
        return time() - self.mark.stat().st_mtime if self.mark.exists() else 0.0
