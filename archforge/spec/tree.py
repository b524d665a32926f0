"""YAML text to a tree of plain values, each with its span.

YAML 1.2 scalars over libyaml's events: `1e-5` is a number, `on` and `1:30` are text, integers may
be grouped by threes (`25_557_032`). Duplicate keys, anchors, aliases, merge keys and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import yaml

from archforge.errors import Note, SourceFile, Span, fail

__all__ = ["GROUPED", "Entry", "Mapping", "Scalar", "Sequence", "Tree", "parse_yaml"]

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 60

_Loader: Any = getattr(yaml, "CLoader", yaml.Loader)  # libyaml: the same marks, ten times faster

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:_[0-9]{3})+$")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")
# What looks like a number but is one in YAML 1.1 only, or in none.
_DOUBTFUL = re.compile(
    r"[-+]?(?:0[0-9]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_]*|\.(?:inf|nan))$", re.IGNORECASE
)
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, eq=False)
class Scalar:
    """A number, text, true, false or null. `quoted` text is never read as anything else."""

    value: Any
    span: Span
    quoted: bool = False

    def plain(self) -> Any:
        return self.value

    @cached_property
    def formula_span(self) -> Span | None:
        """The stretch of a formula behind its `=`, or None if this is not one."""
        if isinstance(self.value, str) and self.value.startswith("="):
            return self.span.part(1 + self.quoted, len(self.value) - 1)
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


def parse_yaml(source: SourceFile) -> Tree:
    """The document's tree. Raises one diagnostic: a text with a broken form has no second one."""
    if len(source.text) > MAX_CHARACTERS:
        fail("E0107", f"{source.name} has more than {MAX_CHARACTERS:,} characters")
    try:
        return _Builder(source).document()
    except yaml.MarkedYAMLError as error:
        _syntax_error(source, error)
    except yaml.reader.ReaderError as error:
        fail("E0106", f"{source.name}: {error.reason} at character {error.position + 1}")


class _Builder:
    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.depth = 0
        self.flow = 0
        # A BOM is no character of the document; keeping it out keeps the columns of line 1.
        self.events = yaml.parse(source.text.removeprefix("\ufeff"), Loader=_Loader)

    def document(self) -> Tree:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Scalar(None, Span(self.source, 0, 0))
        tree = self.node(next(self.events))
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            fail("E0101", "a spec is one YAML document", self.span(after), help="remove the line `---`")
        return tree

    def span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else 1
        return Span(self.source, start.line, start.column, max(length, 1))

    def node(self, event: Any) -> Tree:
        span = self.span(event)
        self.refuse_foreign(event, span)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, span)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            fail("E0107", f"nested deeper than {MAX_DEPTH} levels", span)
        self.flow += event.flow_style
        tree = self.sequence(span) if isinstance(event, yaml.SequenceStartEvent) else self.mapping(span)
        self.flow -= event.flow_style
        self.depth -= 1
        return tree

    def refuse_foreign(self, event: Any, span: Span) -> None:
        if isinstance(event, yaml.AliasEvent):
            fail("E0103", f"alias `*{event.anchor}`", span, help="name the steps in `blocks:` and call them")
        if event.anchor:
            fail("E0103", f"anchor `&{event.anchor}`", span, help="name the steps in `blocks:` and call them")
        if event.tag not in (None, "!"):
            fail("E0103", f"tag `{event.tag}`", span, help="plain YAML only")

    def sequence(self, span: Span) -> Sequence:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event))
        return Sequence(tuple(items), span)

    def mapping(self, span: Span) -> Mapping:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key_span = self.span(event)
            if not isinstance(event, yaml.ScalarEvent):
                fail("E0101", "a key must be a word", key_span)
            self.refuse_foreign(event, key_span)
            key = event.value
            if event.implicit[0] and key.startswith("="):
                self.refuse_torn_formula(key, key_span)
            if key == "<<":
                fail("E0103", "merge key `<<`", key_span, help="name the steps in `blocks:` and call them")
            if key in entries:
                fail(
                    "E0102",
                    f"duplicate key `{key}`",
                    key_span,
                    notes=[Note("first given", entries[key].key_span)],
                )
            entries[key] = Entry(key, key_span, self.node(next(self.events)))
        return Mapping(entries, span)

    def scalar(self, event: Any, span: Span) -> Scalar:
        text = event.value
        if not event.implicit[0]:
            return Scalar(text, span, quoted=True)
        if text.startswith("="):
            self.refuse_torn_formula(text, span)
            return Scalar(text, span)
        return Scalar(_resolve(text, span), span)

    def refuse_torn_formula(self, text: str, span: Span) -> None:
        """YAML ends a plain scalar in a flow collection at `, [ ] { }`: half a formula is left."""
        if self.flow and any(text.count(a) > text.count(b) for a, b in ("()", "[]", "{}")):
            _unquoted_formula(span.source, span.line, span.column)


def _resolve(text: str, span: Span) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if not (text[0].isdigit() or text[0] in "-+."):
        return text
    if _INT.match(text) or GROUPED.match(text):
        return _number(int, text.replace("_", ""), span)
    if _DOUBTFUL.match(text):
        fail(
            "E0105",
            f"`{text}` is not read as a number alike by all of YAML",
            span,
            help='write a plain decimal number (groups of three: 25_557_032), or quote it: "..."',
        )
    if _FLOAT.match(text):
        return _number(float, text, span)
    return text


def _number(kind: type, text: str, span: Span) -> Any:
    if len(text) > 40:
        fail("E0105", "a number of more than 40 characters", span)
    value = kind(text)
    if abs(value) > 1e18:
        fail("E0105", f"`{text}` is out of range", span, help="numbers are at most 1e18")
    return value


def _syntax_error(source: SourceFile, error: yaml.MarkedYAMLError) -> NoReturn:
    mark = error.problem_mark or error.context_mark
    last = source.text.count("\n")
    if mark is None or (mark.line > last and error.context_mark):
        mark = error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    text = source.line(line)
    formula = re.search(r"(?<=[:,{\[\s])=[^'\"]*$", text[:column])
    if formula:
        _unquoted_formula(source, line, formula.start())
    hint = "indent with spaces" if "\t" in text[: column + 1] else ""
    notes = []
    context = error.context_mark
    if error.context and context and (context.line, context.column) != (line, column):
        notes.append(Note(error.context, Span(source, context.line, context.column)))
    column = min(column, max(len(text) - 1, 0))
    message = (error.problem or "not YAML").replace("found character '\\t'", "found a tab")
    fail("E0101", message, Span(source, line, column), help=hint, notes=notes)


def _unquoted_formula(source: SourceFile, line: int, column: int) -> NoReturn:
    """Refuse the formula that starts at `column`, pointing at all of it."""
    text = source.line(line)
    depth, end = 0, len(text)
    for index in range(column, len(text)):
        char = text[index]
        depth += (char in "([{") - (char in ")]}")
        if depth < 0 or (depth == 0 and char in ",#"):
            end = index
            break
    formula = text[column:end].rstrip()
    fail(
        "E0104",
        "inside `{ }` or `[ ]` a formula that holds `, [ ] { }` must be quoted",
        Span(source, line, column, len(formula)),
        help=f"'{formula}'",
    )
