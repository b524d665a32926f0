"""Quick fixes: the ways out of diagnostics that are edits of the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from archforge.errors import Diagnostic
from archforge.lsp.open_specs import Analysis

__all__ = ["Fix", "fixes"]

_MEANT = re.compile(r"did you mean `([^`]+)`\?")


class Fix(NamedTuple):
    """An edit of one line that mends a diagnostic, or says that its warning is meant."""

    title: str
    diagnostic: Diagnostic
    line: int
    start: int
    end: int
    text: str


def fixes(analysis: Analysis, first: int, last: int) -> Iterator[Fix]:
    """The fixes of the diagnostics that start in these lines."""
    lines = analysis.text.split("\n")
    for diagnostic in analysis.diagnostics:
        span = diagnostic.span
        if not span or not analysis.holds(span) or not first <= span.line <= last:
            continue
        meant = _MEANT.search(diagnostic.help)
        if meant:
            place = span.line, span.column, span.column + span.length
            yield Fix(f"Write `{meant[1]}`", diagnostic, *place, meant[1])
        if diagnostic.is_warning:
            line = lines[span.line].rstrip("\r")
            title, text = f"Say that {diagnostic.code} is meant", f"  # meant: {diagnostic.code}"
            yield Fix(title, diagnostic, span.line, len(line), len(line), text)
