"""`archforge check`: every cell of every profile, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from archforge import driver
from archforge.analysis.checks import Status
from archforge.analysis.network import Report
from archforge.cli.exit_codes import CHECK_FAILED, USER_ERROR
from archforge.cli.options import JsonOption, Warnings, WarningsOption
from archforge.cli.output import counted, mark, paint, print_diagnostics, print_json
from archforge.cli.progress import Progress
from archforge.errors import did_you_mean, fail

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
    as_json: JsonOption = False,
) -> None:
    """Hold every count of each spec against its documented figure.

    Exit code 1 if one differs, 2 if a spec is broken.
    """
    if record:
        from archforge.cli.record import record_all

        record_all(paths or [], quiet=as_json)
    tally = _Totals()
    with Progress("reading specs") as progress:
        for report in reports_on(paths or [], progress, profile, require_expect=require_expect):
            tally.add(report)
            if as_json:
                tally.specs += [report.to_json()] if report.is_counted or report.warnings else []
            else:
                with progress.paused():
                    _print(report)
    if profile is not None and not tally.profiles and not tally.broken:
        help = did_you_mean(profile, tally.known, what="profiles")
        fail("E0315", f"no spec here has a profile `{profile}`", help=help)
    refused = tally.broken or (tally.warnings and warnings is Warnings.ERROR)
    if as_json:
        print_json({"specs": tally.specs, "ok": not refused and not tally.failed})
    else:
        print(_summary(tally))
    raise typer.Exit(USER_ERROR if refused else CHECK_FAILED if tally.failed else 0)


@dataclass
class _Totals:
    """Sums over many reports, whose graphs together would fill the memory."""

    networks: int = 0
    profiles: int = 0
    cases: int = 0  # of blocks
    unchecked: int = 0
    by_rule: int = 0
    broken: int = 0
    failed: int = 0
    warnings: int = 0
    cells: Counter[Status] = field(default_factory=Counter)
    known: dict[str, None] = field(default_factory=dict)  # names of profiles
    specs: list[dict[str, Any]] = field(default_factory=list)  # for --json

    def add(self, report: Report) -> None:
        cells = [cell for network in report.networks for cell in network.cells]
        cases = sum(bool(network.spec.block) for network in report.networks)
        is_block = report.spec and report.spec.block
        if report.is_network and not is_block and (report.networks or report.diagnostics):
            self.networks += 1
        self.profiles += len(report.networks) - cases
        self.cases += cases
        self.unchecked += sum(not network.cells for network in report.networks)
        self.by_rule += sum(cell.rule is not None and cell.status == "ok" for cell in cells)
        self.broken += bool(report.diagnostics)
        self.failed += bool(report.failures)
        self.warnings += len(report.warnings)
        self.cells.update(cell.status for cell in cells)
        self.known |= dict.fromkeys(report.spec.profile_names if report.spec else ())


def reports_on(
    paths: list[str], progress: Progress, profile: str | None = None, *, require_expect: bool = False
) -> Iterator[Report]:
    """A report on each file, which `progress` names before it is read."""
    files = driver.zoo_paths(paths)
    reports = driver.check(files, profile, require_expect=require_expect)
    for number, file in enumerate(files, 1):
        progress.say(f"checking {file.stem}, {number} of {len(files)}")
        yield next(reports)


def _print(report: Report) -> None:
    if not report.ok:
        print(f"{mark('mismatch')} {report.name}", flush=True)
    elif report.networks or report.warnings:
        checked = any(n.cells for n in report.networks)
        sign = mark("warned" if report.warnings else "ok" if checked else "not_applicable")
        print(f"{sign} {report.name:<28} {_told(report)}".rstrip())
    print_diagnostics((*report.diagnostics, *report.failures, *report.warnings))


def _told(report: Report) -> str:
    """`documented 6 (1 explained), torchvision 7`: the checked cells of each profile."""
    parts = []
    for network in report.networks:
        explained = sum(c.status == "explained" for c in network.cells)
        note = f" ({explained} explained)" if explained else ""
        name = f"{network.spec.block}.{network.profile}".removeprefix(".")
        parts.append(f"{name} {len(network.cells) or paint('unchecked', 'yellow')}{note}")
    return ", ".join(parts)


def _summary(tally: _Totals) -> str:
    cells = tally.cells
    parts = [f"{cells['ok']:,} ok" + (f" ({tally.by_rule} by rule)" if tally.by_rule else "")]
    statuses: tuple[Status, ...] = ("explained", "mismatch")
    parts += [f"{cells[status]:,} {status}" for status in statuses if cells[status]]
    parts += [f"{counted(tally.unchecked, 'profile')} unchecked"] if tally.unchecked else []
    parts += [counted(tally.broken, "broken spec")] if tally.broken else []
    parts += [counted(tally.warnings, "warning")] if tally.warnings else []
    counts = []
    if tally.networks or not tally.cases:
        counts += [counted(tally.networks, "network"), counted(tally.profiles, "profile")]
    if tally.cases:
        counts.append(counted(tally.cases, "case") + " of blocks")
    counts.append(counted(cells.total(), "cell"))
    return f"{', '.join(counts)}: {', '.join(parts)}"
