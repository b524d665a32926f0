"""`archforge sample`: networks drawn from a space, as rows or as specs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from archforge.analysis.sampling import DrawnNetwork, Sampling
from archforge.cli.options import InputOption, ProfileOption, SetOption, input_shape, settings
from archforge.cli.output import print_json_line
from archforge.cli.progress import Progress
from archforge.cli.sample_parquet import print_parquet, require_parquet
from archforge.errors import fail
from archforge.spec.expand.space import Space
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.sources import named_space, open_spec

__all__ = ["sample"]


class RowFormat(StrEnum):
    """The form of rows on standard output."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def sample(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPACE",
            help="A space: its file, its name in the shipped zoo, SPACE@PROFILE, or - for standard input.",
        ),
    ],
    number: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many networks.")] = 10,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, metavar="N", help="The same one gives the same networks everywhere."),
    ] = 0,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="FORMULA",
            help="Keep those alone for which a formula over the columns holds: '360e6 <= macs <= 400e6'.",
        ),
    ] = None,
    profile: ProfileOption = None,
    set: SetOption = None,
    input: InputOption = None,
    format: Annotated[
        RowFormat | None,
        typer.Option(
            "--format",
            help="Rows with commas under a header (default), a line of JSON each, or a file of Parquet.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write each as a spec into a folder instead."),
    ] = None,
) -> None:
    """Draw networks from a space and count them: a row for each, with the arguments that are drawn, those
    that follow from them, layers, params, MACs and activations.

    How many were drawn and counted for those that were kept is told on standard error.
    """
    if format and output is not None:
        help = "leave one of the two out"
        fail("E0001", f"`--format {format}` changes nothing for specs, which go to {output}", help=help)
    library = Library()
    name, own = named_space(spec, profile)
    space = Space(open_spec(name, library), own, settings(set), input_shape(input))
    sampling = Sampling(space, seed=seed, where=where)
    if format is RowFormat.PARQUET:
        require_parquet()
    with Progress("drawing networks") as progress:
        samples = _told(sampling, number, progress)
        if output is not None:
            from archforge.cli.sample_specs import write_specs

            write_specs(samples, seed, library, output)
        elif format is RowFormat.PARQUET:
            print_parquet(samples)
        elif format is RowFormat.JSONL:
            for found in samples:
                with progress.paused():
                    print_json_line(found.row())
        else:
            _print_csv(samples, progress)
    told = f"kept {sampling.kept:,} of {sampling.counted:,} counted, of {space.drawn:,} drawn"
    print(told, file=sys.stderr)


def _told(sampling: Sampling, number: int, progress: Progress) -> Iterator[DrawnNetwork]:
    for sample in sampling.take(number):
        progress.say(f"kept {sampling.kept:,} of {number:,}, counted {sampling.counted:,}")
        yield sample


def _print_csv(samples: Iterable[DrawnNetwork], progress: Progress) -> None:
    """Rows under a header; a list is JSON, and what is not there is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for index, sample in enumerate(samples):
        row = sample.row()
        with progress.paused():
            if index == 0:
                writer.writerow(row)
            writer.writerow(map(_cell, row.values()))


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | bool) else value
