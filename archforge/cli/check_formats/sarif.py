"""Results of `archforge check` as SARIF, which code scanning of GitHub and many editors read.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archforge import __version__
from archforge.analysis.network import Report
from archforge.cli.check_formats import base
from archforge.cli.output import print_json
from archforge.codes import CODES
from archforge.errors import Diagnostic, Span

__all__ = ["SarifWriter"]

Json = dict[str, Any]


@dataclass
class SarifWriter(base.ReportWriter):
    """One run, with a result for each diagnostic and a rule for each code that occurs."""

    results: list[Json] = field(default_factory=list)

    def add(self, report: Report) -> None:
        for diagnostic in (*report.diagnostics, *report.failures, *report.warnings):
            self.results.append(self._result(diagnostic, report))

    def close(self, totals: base.Totals, *, ok: bool) -> None:
        codes = dict.fromkeys(result["ruleId"] for result in self.results)
        rules = [{"id": code, "shortDescription": {"text": CODES[code]}} for code in codes]
        driver = {"name": "archforge", "semanticVersion": __version__, "rules": rules}
        run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": self.results}
        schema = "https://json.schemastore.org/sarif-2.1.0.json"
        print_json({"$schema": schema, "version": "2.1.0", "runs": [run]})

    def _result(self, diagnostic: Diagnostic, report: Report) -> Json:
        text = "\n".join([diagnostic.message, *base.further(diagnostic)])
        result: Json = {
            "ruleId": diagnostic.code,
            "level": "error" if self.is_mistake(diagnostic) else "warning",
            "message": {"text": text},
        }
        if file := base.file_of(diagnostic, report):
            result["locations"] = [_location(file, diagnostic.span)]
            related = [*_related(diagnostic)]
            result["relatedLocations"] = [r for i, r in enumerate(related) if r not in related[:i]]
        return result


def _related(diagnostic: Diagnostic) -> Iterator[Json]:
    """The places of notes and of the calls that led to a mistake, as far as they are in files."""
    places = [(note.message, note.span) for note in diagnostic.notes if note.span]
    places += [(f"`{frame.block}` is called here", frame.span) for frame in diagnostic.trace]
    for told, span in places:
        yield {"message": {"text": told}, **_location(Path(span.source.name), span)}


def _location(file: Path, span: Span | None) -> Json:
    """The place of a span in a file, as a URI relative to the working folder where it lies there."""
    uri = file.as_uri() if file.is_absolute() else quote(file.as_posix())
    physical: Json = {"artifactLocation": {"uri": uri}}
    if span is not None:
        columns = {"startColumn": span.column + 1, "endColumn": span.column + span.length + 1}
        physical["region"] = {"startLine": span.line + 1, **columns}
    return {"physicalLocation": physical}
