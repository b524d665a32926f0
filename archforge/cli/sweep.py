"""`archforge sweep`: networks of spaces are drawn and trained, each by a job of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
from archforge.hardware import MOST_THREADS

if TYPE_CHECKING:
    from archforge.errors import Diagnostic
    from archforge.spec.resolve.recipe import Override
    from archforge.sweeps.job import Job, JobRecord
    from archforge.sweeps.store import Store
    from archforge.sweeps.sweep import Sweep

__all__ = ["sweep"]


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
            help="A folder, or a file that ends in .sqlite, of the results. Default: runs/SPACE. A "
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
    from archforge.spec.resolve.sources import named_space
    from archforge.sweeps.engines import engine_for
    from archforge.sweeps.job import TrainingSettings
    from archforge.sweeps.limits import memory_size, time_limited
    from archforge.sweeps.sweep import Sweep, begun, results_file, settled, spaces_of

    changed, overrides = changes(set)
    training = TrainingSettings(
        data=str(Path(data).absolute()) if data is not None else None,
        recipe={".".join(o.place): o.value.plain() for o in (*overrides, *_recipe(train))},
        backend=backend,
        dtype=dtype,
        threads=threads,
        time_limit_s=time_limited("--time-limit", time_limit),
        memory_limit=memory_size("--memory-limit", memory_limit),
    )
    chosen, pool = engine_for(engine, scheduler, workers, training)
    named = [named_space(space, profile) for space in spaces]
    found = spaces_of(named, changed, input_shape(shape))
    whole = Sweep(found, training, seed, where)
    path = results_file(out, found)
    if report:
        _report_so_far(path, whole, samples)
        return
    with Progress("reading data") as progress:

        def tell(warned: Sequence[Diagnostic]) -> None:
            with progress.paused():
                heed(warned, warnings)

        whole, settings = settled(whole, tell)
    with begun(settings, path) as store:
        with Progress("drawing networks") as progress:
            whole.draw(store, samples, lambda name, n: progress.say(f"{name}: {n:,} networks drawn"))
        jobs = whole.waiting(store, samples)
        total = samples * len(found)
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
    from archforge.sweeps.sweep import read

    with read(whole, path) as store:
        _write_report(store, whole, samples)


def _write_report(store: Store, whole: Sweep, samples: int) -> None:
    """Write the report of the first `samples` of each space and the specs of the best, and print how many
    were trained. Exits with 1 if none was."""
    from archforge.cli.sample_specs import write_specs
    from archforge.sweeps.findings import SpaceFindings
    from archforge.sweeps.report import BEST, write_report
    from archforge.sweeps.sweep import FILE

    folder = store.path.parent if store.path.name == FILE else store.path.with_suffix("")
    found = [SpaceFindings.of(one.name, store.results(one.name)[:samples]) for one in whole.spaces]
    for space in found:
        least = f", least error {space.errors.min():.4f}" if space.trained else ""
        print(f"{space.name}: {len(space.trained):,} trained, {len(space.failed):,} failed{least}")
    if any(space.trained or space.failed for space in found):
        for path in write_report(made_folder(folder), found, store.settings()):
            print(f"wrote {path.as_posix()}")
    if not any(space.trained for space in found):
        raise typer.Exit(CHECK_FAILED)
    for one, space in zip(whole.spaces, found, strict=True):
        best = [one.drawn(network.job.draw) for network in space.best(BEST)]
        write_specs(best, whole.seed, one.library, f"{folder}/best")


def _recipe(texts: Sequence[str] | None) -> list[Override]:
    from archforge.spec.resolve.recipe import from_place

    pairs = [text.partition("=") for text in texts or ()]
    return [
        from_place(name.strip(), value, f"--train {name}", "--train optimizer.sgd.lr=0.1")
        for name, _, value in pairs
    ]
