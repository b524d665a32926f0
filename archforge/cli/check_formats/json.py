"""Results of `archforge check` for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from archforge.analysis.network import Report
from archforge.cli.check_formats import base
from archforge.cli.output import print_json
from archforge.errors import Diagnostic

__all__ = ["JsonWriter"]


@dataclass
class JsonWriter(base.ReportWriter):
    """One JSON object, with every spec that has counts or warnings."""

    specs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.specs += [report.to_json()] if report.is_counted or report.warnings else []

    def abort(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Nothing: whatever this prints is printed by the command."""

    def close(self, totals: base.Totals, *, ok: bool) -> None:
        print_json({"specs": self.specs, "ok": ok})
