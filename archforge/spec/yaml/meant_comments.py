"""Comments that say a warning is meant: `# meant: W0401`, at the end of the line that is warned of.

Several codes stand with commas between them, and a reason may follow. Nothing is read but lines that
are warned of, and the texts that hold such a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from archforge.codes import CODES
from archforge.errors import Diagnostic, SourceFile, Span, did_you_mean, in_order

__all__ = ["idle_comments", "unmeant", "without_comment"]

WORD = "# meant:"
PRACTICES = "W05"  # what `archforge lint` finds, which a check does not look for
_COMMENT = rf"(?<!\S){WORD}[ \t]*([^\s,#]+(?:[ \t]*,[ \t]*[^\s,#]+)*)?"  # compiled where one is read


def unmeant(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The warnings that no comment says are meant, in order."""
    lines: dict[tuple[SourceFile, int], set[str]] = {}  # the codes that are meant on each

    def is_meant(code: str, span: Span) -> bool:
        line = (span.source, span.line)
        if line not in lines:
            lines[line] = {code for code, _ in _meant(*line)}
        return code in lines[line]

    return in_order(w for w in found if w.span is None or not is_meant(w.code, w.span))


def _meant(source: SourceFile, line: int) -> Iterator[tuple[str, Span]]:
    """The codes that comments on a line name, each with its place; an empty one where one names none."""
    for comment in re.finditer(_COMMENT, source.line(line)):
        if comment[1] is None:
            yield "", Span(source, line, comment.start(), len(WORD))
            continue
        for code in re.finditer(r"[^\s,]+", comment[1]):
            yield code[0], Span(source, line, comment.start(1) + code.start(), len(code[0]))


def idle_comments(source: SourceFile, found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Warnings (W0101) of the comments in a file that silence nothing. found: all warnings there are."""
    if WORD not in source.text:
        return []
    warned = {(w.code, w.span.line) for w in found if w.span and w.span.source is source}
    lines = [index for index, text in enumerate(source.lines) if WORD in text]
    named = (named for line in lines for named in _meant(source, line))
    return [
        _idle(code, span)
        for code, span in named
        if (code, span.line) not in warned and not (code in CODES and code.startswith(PRACTICES))
    ]


def _idle(code: str, span: Span) -> Diagnostic:
    warnings = [c for c in CODES if "W" <= c < PRACTICES]  # those of specs, not of inputs
    if not code:
        return Diagnostic("W0101", "the comment names no warning", span, help="# meant: W0401")
    if code not in warnings:
        hint = did_you_mean(code, warnings, what="warnings")
        return Diagnostic("W0101", f"there is no warning `{code}`", span, help=hint)
    hint = "remove it, or put it at the end of the line that is warned of"
    return Diagnostic("W0101", f"there is no `{code}` on this line", span, help=hint)


def without_comment(text: str, line: int, column: int) -> Iterator[str]:
    """The text without the comment of this form whose word or code stands at a place; none where the comment
    names several codes."""
    lines = text.split("\n")
    end = "\r" if lines[line].endswith("\r") else ""
    for comment in re.finditer(_COMMENT, lines[line]):
        if comment.start() <= column < comment.end() and "," not in (comment[1] or ""):
            kept = lines[line][: comment.start()].rstrip()
            lines[line : line + 1] = [kept + end] if kept else []
            yield "\n".join(lines)
            return
