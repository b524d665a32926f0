"""Fixes of findings: what has no effect is taken out of a spec, if it is proved that no network changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archforge import driver
from archforge.analysis.network import Network, Report
from archforge.errors import Diagnostic, DiagnosticError, Span
from archforge.paths import resolved
from archforge.recipe.digests import graph_digest
from archforge.spec.resolve.family import family_of, text_of
from archforge.spec.resolve.library import Library
from archforge.spec.yaml.meant_comments import without_comment
from archforge.spec.yaml.removal import without

__all__ = ["FIXED", "Fixed", "fixed"]

# Codes of what has no effect: a comment, a key, something with a name that nothing uses, a condition or a
# repeat, a default.
COMMENT = "W0101"
FIXED = (COMMENT, "W0201", "W0301", "W0305", "W0308")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A text of a spec without what was found there. gone: the findings, in the order of their removal."""

    text: str
    gone: tuple[Diagnostic, ...]


def fixed(path: Path) -> Fixed:
    """The text of a spec without what has no effect.

    A removal is not made if a network of this file, or of one in its folder that extends or imports it, would
    have another graph, figure, recipe or preparation of pictures after it, or a finding that it had not
    before; nor if a comment is about what would be removed.
    """
    path = resolved(path)
    texts = {path: text_of(path, {})}
    before = _reports(texts)
    if any(_removable(before[path])):  # most files have nothing to remove, and need none beside them
        texts = family_of(path, texts)
        before = _reports(texts)
    gone: list[Diagnostic] = []
    while (step := next(_steps(path, texts, before), None)) is not None:
        text, before, found = step
        texts = texts | {path: text}
        gone.append(found)
    return Fixed(texts[path], tuple(gone))


Reports = Mapping[Path, Report]


def _reports(texts: Mapping[Path, str]) -> Reports:
    library = Library(dict(texts))
    return {path: driver.report(path, library) for path in texts}


def _steps(
    path: Path, texts: Mapping[Path, str], before: Reports
) -> Iterator[tuple[str, Reports, Diagnostic]]:
    """The removals that can be made in a file, each with the reports after it and the finding."""
    for found, span in _removable(before[path]):
        remove = without_comment if found.code == COMMENT else without
        for candidate in remove(texts[path], span.line, span.column):
            after = _reports({**texts, path: candidate})
            if _findings(after[path]) < _findings(before[path]) and _is_same(before, after):
                yield candidate, after, found


def _removable(report: Report) -> Iterator[tuple[Diagnostic, Span]]:
    """The findings in a file that say what has no effect there, with their places."""
    if report.spec is None or report.diagnostics:
        return
    for found in report.warnings:
        span = found.span
        if found.code in FIXED and span is not None and span.source is report.spec.document.source:
            yield found, span


def _is_same(before: Reports, after: Reports) -> bool:
    """True if each file has the same networks as before, and no finding that it had not."""
    try:
        return all(
            _findings(after[path]) <= _findings(report) and _facts(after[path]) == _facts(report)
            for path, report in before.items()
        )
    except DiagnosticError:
        return False


def _findings(report: Report) -> Counter[tuple[str, str]]:
    told = (*report.diagnostics, *report.failures, *report.warnings)
    return Counter((d.code, d.message) for d in told)


def _facts(report: Report) -> list[Any]:
    return [report.spaces, *map(_of_network, report.networks)]


def _of_network(network: Network) -> list[Any]:
    """The hash of the graph, and what else is known of a network."""
    recipe = network.recipe.recipe.brief() if network.recipe else None
    told = network.to_json(), network.model, network.preprocessing, network.labels, recipe
    return [graph_digest(network.graph), *told]
