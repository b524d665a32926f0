"""Diagnostics: what is wrong, where, since which call, and the way out.

A mistake of the user is a `Diagnostic`, carried by a `DiagnosticError`; all that a stage can find
travel together. What is allowed but probably not meant is a `Diagnostic` too, a warning. A broken
invariant of ours is an `InternalError` and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NoReturn

from archforge.codes import CODES

__all__ = [
    "MAX_REPORTED",
    "AccuracyWarning",
    "Diagnostic",
    "DiagnosticError",
    "DiagnosticWarning",
    "Frame",
    "InternalError",
    "Note",
    "SourceFile",
    "Span",
    "TrainingWarning",
    "closest",
    "did_you_mean",
    "fail",
    "fail_all",
    "in_order",
    "listed",
    "misspelt",
    "nearest_first",
    "printable",
    "type_in_words",
]

MAX_REPORTED = 50


@dataclass(frozen=True, eq=False)
class SourceFile:
    """The text of a spec under the name that messages print."""

    name: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends, which are those of YAML. A byte order mark is in none."""
        return re.split("\r\n|[\n\r\x85\u2028\u2029]", self.text.removeprefix("\ufeff"))

    def line(self, index: int) -> str:
        """Line `index`, from 0; empty past the last one."""
        return self.lines[index] if index < len(self.lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of one line: `line` and `column` count characters from 0, `length` is at least 1."""

    source: SourceFile
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    @property
    def text(self) -> str:
        """The text that the span marks."""
        return self.source.line(self.line)[self.column : self.column + self.length]

    def part(self, offset: int, length: int) -> Span:
        """The part of `length` characters that starts `offset` behind the start of this span."""
        return Span(self.source, self.line, self.column + offset, max(length, 1))


@dataclass(frozen=True, slots=True)
class Note:
    """A related fact, with its place if it has one."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One call on the way to a mistake: the block that was called, and where."""

    block: str
    span: Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake, or one warning. `label` stands behind the caret, `trace` is outermost call first.
    `mended_by` is `larger` or `other` where the size of the network's input may be the mistake."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    help: str = ""
    notes: tuple[Note, ...] = ()
    trace: tuple[Frame, ...] = ()
    mended_by: str = ""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise InternalError(f"unregistered diagnostic code {self.code}")
        for part in ("message", "label", "help"):  # which may quote a name as long as a file
            text = getattr(self, part)
            if len(text) > LONGEST_TEXT:
                object.__setattr__(self, part, f"{text[:LONGEST_TEXT]}...")

    @property
    def is_warning(self) -> bool:
        """True for what is allowed, but probably not meant."""
        return self.code.startswith("W")

    def within(self, frames: Sequence[Frame]) -> Diagnostic:
        """Diagnostic of the same mistake, with the block calls that led to it in front of its own."""
        return replace(self, trace=(*frames, *self.trace))

    def render(self) -> str:
        """Plain text: the place, the line with a caret, notes, the block calls and the way out."""
        where = f"{self.span}: " if self.span else ""
        out = [f"{where}{self.code}: {_clipped(self.message)}"]
        if self.span:
            out += _excerpt(self.span, self.label)
        for note in self.notes:
            place = f" at {note.span}" if note.span else ""
            out.append(f"      note: {_clipped(note.message)}{place}")
        out += _calls(self.trace)
        if self.help:
            lines = textwrap.wrap(_clipped(self.help), WIDTH, break_long_words=False, break_on_hyphens=False)
            out.append("      help: " + ("\n" + " " * 12).join(lines))
        return "\n".join(out)

    def to_json(self) -> dict[str, object]:
        """Plain data for `--json`; lines and columns count from 1."""

        def place(span: Span | None) -> dict[str, object] | None:
            if span is None:
                return None
            file = span.source.name
            return {"file": file, "line": span.line + 1, "column": span.column + 1, "length": span.length}

        return {
            "code": self.code,
            "message": self.message,
            "span": place(self.span),
            "label": self.label,
            "help": self.help,
            "notes": [{"message": n.message, "span": place(n.span)} for n in self.notes],
            "trace": [{"block": f.block, "span": place(f.span)} for f in self.trace],
        }


WIDTH = 100
LONGEST_TEXT = 4 * WIDTH
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _excerpt(span: Span, label: str) -> list[str]:
    """Line of `span`, cut around it if it is long, and carets below."""
    text = span.source.line(span.line).expandtabs(1)
    start, end = span.column, min(span.column + span.length, max(len(text), span.column + 1))
    if len(text) > 2 * WIDTH:
        first = max(start - WIDTH // 2, 0)
        last = max(min(end, start + WIDTH), first + WIDTH)
        before, after = ("... " if first else "", " ..." if last < len(text) else "")
        text = before + text[first:last] + after
        start, end = (min(n, last) - first + len(before) for n in (start, end))
    gap = " " * _cells(text[:start])
    carets = "^" * max(_cells(text[start:end]), 1)
    caption = f" {_clipped(label)}" if label else ""
    return [f"{span.line + 1:>5} | {printable(text)}", f"      | {gap}{carets}{caption}"]


def _calls(trace: tuple[Frame, ...]) -> list[str]:
    """One line for each call, innermost first; of a deep recursion only the first and last ones."""
    lines = [f"      in: `{_clipped(frame.block)}`, called at {frame.span}" for frame in reversed(trace)]
    return lines if len(lines) <= 8 else [*lines[:4], f"      ... {len(lines) - 6} calls ...", *lines[-2:]]


def printable(text: str) -> str:
    """`text` with escapes for what a terminal would obey or hide, since specs come from anybody."""
    return _HIDDEN.sub(lambda c: c[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _clipped(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]}..."


def _cells(text: str) -> int:
    """Columns of a terminal that `text` takes once printable: wide characters two, marks none."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in printable(text)
    )


class DiagnosticWarning(UserWarning):
    """A warning, while a network runs or learns, with its diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.render())
        self.diagnostic = diagnostic


class AccuracyWarning(DiagnosticWarning):
    """A warning, while a network runs, that its outputs are less accurate than they could be."""


class TrainingWarning(DiagnosticWarning):
    """A warning, when a run begins or goes on, that its results may not be those that are expected."""


@dataclass(eq=False)
class DiagnosticError(Exception):
    """Mistakes of the user that one stage found, in the order of their places."""

    diagnostics: tuple[Diagnostic, ...] = field(default=())

    def __str__(self) -> str:
        return "\n\n".join(d.render() for d in self.diagnostics)


class InternalError(Exception):
    """A broken invariant of archforge itself; please report it."""


def fail(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    label: str = "",
    help: str = "",
    notes: Iterable[Note] = (),
) -> NoReturn:
    """Raise one diagnostic."""
    raise DiagnosticError((Diagnostic(code, message, span, label, help, tuple(notes)),))


def fail_all(found: Iterable[Diagnostic]) -> None:
    """Raise what a stage has found, if anything, in order."""
    diagnostics = in_order(found)
    if diagnostics:
        raise DiagnosticError(diagnostics)


def in_order(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each diagnostic once, by file and place, the first fifty."""
    once: dict[tuple[str, Span | None, str], Diagnostic] = {}
    for diagnostic in found:
        once.setdefault((diagnostic.code, diagnostic.span, diagnostic.message), diagnostic)
    if not once:
        return ()
    files = list(dict.fromkeys(d.span.source for d in once.values() if d.span))

    def place(diagnostic: Diagnostic) -> tuple[int, int, int]:
        span = diagnostic.span
        return (files.index(span.source), span.line, span.column) if span else (-1, 0, 0)

    return tuple(sorted(once.values(), key=place)[:MAX_REPORTED])


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if one is like it at all."""
    return next(iter(_alike(word[:LONGEST], _compared(word, known))), None)


def misspelt(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is but for a slip or two, for its case, or for its end; None if it seems to
    be another word."""
    names = _compared(word, known)
    short = word[:LONGEST].casefold()
    for name in _alike(word[:LONGEST], names):
        if _slips(short, name[:LONGEST].casefold()) <= min(len(word), len(name)) // 3:
            return name
    same = [name for name in names if name.casefold() == short]
    longer = [n for n in names if n.startswith(word) and len(word) >= SHORTEST and len(n) <= 2 * len(word)]
    return next(iter(same), longer[0] if len(longer) == 1 else None)


LONGEST = 100  # characters that are compared
MOST_PAIRS = 60_000  # of characters, one of a word and one of a name, for one suggestion
SHORTEST = 3  # of an abbreviation


def _compared(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The first of the known names, as many as can be compared with `word` in some milliseconds."""
    names: list[str] = []
    length, left = len(word[:LONGEST]), MOST_PAIRS
    for name in known:
        left -= LONGEST + length * len(name)
        if left < 0:
            break
        names.append(name)
    return tuple(names)


@lru_cache(maxsize=1000)
def _alike(word: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(word, known, n=3, cutoff=0.6))


def _slips(word: str, other: str) -> int:
    """Letters to insert, leave out, replace or swap with the next until `word` is `other`.

    Source: optimal string alignment, doi:10.1145/363958.363994.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word):
        last, before, row = before, row, [i + 1]
        for j, wanted in enumerate(other):
            steps = min(before[j] + (letter != wanted), before[j + 1] + 1, row[j] + 1)
            if i and j and letter == other[j - 1] and wanted == word[i - 1]:
                steps = min(steps, last[j - 1] + 1)
            row.append(steps)
    return row[-1]


def type_in_words(value: object) -> str:
    """The type of a value of Python as messages name it: `an int`, `a list`, `None`."""
    if value is None:
        return "None"
    word = type(value).__name__
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


LISTED = 240  # characters


def listed(names: Iterable[str], most: int = LISTED, *, between: str = ", ") -> str:
    """Names with commas between them: as many as fit into `most` characters, and how many more there are."""
    every = list(names)
    length = -len(between)
    for index, name in enumerate(every):
        length += len(between) + len(name)
        if index and length > most:
            return f"{between.join(every[:index])} and {len(every) - index:,} more"
    return between.join(every)


def did_you_mean(word: str, known: Iterable[str], *, what: str = "known") -> str:
    """The help line for a name that does not exist: the one that was meant, or those that there are; the
    nearest first where not all can be listed."""
    names = list(known)
    near = misspelt(word, names)
    if near:
        return f"did you mean `{near}`?"
    if len(", ".join(names)) > LISTED:
        names = nearest_first(word, names)
    return f"{what}: {listed(names) or 'none'}"


def nearest_first(word: str, known: Iterable[str]) -> list[str]:
    """The known names by the number of pairs of letters that they share with `word`; behind them those that
    take longer to compare than some milliseconds."""

    def pairs(name: str) -> set[tuple[str, str]]:
        return {*pairwise(name[:LONGEST].casefold())}

    wanted, names = pairs(word), list(known)
    few = MOST_PAIRS // LONGEST
    return sorted(names[:few], key=lambda name: -len(wanted & pairs(name))) + names[few:]
