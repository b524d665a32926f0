"""The base of all forms of the results of `archforge check`: sums over reports, and places of files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archforge.analysis.checks import Status
from archforge.analysis.network import Report
from archforge.cli.output import counted
from archforge.errors import Diagnostic
from archforge.paths import is_file

__all__ = ["ReportWriter", "Totals", "file_of", "further", "no_report"]


@dataclass
class Totals:
    """Sums over many reports, whose graphs together would fill the memory."""

    networks: int = 0
    profiles: int = 0
    cases: int = 0  # of blocks
    spaces: int = 0
    unchecked: int = 0
    by_rule: int = 0
    broken: int = 0
    failed: int = 0
    warnings: int = 0
    cells: Counter[Status] = field(default_factory=Counter)
    known: dict[str, None] = field(default_factory=dict)  # names of profiles

    def add(self, report: Report) -> None:
        """Add what one report holds."""
        cells = [cell for network in report.networks for cell in network.cells]
        cases = sum(bool(network.spec.block) for network in report.networks)
        is_block = report.spec and report.spec.block
        if report.is_network and not is_block and (report.networks or report.diagnostics):
            self.networks += 1
        self.profiles += len(report.networks) - cases
        self.cases += cases
        self.spaces += bool(report.spaces)
        self.unchecked += sum(not network.cells for network in report.networks)
        self.by_rule += sum(cell.rule is not None and cell.status == "ok" for cell in cells)
        self.broken += bool(report.diagnostics)
        self.failed += bool(report.failures)
        self.warnings += len(report.warnings)
        self.cells.update(cell.status for cell in cells)
        self.known |= dict.fromkeys(report.spec.profile_names if report.spec else ())

    def summary(self) -> str:
        """The sums in one line."""
        cells = self.cells
        parts = [f"{cells['ok']:,} ok" + (f" ({self.by_rule} by rule)" if self.by_rule else "")]
        statuses: tuple[Status, ...] = ("explained", "mismatch")
        parts += [f"{cells[status]:,} {status}" for status in statuses if cells[status]]
        parts += [f"{counted(self.unchecked, 'profile')} unchecked"] if self.unchecked else []
        parts += [counted(self.broken, "broken spec")] if self.broken else []
        parts += [counted(self.warnings, "warning")] if self.warnings else []
        counts = []
        if self.networks or not (self.cases or self.spaces):
            counts += [counted(self.networks, "network"), counted(self.profiles, "profile")]
        if self.cases:
            counts.append(counted(self.cases, "case") + " of blocks")
        if self.spaces:
            counts.append(counted(self.spaces, "space"))
        counts.append(counted(cells.total(), "cell"))
        return f"{', '.join(counts)}: {', '.join(parts)}"


@dataclass
class ReportWriter(ABC):
    """Prints reports in one form: each as it comes, or all at the end."""

    refuses_warnings: bool  # a warning is a mistake

    @abstractmethod
    def add(self, report: Report) -> None:
        """Take one report."""

    @abstractmethod
    def close(self, totals: Totals, *, ok: bool) -> None:
        """Print what is left once all reports were taken. ok: nothing is wrong with any of them."""

    def abort(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Print mistakes of the command line, after which no report comes. They are told on standard error
        in any case."""
        self.add(no_report(diagnostics))
        self.close(Totals(broken=1), ok=False)

    def is_mistake(self, diagnostic: Diagnostic) -> bool:
        """True unless it is a warning that may stay one."""
        return self.refuses_warnings or not diagnostic.is_warning


def no_report(diagnostics: Sequence[Diagnostic]) -> Report:
    """Mistakes of the command line in the form of a report."""
    return Report("archforge", "", None, diagnostics=tuple(diagnostics))


def file_of(diagnostic: Diagnostic, report: Report) -> Path | None:
    """The file that a diagnostic is about, below the working folder where it lies there; None for standard
    input and what is no file."""
    path = Path(diagnostic.span.source.name if diagnostic.span else report.path)
    if not is_file(path):
        return None
    try:
        return Path(os.path.abspath(path)).relative_to(Path.cwd())  # noqa: PTH100  links stay
    except (ValueError, OSError):
        return path


def further(diagnostic: Diagnostic) -> Iterator[str]:
    """The lines of a diagnostic besides its message: label, notes, calls, and the way out."""
    if diagnostic.label:
        yield diagnostic.label
    for note in diagnostic.notes:
        yield f"note: {note.message}" + (f" at {note.span}" if note.span else "")
    for frame in reversed(diagnostic.trace):
        yield f"in: `{frame.block}`, called at {frame.span}"
    if diagnostic.help:
        yield f"help: {diagnostic.help}"
