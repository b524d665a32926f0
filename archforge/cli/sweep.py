"""`archforge sweep`: networks of spaces are drawn and trained, each by a job of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from archforge.atomic_files import made_folder
from archforge.cli.changes import changes
from archforge.cli.compile_options import BackendOption
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import (
    InputOption,
    ProfileOption,
    SetOption,
    TrainingDataOption,
    TrainingDtypeOption,
    Warnings,
    WarningsOption,
    heed,
    input_shape,
)
from archforge.cli.output import counted
from archforge.cli.progress import Progress
from archforge.errors import fail
from archforge.hardware import MOST_THREADS, size_bytes
from archforge.hardware import threads as cores

if TYPE_CHECKING:
    from archforge.spec.resolve.recipe import Override
    from archforge.sweep.job import Job, JobRecord
    from archforge.sweep.store import Store
    from archforge.sweep.sweep import Sweep

__all__ = ["sweep"]

FILE = "results.sqlite"
SUFFIXES = (".sqlite", ".sqlite3", ".db")


def sweep(
    spaces: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE", help="Spaces: files, names in the shipped zoo, or SPACE@PROFILE of one."
        ),
    ],
    samples: Annotated[
        int, typer.Option("--samples", "-n", metavar="N", min=1, help="How many networks of each space.")
    ] = 100,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help=f"A folder, or a file that ends in {SUFFIXES[0]}, of the results. Default: runs/SPACE. A "
            "sweep that is there goes on.",
        ),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(
            "--train",
            metavar="KEY=VALUE",
            help="A key of the recipe, or what is inside one: epochs=3, optimizer.sgd.lr=0.1, seed=1; may be "
            "repeated. The rest is from the space's section `train`.",
        ),
    ] = None,
    data: TrainingDataOption = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="The seed of what is drawn, as of `sample`.")
    ] = 0,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="FORMULA",
            help="Train those alone for which a formula holds: '360e6 <= macs <= 400e6'.",
        ),
    ] = None,
    profile: ProfileOption = None,
    set: SetOption = None,
    shape: InputOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, metavar="N", help="Processes that train. Default: as many as cores fit."
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            min=1,
            max=MOST_THREADS,
            metavar="N",
            help="Threads of each, of which bits may depend.",
        ),
    ] = 1,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", metavar="S", help="Seconds that a network has; else it has failed."),
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option("--memory-limit", metavar="SIZE", help="Memory that a process has, on Linux: 2G, 500M."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="NAME", help="What starts workers: processes, or dask."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="The scheduler of dask whose workers train: tcp://10.0.0.1:8786.",
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Draw and train nothing: write the report of what is there so far."),
    ] = False,
    backend: BackendOption = "auto",
    dtype: TrainingDtypeOption = "float32",
    warnings: WarningsOption = Warnings.DEFAULT,
) -> None:
    """Train networks that are drawn from spaces, and keep what came of each in one file of SQLite.

    The same command goes on where it was ended, however that was. A network that fails is recorded with the
    reason. At the end there is a report: a page of distributions and frontiers, the figures as CSV, and the
    specs of the best networks. Exit code 1 if none could be trained.
    """
    from archforge.sweep.engines import Pool, engine_of
    from archforge.sweep.job import TrainingSettings
    from archforge.sweep.store import opened_store
    from archforge.sweep.sweep import Sweep, first_beginnings, require_same, spaces_of

    if scheduler and (workers or engine not in (None, "dask")):
        help = "leave it out: its workers are already there"
        fail("E0001", f"`--scheduler {scheduler}` is of dask, and has its own workers", help=help)
    chosen = engine_of(engine or ("dask" if scheduler else "processes"))
    changed, overrides = changes(set)
    training = TrainingSettings(
        data=str(Path(data).absolute()) if data is not None else None,
        recipe={".".join(o.place): o.value.plain() for o in (*overrides, *_recipe(train))},
        backend=backend,
        dtype=dtype,
        threads=threads,
        time_limit_s=_time(time_limit),
        memory_limit=_memory(memory_limit),
    )
    named = [_named(space, profile) for space in spaces]
    found = spaces_of(named, changed, input_shape(shape))
    whole = Sweep(found, training, seed, where)
    path = _file(out, found[0].space.spec.name)
    if report:
        _report_so_far(path, whole, samples)
        return
    with Progress("reading data") as progress:
        digest = ""
        for beginning in first_beginnings(whole):
            with progress.paused():
                heed((*beginning.setup.network.warnings, *beginning.warnings), warnings)
            digest = beginning.setup.batches.samples.digest
            whole = replace(whole, training=replace(whole.training, backend=beginning.setup.backend.name))
    with opened_store(path) as store:
        settings = whole.settings(digest)
        require_same(store, settings)
        store.keep_settings(settings)
        with Progress("drawing networks") as progress:
            whole.draw(store, samples, lambda name, n: progress.say(f"{name}: {n:,} networks drawn"))
        jobs = whole.waiting(store, samples)
        total = samples * len(found)
        pool = Pool(workers or max(cores().number // threads, 1), scheduler or "", training.time_limit_s)
        print(f"{', '.join(one.name for one in found)}: {counted(samples, 'network')} each, seed {seed}")
        print(f"results    {path.as_posix()}: {total - len(jobs):,} of {total:,} are done")
        if jobs:
            with Progress("training") as progress:
                told = _Told(progress, total, len(jobs))
                try:
                    for job, record in whole.train(store, jobs, chosen, pool):
                        told.tell(job, record)
                except KeyboardInterrupt:
                    print("interrupted; the same command goes on", file=sys.stderr)
                    raise
        _write_report(store, whole, samples)


class _Told:
    """Lines about jobs that are done, and the time that is left on a terminal."""

    def __init__(self, progress: Progress, total: int, waiting: int) -> None:
        self.progress, self.total, self.waiting = progress, total, waiting
        self.done = self.failed = 0
        self.started = perf_counter()

    def tell(self, job: Job, record: JobRecord) -> None:
        """Print what came of a job."""
        self.done += 1
        self.failed += not record.is_trained
        left = (perf_counter() - self.started) / self.done * (self.waiting - self.done)
        number = f"{self.total - self.waiting + self.done}/{self.total}".rjust(2 * len(str(self.total)) + 1)
        came = f"error {record.error:.4f}" if record.error is not None else record.reason
        ends = f"; {_span(left)} left" if self.done < self.waiting else ""
        with self.progress.paused():
            print(f"{number}  {job.key}: {came}  ({record.seconds:.1f} s{ends})", flush=True)
        self.progress.say(f"{number.strip()} networks, {self.failed} failed, {_span(left)} left")


def _span(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _report_so_far(path: Path, whole: Sweep, samples: int) -> None:
    from archforge.sweep.store import read_store

    with read_store(path) as store:
        _write_report(store, whole, samples)


def _write_report(store: Store, whole: Sweep, samples: int) -> None:
    """Write the report of the first `samples` of each space and the specs of the best, and print how many
    were trained. Exits with 1 if none was."""
    from archforge.cli.sample_specs import write_specs
    from archforge.sweep.findings import SpaceFindings
    from archforge.sweep.report import BEST, write_report

    folder = store.path.parent if store.path.name == FILE else store.path.with_suffix("")
    found = [SpaceFindings.of(one.name, store.results(one.name)[:samples]) for one in whole.spaces]
    for space in found:
        least = f", least error {space.errors.min():.4f}" if space.trained else ""
        print(f"{space.name}: {len(space.trained):,} trained, {len(space.failed):,} failed{least}")
    if not any(space.trained for space in found):
        raise typer.Exit(CHECK_FAILED)
    for path in write_report(made_folder(folder), found, store.settings()):
        print(f"wrote {path.as_posix()}")
    for one, space in zip(whole.spaces, found, strict=True):
        best = [one.drawn(network.job.draw) for network in space.best(BEST)]
        write_specs(best, whole.seed, one.library, f"{folder}/best")


def _named(space: str, profile: str | None) -> tuple[str, str | None]:
    """A space and its profile. Raises E0001 for two profiles."""
    from archforge.paths import is_there

    name, mark, own = space.rpartition("@")
    if not mark or is_there(space):
        return space, profile
    if profile:
        fail("E0001", f"`--profile {profile}` changes nothing: {space} names one", help="leave it out")
    return name, own


def _recipe(texts: Sequence[str] | None) -> list[Override]:
    from archforge.spec.resolve.recipe import from_place

    pairs = [text.partition("=") for text in texts or ()]
    return [
        from_place(name.strip(), value, f"--train {name}", "--train optimizer.sgd.lr=0.1")
        for name, _, value in pairs
    ]


def _file(out: str | None, name: str) -> Path:
    path = Path(out or f"runs/{name}")
    return path if path.suffix in SUFFIXES else path / FILE


def _time(seconds: float | None) -> float | None:
    if seconds is not None and not seconds > 0:  # NaN is neither
        fail("E0001", f"--time-limit {seconds:g} is no time", help="more than 0 seconds")
    return seconds


def _memory(text: str | None) -> int | None:
    from archforge.sweep.limits import require_memory_limit

    if text is None:
        return None
    require_memory_limit()
    size = size_bytes(text)
    if not size:
        fail("E0001", f"`{text}` is no size of a memory", help="--memory-limit 2G, or 500M")
    return size
