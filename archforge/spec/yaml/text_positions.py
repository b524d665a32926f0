"""Places of the characters of a text that YAML writes with escapes, folded, or on several lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from archforge.errors import Span

__all__ = ["place_text"]

_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_Place = tuple[int, int]  # line and column


@dataclass(frozen=True, slots=True)
class _ScatteredSpan(Span):
    """A text whose characters do not stand side by side: `places` has one entry for each."""

    places: tuple[_Place, ...] = ()

    def part(self, offset: int, length: int) -> Span:
        places = self.places[offset : offset + max(length, 1)] or self.places[-1:]
        line, column = places[0]
        last = max(c for at, c in places if at == line)
        return _ScatteredSpan(self.source, line, column, max(last - column + 1, 1), places)


@dataclass(frozen=True, slots=True)
class _WholeSpan(Span):
    """A text whose characters cannot be told apart: each part is all of it."""

    def part(self, offset: int, length: int) -> Span:
        return self


def place_text(text: str, span: Span, *, quoted: bool, end: _Place | None) -> Span:
    """The span of the `text` of a scalar whose token is `span`, and reaches to `end` on a later line."""
    raw = span.source.line(span.line)[span.column : span.column + span.length]
    inner = raw[1:-1] if quoted else raw
    if end is None and inner == text:
        return span.part(int(quoted), len(text))
    places = _align(text, span, end or (span.line, span.column + span.length))
    if not places:
        return _WholeSpan(span.source, span.line, span.column, span.length)
    whole = _ScatteredSpan(span.source, span.line, span.column, span.length, tuple(places))
    return whole.part(0, len(places))


def _align(text: str, span: Span, end: _Place) -> list[_Place]:
    """The place of each character of `text`, or nothing. Folding changes white space only, so the
    others follow each other in the source as they do in the text."""
    raw = _characters(span, end)
    places: list[_Place] = []
    index = 0
    for char in text:
        if char.isspace():
            line, column = places[-1] if places else (span.line, span.column)
            places.append((line, column + 1))
            continue
        while index < len(raw) and raw[index][0].isspace():
            index += 1
        if index == len(raw) or raw[index][0] != char:
            return []
        places.append(raw[index][1])
        index += 1
    return places


def _characters(span: Span, end: _Place) -> list[tuple[str, _Place]]:
    """The characters that the token writes, each with its place; quotes and block headers left out."""
    opening = span.source.line(span.line)[span.column : span.column + 1]
    found: list[tuple[str, _Place]] = []
    for line in range(span.line, end[0] + 1):
        text = span.source.line(line)
        first = span.column if line == span.line else 0
        last = end[1] if line == end[0] else len(text)
        if opening in ("|", ">"):
            first = len(text) if line == span.line else 0
        elif opening in ("'", '"'):
            first += line == span.line
            last -= line == end[0]
        found += _unescaped(text, line, first, last, opening)
    return found


def _unescaped(text: str, line: int, first: int, last: int, quote: str) -> list[tuple[str, _Place]]:
    found: list[tuple[str, _Place]] = []
    column = first
    while column < last:
        start, char = column, text[column]
        if quote == "'" and text.startswith("''", column):
            column += 1
        elif quote == '"' and char == "\\" and (escape := _ESCAPE.match(text, column)):
            column = escape.end() - 1
            char = escape[0].encode().decode("unicode_escape") if len(escape[0]) > 2 else escape[0][1]
        column += 1
        found.append((char, (line, start)))
    return found
