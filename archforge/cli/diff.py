"""`archforge diff`: what changed from one network to another, and what that does to its counts."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archforge.analysis.difference.lines import markdown, text
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import (
    InputOption,
    ProfileOption,
    SetOption,
    input_shape,
    json_if,
    output_file,
    settings,
)
from archforge.cli.output import print_json
from archforge.difference import Side, difference
from archforge.errors import fail

__all__ = ["diff"]


class DiffFormat(StrEnum):
    """The forms of a difference."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


def diff(
    one: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A spec, SPEC@PROFILE, REVISION:PATH of a spec in git, a file of weights, or a network in "
            "ONNX or another format that `archforge import` reads.",
        ),
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="B", help="The same; by default A, with other options.")
    ] = None,
    profile: ProfileOption = None,
    other_profile: Annotated[
        str | None,
        typer.Option("--other-profile", metavar="NAME", help="The profile of B, if it is another."),
    ] = None,
    shape: InputOption = None,
    other_shape: Annotated[
        str | None, typer.Option("--other-shape", metavar="SHAPE", help="The input of B, if it is another.")
    ] = None,
    set: SetOption = None,
    other_set: Annotated[
        list[str] | None,
        typer.Option("--other-set", metavar="NAME=VALUE", help="A value for B alone; may be repeated."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="A line for each group of equal changes, however many there are.")
    ] = False,
    format: Annotated[
        DiffFormat | None,
        typer.Option(
            "--format",
            metavar="FORM",
            help="text, json, markdown for a pull request, or html: both networks drawn beside each other, "
            "in the file of --output. Default: text, or html with --output.",
            callback=json_if,
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The .html to write.")
    ] = None,
) -> None:
    """Say what changed from network A to network B: layers and blocks that were added, removed or renamed,
    attributes with another value, and what that does to parameters, multiply-accumulates and memory.

    Exit code 0 if nothing differs, 1 if something does, 2 for a mistake.
    """
    from archforge.atomic_files import written_beside

    page = _page(format, output, every=every)
    if other is None and not (other_profile or other_shape or other_set):
        fail(
            "E0001",
            "there is nothing to compare A with",
            help="name B, or give --other-profile or --other-set",
        )
    here, there = Side(one), Side(one if other is None else other)
    if not here.is_foreign:
        here = replace(here, profile=profile, settings=settings(set), input_shape=input_shape(shape))
    if not there.is_foreign:
        there = replace(
            there,
            profile=other_profile or profile,
            settings=settings(set) | settings(other_set),
            input_shape=input_shape(other_shape or shape),
        )
    elif other_profile or other_set or other_shape:
        fail("E0001", f"{there.name} is a file, which takes no profile, setting or shape")
    if profile and here.is_marked and there.is_marked:
        fail("E0001", f"`--profile {profile}` changes nothing: A and B name profiles", help="leave it out")
    if other_profile and there.is_marked:
        fail("E0001", f"`--other-profile {other_profile}` changes nothing: B names one", help="leave it out")
    found = difference(here, there)
    if page is not None:
        from archforge.export.network_page import difference_page

        with written_beside(page) as file:
            file.write(difference_page(found).encode())
        print(f"wrote {page.as_posix()}")
    elif format is DiffFormat.JSON:
        print_json(found.to_json())
    else:
        print((markdown if format is DiffFormat.MARKDOWN else text)(found, every=every))
    raise typer.Exit(0 if found.is_empty else CHECK_FAILED)


def _page(format: DiffFormat | None, output: str | None, *, every: bool) -> Path | None:
    """The page to write, if any. Raises E0001 for options that do not go together, and E0705."""
    if output is None:
        if format is DiffFormat.HTML:
            fail("E0001", "`--format html` needs a file", help="-o difference.html")
        return None
    if format not in (None, DiffFormat.HTML):
        fail(
            "E0001",
            f"`--output` is for html; {format} is printed",
            help=f"leave out `--format {format}`, or write > {output} in its place",
        )
    if every:
        fail("E0001", "`--all` changes nothing: a page has every change", help="leave it out")
    return output_file(output, "difference", (".html",))
