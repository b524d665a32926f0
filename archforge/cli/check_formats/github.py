"""Results of `archforge check` as commands of GitHub Actions, which show them at their lines.

Source: docs.github.com, Workflow commands for GitHub Actions.
"""

from __future__ import annotations

from collections.abc import Sequence

from archforge.analysis.network import Report
from archforge.cli.check_formats import base
from archforge.errors import Diagnostic, printable

__all__ = ["GithubWriter"]


class GithubWriter(base.ReportWriter):
    """An `::error` or `::warning` for each diagnostic, and the sums."""

    def add(self, report: Report) -> None:
        for diagnostic in (*report.diagnostics, *report.failures, *report.warnings):
            print(self._command(diagnostic, report), flush=True)

    def abort(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.add(base.no_report(diagnostics))

    def close(self, totals: base.Totals, *, ok: bool) -> None:
        print(totals.summary())

    def _command(self, diagnostic: Diagnostic, report: Report) -> str:
        properties: dict[str, object] = {}
        if file := base.file_of(diagnostic, report):
            properties["file"] = file.as_posix()
            if span := diagnostic.span:
                line, column = span.line + 1, span.column + 1
                properties |= {
                    "line": line,
                    "col": column,
                    "endLine": line,
                    "endColumn": column + span.length,
                }
        properties["title"] = f"{report.name}: {diagnostic.code}"
        given = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
        level = "error" if self.is_mistake(diagnostic) else "warning"
        text = "\n".join([diagnostic.message, *base.further(diagnostic)])
        return f"::{level} {given}::{_escaped(text)}"


def _escaped(text: str, further: str = "") -> str:
    """A text in which nothing ends the command, or a property of it."""
    lines = "\n".join(map(printable, text.split("\n")))
    return "".join(f"%{ord(sign):02X}" if sign in "%\r\n" + further else sign for sign in lines)
