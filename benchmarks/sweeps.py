"""The cost of sweeps besides training: drawing and counting networks, handing out jobs, keeping results.

    python benchmarks/sweeps.py [--samples 10000] [--jobs 10000] [--workers 2] [--images 16] [--json FILE]

A part of 0 is left out. Counting is CPU time of one process. Jobs do nothing, through each engine that is
installed, and their results go into a file of SQLite as those of a sweep do. Of a network of 400 MF some
updates are timed, from which follows what 500 of them would take for ten epochs of ImageNet.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

import archforge
from archforge.analysis.sampling import Sampling
from archforge.bench.environment import environment
from archforge.errors import DiagnosticError
from archforge.hardware import threads
from archforge.spec.expand.space import Draw, Space
from archforge.spec.resolve.sources import open_spec
from archforge.sweeps.engines import ENGINES, Pool, engine_of
from archforge.sweeps.job import Job, JobRecord
from archforge.sweeps.store import opened_store

IMAGENET = 1_281_167  # images to train on. Source: arXiv:1409.0575, table 2
NETWORKS, EPOCHS = 500, 10  # arXiv:2003.13678, section 3.1
HISTORY = (
    {"epoch": 1.0, "lr": 0.1, "loss": 2.3, "accuracy": 0.1, "val_loss": 2.3, "val_accuracy": 0.1},
) * 10


def counted(samples: int) -> float:
    """CPU seconds to draw and count networks of AnyNetX A."""
    started = time.process_time()
    sampling = Sampling(Space(open_spec("anynet_x"), "a"))
    assert sum(1 for _ in islice(sampling, samples)) == samples
    return time.process_time() - started


def nothing(job: Job) -> JobRecord:
    """A job of no work, with a history as long as that of ten epochs."""
    return JobRecord(error=0.9, history=HISTORY)


def handed_out(engine: str, jobs: int, pool: Pool) -> dict[str, float]:
    """The cost of jobs that do nothing: the time of each, of the coordinator (CPU), and of the file."""
    every = [Job("s", Draw(number, {"width": number})) for number in range(jobs)]
    kept = 0.0
    with TemporaryDirectory() as folder, opened_store(Path(folder, "x.sqlite")) as store:
        wanted = [(job.space, job.draw.number, "{}", "{}") for job in every]
        store._connection.executemany(
            "insert into sample (space, draw, drawn, row) values (?, ?, ?, ?)", wanted
        )
        store._connection.commit()
        first = 0.0
        started, cpu = time.perf_counter(), time.process_time()
        for job, record in engine_of(engine).records(nothing, every, pool):
            first = first or time.perf_counter() - started
            before = time.perf_counter()
            store.keep(job, record)
            kept += time.perf_counter() - before
        seconds = time.perf_counter() - started
        assert store.last_draw("s") == jobs - 1
        assert all(found.record for found in store.results("s"))
    return {
        "jobs": jobs, "workers": pool.workers, "start_s": first, "jobs_per_s": jobs / (seconds - first),
        "ms_per_job": (seconds - first) / jobs * 1000, "file_ms_per_job": kept / jobs * 1000,
        "coordinator_cpu_ms_per_job": (time.process_time() - cpu) / jobs * 1000,
    }  # fmt: skip


def learned(images: int) -> dict[str, float]:
    """Images that a network of 400 MF learns in a CPU second, by all threads: the median of three updates."""
    x = np.random.default_rng(0).random((4 * images, 3, 224, 224), np.float32)
    y = np.arange(4 * images)
    times: list[float] = []

    class Clock(archforge.Callback):
        def on_update(self, run: object, loss: float) -> None:
            times.append(time.process_time())

    archforge.train(
        "regnet_x_400mf", (x, y), classes=len(y), batch=images, epochs=1, optimizer={"sgd": 0.01},
        loss="cross_entropy", callbacks=[Clock()],
    )  # fmt: skip
    each = median(b - a for a, b in pairwise(times))
    return {"batch": images, "threads": threads().number, "images_per_cpu_s": images / each}


def main() -> None:
    """Measure, and print it all with the machine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=16, help="in a batch of the network of 400 MF")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, object] = {"machine": environment(threads().number)}
    for name, fact in environment(threads().number).items():
        print(f"{name:10} {fact}")
    if given.samples:
        seconds = counted(given.samples)
        found["counted"] = {"samples": given.samples, "cpu_s": seconds}
        print(f"drawn and counted: {given.samples:,} of AnyNetX A in {seconds:.1f} s of CPU")
    for engine in ENGINES if given.jobs else ():
        try:
            found[engine] = facts = handed_out(engine, given.jobs, Pool(given.workers))
        except DiagnosticError as error:
            print(error)
            continue
        print(
            f"{engine}: {facts['jobs']:,} jobs of {facts['workers']} workers, {facts['jobs_per_s']:.0f} a "
            f"second, {facts['ms_per_job']:.2f} ms each, {facts['file_ms_per_job']:.2f} of them the file, "
            f"{facts['coordinator_cpu_ms_per_job']:.2f} ms CPU of the coordinator; "
            f"the first after {facts['start_s']:.1f} s"
        )
    if given.images:
        found["learned"] = facts = learned(given.images)
        cores = NETWORKS * EPOCHS * IMAGENET / facts["images_per_cpu_s"] / 3600
        print(
            f"regnet_x_400mf: {facts['images_per_cpu_s']:.1f} images a CPU second, batches of "
            f"{facts['batch']}, {facts['threads']} threads; {NETWORKS} networks, {EPOCHS} epochs of "
            f"ImageNet: {cores:,.0f} hours of a core"
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
