"""YAML text to a tree of plain values, each with its span.

YAML 1.2 scalars over the parser's events: `1e-5` is a number, `on` and `1:30` are text, integers may
be grouped by threes (`25_557_032`). Duplicate keys, anchors, aliases, merge keys and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from archforge.errors import MAX_REPORTED, Diagnostic, DiagnosticError, Note, SourceFile, Span, fail, fail_all
from archforge.spec import limits
from archforge.spec.normal_form import normal_form
from archforge.spec.yaml.parser_errors import NO_ALIAS, NO_TAG, fail_torn_formula, syntax_error
from archforge.spec.yaml.parsers import quick_events, sure_events
from archforge.spec.yaml.text_positions import place_text

__all__ = [
    "GROUPED",
    "Entry",
    "Mapping",
    "Scalar",
    "Sequence",
    "Tree",
    "is_null",
    "parse_yaml",
    "reads_as_text",
    "span_at",
]

MAX_DIGITS = 40
MAX_VALUES, MAX_KEYS = limits.VALUES.most, limits.KEYS.most  # looked up at every value

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:_[0-9]{3})+$")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")
# What looks like a number but is one in YAML 1.1 only, or in none.
_DOUBTFUL = re.compile(r"[-+]?(?:0[0-9]+|0[xob][0-9a-fA-F_]+|[0-9]+_[0-9_]*|\.(?:inf|nan))$", re.IGNORECASE)
# YAML 1.2, production 1, c-printable: the very pattern of PyYAML, which takes 8 ms to compile a second one.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_BLANK = re.compile(r"\S")
_BYTE_ORDER_MARK = "\ufeff"  # no character of a text
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, eq=False)
class Scalar:
    """A number, text, true, false or null. A text that is `quoted` is never read as anything else."""

    value: Any
    span: Span
    quoted: bool = False
    end: tuple[int, int] | None = None  # line and column, if it ends on a later line

    def plain(self) -> Any:
        return self.value

    @property
    def text_span(self) -> Span:
        """Span of the text without its quotes."""
        return place_text(self.value, self.span, quoted=self.quoted, end=self.end)

    @cached_property
    def formula_span(self) -> Span | None:
        """Span of the formula behind its `=`; None if this is no formula."""
        if isinstance(self.value, str) and self.value.startswith("="):
            return self.text_span.part(1, len(self.value) - 1)
        return None


@dataclass(frozen=True, eq=False)
class Sequence:
    items: tuple[Tree, ...]
    span: Span

    def plain(self) -> list[Any]:
        return [item.plain() for item in self.items]


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A key of a mapping and what stands behind it."""

    key: str
    key_span: Span
    value: Tree
    quoted: bool = False

    @property
    def text_span(self) -> Span:
        """Span of the key without its quotes."""
        return place_text(self.key, self.key_span, quoted=self.quoted, end=None)


@dataclass(frozen=True, eq=False)
class Mapping:
    entries: dict[str, Entry]
    span: Span

    def plain(self) -> dict[str, Any]:
        return {key: entry.value.plain() for key, entry in self.entries.items()}

    def get(self, key: str) -> Tree | None:
        entry = self.entries.get(key)
        return entry.value if entry else None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())


Tree = Scalar | Sequence | Mapping


def is_null(tree: Tree) -> bool:
    """True for a null, written or not."""
    return isinstance(tree, Scalar) and tree.value is None


def parse_yaml(source: SourceFile) -> Tree:
    """Tree of a document. Raises all its mistakes, but of those that make it no YAML only the first."""
    limits.CHARACTERS.check(len(source.text), Span(source, 0, 0))
    # A BOM is no character of the document; keeping it out keeps the columns of line 1.
    text = source.text.removeprefix("\ufeff")
    if len(text) <= limits.SLOW_CHARACTERS.most:
        return _read_flawless(source, quick_events(text)) or _read(source, sure_events(text))
    events = quick_events(text)
    if events is None:
        help = "it has tabs, `?` or `|#`, or libyaml is missing here"
        limits.SLOW_CHARACTERS.refuse(Span(source, 0, 0), len(text), help=help)
    return _read(source, events)


def _read_flawless(source: SourceFile, events: Iterator[Any] | None) -> Tree | None:
    """The tree, or None without events and for a text with any mistake."""
    found: list[Diagnostic] = []
    try:
        tree = _Builder(source, found, events).document() if events else None
    except (yaml.YAMLError, UnicodeEncodeError, DiagnosticError):
        return None
    return None if found else tree


def _read(source: SourceFile, events: Iterator[Any]) -> Tree:
    _check_characters(source)
    found: list[Diagnostic] = []
    try:
        tree = _Builder(source, found, events).document()
    except yaml.MarkedYAMLError as error:
        fail_all([*found, syntax_error(source, error)])
        raise
    except DiagnosticError as error:
        fail_all([*found, *error.diagnostics])
        raise
    fail_all(found)
    return tree


def _check_characters(source: SourceFile) -> None:
    text = source.text
    index = _unprintable(text, text.startswith(_BYTE_ORDER_MARK))
    if index < 0:
        return
    message = f"the character U+{ord(text[index]):04X} is not allowed in YAML"
    if "\ud800" <= text[index] <= "\udfff":
        message = "half of a surrogate pair is no character"
    fail("E0106", message, span_at(source, index))


def _unprintable(text: str, start: int = 0) -> int:
    """The index of the first character that a text must not hold; -1 if there is none."""
    found = _UNPRINTABLE.search(text, start)
    places = (found.start() if found else -1, text.find(_BYTE_ORDER_MARK, start))
    return min((place for place in places if place >= 0), default=-1)


def span_at(source: SourceFile, index: int) -> Span:
    """The place of character `index` of the text."""
    lines = SourceFile(source.name, source.text[:index]).lines
    return Span(source, len(lines) - 1, len(lines[-1]))


def reads_as_text(plain: str) -> bool:
    """True if a scalar without quotes is a text: no number, nor what looks like one, true, false or null."""
    return plain not in _WORDS and not any(p.match(plain) for p in (_INT, GROUPED, _DOUBTFUL, _FLOAT))


def _up_to(event: Any, start: Span) -> Span:
    """The span from `start` to the end of a flow collection on the same line."""
    end = event.end_mark
    if end.line != start.line or end.column <= start.column:
        return start
    return Span(start.source, start.line, start.column, end.column - start.column)


def _is_plain(event: Any) -> bool:
    """True for a scalar without quotes, block header or tag; `!` alone says nothing."""
    return not event.style and event.tag in (None, "!")


class _Builder:
    """Builder of a tree from the events of the YAML parser. `found` takes mistakes that it reads past."""

    def __init__(self, source: SourceFile, found: list[Diagnostic], events: Iterator[Any]) -> None:
        self.source = source
        self.found = found
        self.events = events
        self.depth = 0
        self.flow = 0
        self.values = 0
        self.formulas = 0  # characters

    def note(
        self, code: str, message: str, span: Span, *, help: str = "", notes: tuple[Note, ...] = ()
    ) -> None:
        self.found.append(Diagnostic(code, message, span, help=help, notes=notes))
        if len(self.found) >= MAX_REPORTED:
            fail_all(self.found)

    def document(self) -> Tree:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Scalar(None, Span(self.source, 0, 0))
        tree = self.node(next(self.events))
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            fail("E0101", "a spec is one YAML document", self.span(after), help="remove `---` or `...`")
        return tree

    def span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        if start.index == end.index and (self.flow or not self.depth):
            return self.next_character(start.line, start.column)  # nothing stands before the next token
        last = end.column if end.line == start.line else len(self.source.line(start.line).rstrip())
        return Span(self.source, start.line, start.column, max(last - start.column, 1))

    def next_character(self, line: int, column: int) -> Span:
        """The next place that is neither blank nor in a comment; the end of the text if there is none."""
        while line < len(self.source.lines):
            found = _NOT_BLANK.search(self.source.line(line), column)
            if found and found[0] != "#":
                return Span(self.source, line, found.start())
            line, column = line + 1, 0
        last = len(self.source.lines) - 1
        return Span(self.source, last, len(self.source.line(last)))

    def node(self, event: Any) -> Tree:
        span = self.span(event)
        self.values += 1
        if self.values > MAX_VALUES:
            limits.VALUES.refuse(span)
        self.check_foreign(event, span)
        if isinstance(event, yaml.AliasEvent):
            return Scalar(None, span)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, span)
        self.depth += 1
        if self.depth > limits.LEVELS.most:
            limits.LEVELS.refuse(span)
        self.flow += bool(event.flow_style)  # PyYAML's own parser says None of a list in line with its key
        tree = (
            self.sequence(event, span)
            if isinstance(event, yaml.SequenceStartEvent)
            else self.mapping(event, span)
        )
        self.flow -= bool(event.flow_style)
        self.depth -= 1
        return tree

    def check_foreign(self, event: Any, span: Span) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.note("E0103", f"alias `*{event.anchor}`", span, help=NO_ALIAS)
        elif event.anchor:
            name = span.part(0, 1 + len(event.anchor))
            self.note("E0103", f"anchor `&{event.anchor}`", name, help=NO_ALIAS)
        elif event.tag not in (None, "!"):
            self.note("E0103", f"tag `{event.tag}`", span, help=NO_TAG)
        elif isinstance(event, yaml.ScalarEvent) and event.style == '"':
            self.check_escapes(event.value, span)

    def check_escapes(self, text: str, span: Span) -> None:
        """Refuse escapes of characters that the file itself must not hold, since a terminal would obey
        them."""
        index = _unprintable(text)
        if index >= 0:
            message = f"the character U+{ord(text[index]):04X} is not allowed, not even escaped"
            self.note("E0106", message, span)

    def sequence(self, start: Any, span: Span) -> Sequence:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event))
        return Sequence(tuple(items), _up_to(event, span) if start.flow_style else span)

    def mapping(self, start: Any, span: Span) -> Mapping:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key_span = self.span(event)
            if not isinstance(event, yaml.ScalarEvent):
                fail("E0101", "a key must be a word", key_span)
            self.check_foreign(event, key_span)
            key = normal_form(event.value)
            if key[:1] == "=" or "{" in key:
                self.count_formula(key, key_span)
            is_plain = _is_plain(event)
            if is_plain and key.startswith("="):
                self.refuse_torn_formula(key, key_span)
            value = self.node(next(self.events))
            if key == "<<":
                self.note("E0103", "merge key `<<`", key_span, help=NO_ALIAS)
            elif key in entries:
                first = Note("first given", entries[key].key_span)
                hint = "rename one of the two, or join them"
                self.note("E0102", f"duplicate key `{key}`", key_span, help=hint, notes=(first,))
            elif len(entries) == MAX_KEYS:
                limits.KEYS.refuse(key_span)
            else:
                entries[key] = Entry(key, key_span, value, quoted=not is_plain)
        if start.flow_style:
            return Mapping(entries, _up_to(event, span))
        # A block mapping has no token of its own: the first key stands for it.
        return Mapping(entries, next(iter(entries.values())).key_span if entries else span)

    def scalar(self, event: Any, span: Span) -> Scalar:
        text, mark = event.value, event.end_mark
        end = (mark.line, mark.column) if mark.line != event.start_mark.line else None
        if text[:1] == "=" or "{" in text:
            self.count_formula(text, span)
        if not _is_plain(event):
            return Scalar(normal_form(text), span, quoted=True, end=end)
        if text.startswith("="):
            self.refuse_torn_formula(text, span)
            return Scalar(text, span, end=end)
        return Scalar(self.resolve(text, span), span, end=end)

    def count_formula(self, text: str, span: Span) -> None:
        self.formulas += len(text)
        if self.formulas > limits.ALL_FORMULAS.most:
            limits.ALL_FORMULAS.refuse(span)

    def refuse_torn_formula(self, text: str, span: Span) -> None:
        """Refuse half a formula: in a flow collection YAML ends a plain scalar at `, [ ] { }`."""
        if self.flow and any(text.count(a) > text.count(b) for a, b in ("()", "[]", "{}")):
            fail_torn_formula(span.source, span.line, span.column)

    def resolve(self, text: str, span: Span) -> Any:
        """The value of a plain scalar; 0, and a mistake, for a number that other readers of YAML take
        otherwise."""
        if text in _WORDS:
            return _WORDS[text]
        if not (text[0].isdigit() or text[0] in "-+."):
            return normal_form(text)
        if _INT.match(text) or GROUPED.match(text):
            return self.number(int, text.replace("_", ""), span)
        if _DOUBTFUL.match(text):
            hint = f'write a plain decimal number (in groups of three: 25_557_032), or quote it: "{text}"'
            self.note("E0105", f"`{text}` is not read as a number alike by all of YAML", span, help=hint)
            return 0
        if _FLOAT.match(text):
            return self.number(float, text, span)
        return text

    def number(self, kind: type[int] | type[float], text: str, span: Span) -> float:
        if len(text) <= MAX_DIGITS and abs(value := kind(text)) <= limits.NUMBER.most:
            return value
        self.note("E0105", f"`{text}` is out of range", span, help="numbers are at most 1e18")
        return 0
