"""`archforge check`: every cell of every profile, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer

from archforge import driver
from archforge.analysis.network import Report
from archforge.cli import CHECK_FAILED, USER_ERROR
from archforge.cli.options import JsonOption
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
    as_json: JsonOption = False,
) -> None:
    """Hold every count of each spec against its documented figure.

    Exit code 1 if one differs, 2 if a spec is broken.
    """
    if record:
        from archforge.cli.record import record_all

        record_all(paths or [], quiet=as_json)
    reports = []
    with Progress("reading specs") as progress:
        for report in reports_on(paths or [], progress, profile, require_expect=require_expect):
            reports.append(report)
            if not as_json:
                with progress.paused():
                    _print(report)
    if profile is not None and not any(r.networks or r.diagnostics for r in reports):
        _refuse_profile(profile, reports)
    _finish(reports, as_json=as_json)


def reports_on(
    paths: list[str], progress: Progress, profile: str | None = None, *, require_expect: bool = False
) -> Iterator[Report]:
    """A report on each file, which `progress` names before it is read."""
    files = driver.zoo_paths(paths)
    reports = driver.check(files, profile, require_expect=require_expect)
    for number, file in enumerate(files, 1):
        progress.say(f"checking {file.stem}, {number} of {len(files)}")
        yield next(reports)


def _refuse_profile(profile: str, reports: list[Report]) -> None:
    known = dict.fromkeys(name for r in reports if r.spec for name in r.spec.profile_names)
    fail(
        "E0315", f"no spec here has a profile `{profile}`", help=did_you_mean(profile, known, what="profiles")
    )


def _finish(reports: list[Report], *, as_json: bool) -> None:
    broken = any(r.diagnostics for r in reports)
    failed = any(r.failures for r in reports)
    if as_json:
        print_json({"specs": [r.to_json() for r in reports if r.is_counted], "ok": not broken and not failed})
    else:
        print(_summary(reports))
    raise typer.Exit(USER_ERROR if broken else CHECK_FAILED if failed else 0)


def _print(report: Report) -> None:
    if report.ok:
        if report.networks:
            sign = mark("ok" if any(n.cells for n in report.networks) else "not_applicable")
            print(f"{sign} {report.name:<28} {_told(report)}")
        return
    print(f"{mark('mismatch')} {report.name}", flush=True)
    print_diagnostics((*report.diagnostics, *report.failures))


def _told(report: Report) -> str:
    """`documented 6 (1 explained), torchvision 7`: the checked cells of each profile."""
    parts = []
    for network in report.networks:
        explained = sum(c.status == "explained" for c in network.cells)
        note = f" ({explained} explained)" if explained else ""
        _, _, block = network.name.partition(":")
        name = f"{block}.{network.profile}" if block else network.profile
        parts.append(f"{name} {len(network.cells) or paint('unchecked', 'yellow')}{note}")
    return ", ".join(parts)


def _summary(reports: list[Report]) -> str:
    networks = [n for r in reports for n in r.networks]
    cells = Counter(c.status for n in networks for c in n.cells)
    by_rule = sum(c.rule is not None and c.status == "ok" for n in networks for c in n.cells)
    specs = sum(bool(r.networks or r.diagnostics) for r in reports)
    parts = [f"{cells['ok']:,} ok" + (f" ({by_rule} by rule)" if by_rule else "")]
    parts += [f"{cells[s]:,} {s}" for s in ("explained", "mismatch") if cells[s]]
    unchecked = sum(not n.cells for n in networks)
    parts += [f"{counted(unchecked, 'profile')} unchecked"] if unchecked else []
    broken = sum(bool(r.diagnostics) for r in reports)
    parts += [counted(broken, "broken spec")] if broken else []
    checked = ", ".join(
        (counted(specs, "network"), counted(len(networks), "profile"), counted(cells.total(), "cell"))
    )
    return f"{checked}: {', '.join(parts)}"
