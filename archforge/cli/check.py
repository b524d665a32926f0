"""`archforge check`: every cell of every profile, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from archforge import driver
from archforge.analysis.network import Report
from archforge.cli.check_formats import CheckFormat, writer
from archforge.cli.check_formats.base import Totals
from archforge.cli.exit_codes import CHECK_FAILED, USER_ERROR
from archforge.cli.options import JsonOption, Warnings, WarningsOption, json_if
from archforge.cli.progress import Progress
from archforge.errors import DiagnosticError, did_you_mean, fail

__all__ = ["check", "reports_on"]


def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Specs, folders, names, or -. Default: ./zoo_specs if it is there, else the shipped zoo.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", "-p", metavar="NAME", help="Only this profile; specs without it are passed over."
        ),
    ] = None,
    require_expect: Annotated[
        bool, typer.Option("--require-expect", help="Fail where a profile has no documented figures.")
    ] = False,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write `expect`, as computed now, into specs that have none."),
    ] = False,
    warnings: WarningsOption = Warnings.DEFAULT,
    format: Annotated[
        CheckFormat,
        typer.Option(
            "--format",
            callback=json_if,
            help="text for a reader, json for programs, github for annotations of a pull request, sarif for "
            "code scanning, junit for a list of tests.",
        ),
    ] = CheckFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Hold every count of each spec against its documented figure.

    Exit code 1 if one differs, 2 if a spec is broken.
    """
    if as_json and format not in (CheckFormat.TEXT, CheckFormat.JSON):
        fail("E0001", f"`--json` and `--format {format}` name two forms", help="leave one of them out")
    format = CheckFormat.JSON if as_json else format
    totals, out = Totals(), writer(format, refuses_warnings=warnings is Warnings.ERROR)
    try:
        if record:
            from archforge.cli.record import record_all

            record_all(paths or [], quiet=format is not CheckFormat.TEXT)
        with Progress("reading specs") as progress:
            for report in reports_on(paths or [], progress, profile, require_expect=require_expect):
                totals.add(report)
                with progress.paused():
                    out.add(report)
        if profile is not None and not (totals.profiles or totals.spaces or totals.broken):
            help = did_you_mean(profile, totals.known, what="profiles")
            fail("E0315", f"no spec here has a profile `{profile}`", help=help)
    except DiagnosticError as error:
        out.abort(error.diagnostics)
        raise
    refused = totals.broken or (totals.warnings and warnings is Warnings.ERROR)
    out.close(totals, ok=not refused and not totals.failed)
    raise typer.Exit(USER_ERROR if refused else CHECK_FAILED if totals.failed else 0)


def reports_on(
    paths: list[str], progress: Progress, profile: str | None = None, *, require_expect: bool = False
) -> Iterator[Report]:
    """A report on each file, which `progress` names before it is read."""
    files = driver.zoo_paths(paths)
    reports = driver.check(files, profile, require_expect=require_expect)
    for number, file in enumerate(files, 1):
        progress.say(f"checking {file.stem}, {number} of {len(files)}")
        yield next(reports)
