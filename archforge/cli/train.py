"""`archforge train`: a network learns from data."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from archforge import driver
from archforge.cli.changes import changes
from archforge.cli.compile_options import BackendOption, StrictOption
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import (
    WEIGHTS_FILES,
    ProfileOption,
    SetOption,
    SizeOption,
    SpecArgument,
    TrainingDataOption,
    TrainingDtypeOption,
    Warnings,
    WarningsOption,
    WeightsPrefixOption,
    heed,
    heeding,
    input_shape,
)
from archforge.cli.ranks import as_rank, start_ranks, starts_ranks
from archforge.cli.recipe_options import given_settings, recipe_options
from archforge.cli.training_progress import TrainingProgress
from archforge.cli.training_results import print_beginning, print_dry_run, print_end, print_reached
from archforge.spec.resolve.recipe import from_flags

__all__ = ["train"]


@recipe_options()
def train(
    spec: SpecArgument,
    data: TrainingDataOption = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="RUN", help="The folder of the run. Default: runs/NAME."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder; begin where there is none.")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option("--weights", "-w", metavar="FILE", help=f"Begin with given weights: {WEIGHTS_FILES}."),
    ] = None,
    prefix: WeightsPrefixOption = "",
    reinit: Annotated[
        list[str] | None,
        typer.Option(
            "--reinit",
            metavar="PATTERN",
            help="Of the given weights, draw these anew: 'classifier.*'; may be repeated.",
        ),
    ] = None,
    profile: ProfileOption = None,
    shape: SizeOption = None,
    set: SetOption = None,
    backend: BackendOption = "auto",
    dtype: TrainingDtypeOption = "float32",
    strict_backend: StrictOption = False,
    checkpoint_every: Annotated[
        int,
        typer.Option(
            "--checkpoint-every", min=0, metavar="N", help="Also keep a checkpoint after every N updates."
        ),
    ] = 0,
    log_interval: Annotated[
        int,
        typer.Option("--log-interval", min=0, metavar="N", help="Also print a line after every N updates."),
    ] = 0,
    ranks: Annotated[
        int | None,
        typer.Option(
            "--ranks",
            min=1,
            metavar="N",
            help="Start N processes, each of which learns a part of each batch.",
        ),
    ] = None,
    hosts: Annotated[
        str | None,
        typer.Option(
            "--hosts",
            metavar="FILE",
            help="The hosts of the ranks, one a line: `address` or `address slots=N`.",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help="How ranks meet: mpi, ring or nccl. Without --ranks, be a rank that was started otherwise.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            help="The seconds that a rank waits for the others at most. Default: 300.",
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Print each layer with its shape and its parameters first.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be done: samples, classes, shapes, updates, memory, time."
        ),
    ] = False,
    warnings: WarningsOption = Warnings.DEFAULT,
    **recipe: Any,
) -> None:
    """Train a network as its spec and these options say, and keep what was learned.

    The folder gets the weights of the last and of the best epoch, a checkpoint to go on from, the history
    and a report. Exit code 1 if a figure that the spec documents for its recipe, as it is, is not reached.
    """
    from archforge.training.run_folder import opened_folder
    from archforge.training.train import begin, fit

    changed, overrides = changes(set)
    network = driver.analyse(
        driver.open_spec(spec), profile, settings=changed, input_shape=input_shape(shape)
    )
    path = Path(out or f"runs/{network.name}")
    if starts_ranks(ranks, hosts, engine, timeout):
        start_ranks(ranks or 0, hosts, engine, lambda: _resuming(path))
        return
    with as_rank(engine, timeout) as group:
        heed(network.warnings, warnings)
        beginning = begin(
            network,
            data,
            [*from_flags(given_settings(recipe)), *overrides],
            weights=driver.given_weights(weights, prefix),
            reinit=reinit or (),
            backend=backend,
            dtype=dtype,
            strict=strict_backend,
            ranks=group,
        )
        heed(beginning.warnings, warnings)
        told = TrainingProgress(log_interval)
        print_beginning(beginning, layers=layers)
        if dry_run:
            print_dry_run(beginning)
            return
        is_writer = group is None or group.rank == 0
        opening = opened_folder(path, resume=resume) if is_writer else nullcontext()
        with heeding(warnings), opening as folder, told.shown():
            try:
                trained = fit(beginning, folder, [told], checkpoint_every)
            except KeyboardInterrupt:
                if not group and folder and folder.checkpoint.exists():
                    print(f"interrupted; go on: {_resuming(path)}", file=sys.stderr)
                raise
        if folder:
            print_end(trained, folder)
        # Figures are of the spec's own recipe: the digits, and what a caller says over it, make another one.
        is_documented = beginning.bound.by_caller <= {"seed"}
        reached = [*print_reached(trained, beginning.bound.reaches if is_documented else ())]
    if not all(reached):
        raise typer.Exit(CHECK_FAILED)


def _resuming(path: Path) -> str:
    """The command that goes on with the run."""
    given = [word for word in sys.argv[1:] if word != "--resume"]
    has_out = any(word in ("--out", "-o") or word.startswith("--out=") for word in given)
    return shlex.join(["archforge", *given, *([] if has_out else ["--out", str(path)]), "--resume"])
