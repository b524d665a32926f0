"""Results of `archforge check` for a reader at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.analysis.network import Report
from archforge.cli.check_formats import base
from archforge.cli.output import mark, paint, print_diagnostics
from archforge.errors import Diagnostic

__all__ = ["TextWriter"]


class TextWriter(base.ReportWriter):
    """A line for each spec, its mistakes and warnings behind it on standard error, and the sums."""

    def add(self, report: Report) -> None:
        if not report.ok:
            print(f"{mark('mismatch')} {report.name}", flush=True)
        elif report.spaces:
            facts = ", ".join(f"{space.profile} {space.size}" for space in report.spaces)
            print(f"{mark('warned' if report.warnings else 'ok')} {report.name:<28} space: {facts}")
        elif report.networks or report.warnings:
            checked = any(n.cells for n in report.networks)
            sign = mark("warned" if report.warnings else "ok" if checked else "not_applicable")
            print(f"{sign} {report.name:<28} {_told(report)}".rstrip())
        print_diagnostics((*report.diagnostics, *report.failures, *report.warnings))

    def abort(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Nothing: whatever this prints is printed by the command."""

    def close(self, totals: base.Totals, *, ok: bool) -> None:
        print(totals.summary())


def _told(report: Report) -> str:
    """`documented 6 (1 explained), torchvision 7`: the checked cells of each profile."""
    parts = []
    for network in report.networks:
        explained = sum(c.status == "explained" for c in network.cells)
        note = f" ({explained} explained)" if explained else ""
        name = f"{network.spec.block}.{network.profile}".removeprefix(".")
        parts.append(f"{name} {len(network.cells) or paint('unchecked', 'yellow')}{note}")
    return ", ".join(parts)
