"""`archforge check`: every cell of every profile, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from archforge import driver
from archforge.analysis.network import Report
from archforge.cli import CHECK_FAILED, USER_ERROR
from archforge.cli.options import JsonOption
from archforge.cli.output import MARKS, paint, print_diagnostics, print_json

__all__ = ["check"]


def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
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
        bool, typer.Option("--record", help="Write the `expect` of profiles that have none, as computed now.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Hold every count of each spec against its documented figure.

    Exit code 1 if one differs, 2 if a spec is broken.
    """
    if record:
        from archforge.cli.record import record_all

        record_all(paths or [])
    reports = []
    for report in driver.check(paths or [], profile, require_expect=require_expect):
        reports.append(report)
        if not as_json:
            _print(report)
    _finish(reports, as_json=as_json)


def _finish(reports: list[Report], *, as_json: bool) -> None:
    broken = any(r.diagnostics for r in reports)
    failed = any(r.failures for r in reports)
    if as_json:
        print_json({"specs": [r.to_json() for r in reports if r.is_counted], "ok": not broken and not failed})
    else:
        print(_summary(reports))
    raise typer.Exit(USER_ERROR if broken else CHECK_FAILED if failed else 0)


def _print(report: Report) -> None:
    if not report.is_counted and report.ok:
        return
    if report.ok:
        print(f"{_mark('ok')} {report.name:<28} {_told(report)}")
        return
    print(f"{_mark('mismatch')} {report.name}", flush=True)
    print_diagnostics((*report.diagnostics, *report.failures))


def _mark(status: str) -> str:
    sign, colour = MARKS[status]
    return paint(sign, colour)


def _told(report: Report) -> str:
    """`documented 6 (1 explained), torchvision 7`: the checked cells of each profile."""
    parts = []
    for network in report.networks:
        explained = sum(c.status == "explained" for c in network.cells)
        note = f" ({explained} explained)" if explained else ""
        parts.append(
            f"{network.profile} {len(network.cells)}{note}"
            if network.cells
            else f"{network.profile} {paint('unchecked', 'yellow')}"
        )
    return ", ".join(parts)


def _summary(reports: list[Report]) -> str:
    networks = [n for r in reports for n in r.networks]
    cells = Counter(c.status for n in networks for c in n.cells)
    by_rule = sum(c.rule is not None and c.status == "ok" for n in networks for c in n.cells)
    specs = sum(r.is_counted for r in reports)
    parts = [f"{cells['ok']:,} ok" + (f" ({by_rule} by rule)" if by_rule else "")]
    parts += [f"{cells[s]:,} {s}" for s in ("explained", "mismatch") if cells[s]]
    broken = sum(bool(r.diagnostics) for r in reports)
    parts += [f"{_count(broken, 'broken spec')}"] if broken else []
    checked = ", ".join(
        (_count(specs, "network"), _count(len(networks), "profile"), _count(cells.total(), "cell"))
    )
    return f"{checked}: {', '.join(parts)}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
