"""`archforge list`: the networks of the zoo with their counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from archforge.analysis.network import Report
from archforge.cli.check import reports_on
from archforge.cli.exit_codes import USER_ERROR
from archforge.cli.options import JsonOption
from archforge.cli.output import paint, print_json, table
from archforge.cli.progress import Progress
from archforge.spec.syntax.syntax_tree import Header

__all__ = ["list_zoo"]


def list_zoo(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Specs or folders. Default: ./zoo_specs if it is there, else the shipped zoo.",
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of every profile, source and erratum.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the zoo: each network's default profile, its counts and how many figures were checked, and spaces
    with their sizes."""
    with Progress("reading specs") as progress:
        reports = [r for r in reports_on(paths or [], progress) if r.is_network or r.spaces]
    if markdown:
        from archforge.export.zoo_page import zoo_page

        print(zoo_page(reports), end="")
    elif as_json:
        print_json([r.to_json() for r in reports])
    else:
        _print(reports)
    if any(r.diagnostics for r in reports):
        print("some specs are broken: archforge check says why", file=sys.stderr)
        raise typer.Exit(USER_ERROR)


def _print(reports: list[Report]) -> None:
    rows = [_row(report) for report in reports]
    print(table(("name", "profile", "input", "layers", "params", "MACs", "checked"), rows, right=(3, 4, 5)))
    for report in reports:
        notes = [*_notes(report)]
        if notes:
            print(f"{report.name}: {'; '.join(notes)}")


def _notes(report: Report) -> Iterator[str]:
    """Notes on a network for a reader: how it departs, which one is recommended, and what a library's is
    besides."""
    header = report.spec.header if report.spec else Header()
    if header.departs:
        yield f"{paint('departs', 'yellow')}: {header.departs}"
    if header.recommended:
        yield f"recommended: {header.recommended}"
    yield from (network.model_note for network in report.networks[:1] if network.model_note)


def _row(report: Report) -> tuple[str, ...]:
    if report.spaces:
        space = report.spaces[0]
        return (report.name, space.profile, space.input, "", "", "", f"space: {space.size}")
    if not report.networks:
        return (report.name, "", "", "", "", "", paint("broken", "red"))
    network, cells = report.networks[0], [c for n in report.networks for c in n.cells]
    held = sum(c.problem is None for c in cells)
    counts = network.counts
    star = "*" if report.spec and report.spec.header.recommended else ""
    checked = f"{held} of {len(cells)}" if cells else "unchecked"
    return (
        report.name,
        network.profile + star,
        str(network.figures["input"]),
        f"{counts.layers:,}",
        f"{counts.params:,}",
        f"{counts.macs:,}",
        checked,
    )
