"""Comments of a YAML text, each beside the entry or item of the tree that it is about.

The parser drops comments. Here the text between the scalars of its tree is read once more, when somebody asks
for them. A comment on a line of its own is about what follows, or, if it is indented like the items above,
belongs to their end; a comment behind something is about that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from archforge.errors import Span, fail
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree

__all__ = ["Comment", "Surroundings", "is_flow", "is_unwritten", "read_comments"]

_HEADER = re.compile(r"[|>][-+0-9]*[ \t]*(?=#)")  # of a block scalar
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""")
_BLANK = re.compile(r"[ \t]*")
_SEPARATORS = ":,?"  # indicators behind which nothing starts that a comment could be about


class Comment(NamedTuple):
    """A comment with its `#`. `after_blank`: the line above it is empty."""

    text: str
    line: int
    column: int
    after_blank: bool


@dataclass(slots=True)
class Surroundings:
    """Comments around an entry or item: on lines `above` it, `behind` it on its line, and `below` the last
    thing in it. `after_blank`: the line above it is empty."""

    above: list[Comment] = field(default_factory=list)
    behind: list[Comment] = field(default_factory=list)
    below: list[Comment] = field(default_factory=list)
    after_blank: bool = False


# An entry of a mapping, or the value of an item of a sequence, or the whole tree: what comments can be about.
Thing = Entry | Tree


def read_comments(tree: Tree) -> dict[int, Surroundings]:
    """Surroundings of the entries and items of a tree by their `id`; those without any are left out.

    Raises E0705 for what this reader does not take apart: directives, tags, and keys over several lines.
    """
    reader = _CommentReader(tree)
    reader.document()
    return reader.found


def is_flow(tree: Tree) -> bool:
    """True for a collection that is written in brackets."""
    span = tree.span
    return not isinstance(tree, Scalar) and span.source.line(span.line).startswith(("{", "["), span.column)


def is_unwritten(scalar: Scalar) -> bool:
    """True for a null of which nothing is written."""
    span = scalar.span
    text = span.source.line(span.line)[span.column : span.column + span.length]
    return scalar.value is None and not scalar.quoted and text not in ("null", "~")


def _things(tree: Sequence | Mapping) -> tuple[Thing, ...]:
    return tree.items if isinstance(tree, Sequence) else tuple(tree)


def _end_of_blank(text: str, column: int) -> int:
    """The column of the first character from `column` on that is no white space."""
    blank = _BLANK.match(text, column)
    return blank.end() if blank else column


class _Ended(NamedTuple):
    """A thing that has ended since the last one started."""

    thing: Thing
    first_line: int
    end: tuple[int, int]


class _CommentReader:
    """Reader of the text between the scalars of a tree, with a cursor at `line` and `column`."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.source = tree, tree.span.source
        self.found: dict[int, Surroundings] = {}
        self.line, self.column = 0, 0
        self.token_end = (0, 0)
        self.started: Thing | None = None  # the last thing that started, until it or one in it ends
        self.ended: list[_Ended] = []  # since then, the innermost first
        # Block collections among them, each with its owner and the column of its items.
        self.closed: list[tuple[Thing, int]] = []
        self.own_lines: list[Comment] = []  # comments of which it is not known yet what they are about
        self.brackets = 0
        # Items by the `id` of the entry or item that is their only content.
        self.items: dict[int, Thing] = {}

    def around(self, thing: Thing) -> Surroundings:
        return self.found.setdefault(id(thing), Surroundings())

    def about(self, thing: Thing) -> Surroundings:
        """Surroundings of a thing, or of the item that has nothing else in it: they stand on one line."""
        return self.around(self.items.get(id(thing), thing))

    def document(self) -> None:
        self.value(self.tree, self.tree)
        while self.next():
            if not self.skip_marker("..."):
                self.skip()
        self.settle(None, -1)

    # Tokens

    def next(self) -> str:
        """The next character that is neither white space nor in a comment; empty at the end of the text."""
        while self.line < len(self.source.lines):
            text = self.source.lines[self.line]
            self.column = _end_of_blank(text, self.column)
            char = text[self.column : self.column + 1]
            if char == "#":
                self.comment()
            elif char:
                return char
            self.line, self.column = self.line + 1, 0
        return ""

    def comment(self) -> None:
        """Keep the comment at the cursor, which reaches to the end of its line."""
        text = self.source.line(self.line)
        comment = Comment(text[self.column :].rstrip(), self.line, self.column, self.is_after_blank())
        thing = None if self.is_first() else self.before_cursor()
        if thing is None:
            self.own_lines.append(comment)
        else:
            self.about(thing).behind.append(comment)

    def is_first(self) -> bool:
        """True if nothing but white space stands before the cursor on its line."""
        return _end_of_blank(self.source.line(self.line), 0) == self.column

    def is_after_blank(self) -> bool:
        """True if the cursor is the first on its line and the line above is empty."""
        return self.is_first() and self.line > 0 and not self.source.line(self.line - 1).strip()

    def before_cursor(self) -> Thing | None:
        """The thing behind which a comment stands: one that has started only; else, of those that have ended,
        the outermost that started on this line, or the innermost that ends here. None behind the bracket that
        closes the document."""
        if self.started is not None or not self.ended:
            return self.started
        on_line = [ended.thing for ended in self.ended if ended.first_line == self.line]
        ends_here = (ended.thing for ended in self.ended if ended.end == self.token_end)
        return on_line[-1] if on_line else next(ends_here, None)

    def advance(self, line: int, column: int) -> None:
        """Move the cursor behind a scalar, a bracket or a dash."""
        self.line, self.column = self.token_end = line, column

    def go_to(self, span: Span) -> None:
        """Move the cursor to the start of `span`, reading what stands before it."""
        while self.next() and (self.line, self.column) < (span.line, span.column):
            self.skip()
        if (self.line, self.column) != (span.line, span.column):
            self.refuse()

    def go_to_indicator(self, indicator: str) -> None:
        """Move the cursor to the next dash or bracket, reading what stands before it."""
        while self.skip_marker("---") or self.next() != indicator:
            self.skip()

    def skip(self) -> None:
        char = self.next()
        if char and char in _SEPARATORS:
            self.column += 1
        elif not self.skip_marker("---"):
            self.refuse()

    def skip_marker(self, marker: str) -> bool:
        """Skip the mark of a document's start or end, if it stands here."""
        found = self.next() == marker[0] and self.column == 0
        text = self.source.line(self.line)
        found = found and text.startswith(marker) and not text[3:4].strip()
        self.column += 3 * found
        return found

    def refuse(self) -> NoReturn:
        span = Span(self.source, self.line, self.column)
        fail("E0705", "comments cannot be told from what stands here", span, help="write it in a simpler way")

    # Things

    def start(self, thing: Thing) -> None:
        """An entry or item starts at the cursor."""
        self.settle(thing, self.column)
        if self.is_after_blank():
            self.around(thing).after_blank = True
        self.started, self.ended, self.closed = thing, [], []

    def end(self, thing: Thing, first_line: int) -> None:
        self.started = None
        self.ended.append(_Ended(thing, first_line, self.token_end))

    def settle(self, thing: Thing | None, column: int) -> None:
        """Comments on own lines belong to the end of a collection that ends here if they are indented like
        its items, else to the `thing` that starts at `column`, or to the end of the whole tree."""
        limit = len(self.source.text)
        for comment in self.own_lines:
            open_ends = [c for c in self.closed if c[1] <= limit and comment.column > column]
            if open_ends:
                owner, limit = next((c for c in open_ends if c[1] <= comment.column), open_ends[-1])
                self.around(owner).below.append(comment)
            elif thing is not None:
                self.about(thing).above.append(comment)
                limit = -1
            else:
                self.around(self.tree).below.append(comment)
        self.own_lines = []

    # Trees. `owner` is the entry or item whose value is read.

    def value(self, tree: Tree, owner: Thing) -> None:
        if isinstance(tree, Scalar):
            self.scalar(tree, owner)
        elif is_flow(tree):
            self.flow(tree, owner)
        else:
            column = self.collection(tree, owner)
            if not self.brackets:  # else it is a pair, as in [a: 1]
                self.closed.append((owner, column))

    def scalar(self, scalar: Scalar, owner: Thing) -> None:
        if is_unwritten(scalar):
            return
        span = scalar.span
        self.go_to(span)
        self.claim(owner)
        text = self.source.line(span.line)
        if text[span.column] == "!":  # a tag, which may stand on a line of its own, with a comment behind it
            self.refuse()
        header = _HEADER.match(text, span.column)
        if header:
            self.column = header.end()
            self.comment()
        self.advance(*(scalar.end or (span.line, span.column + span.length)))

    def claim(self, owner: Thing) -> None:
        """Comments between a key or dash and its value are about the two."""
        for comment in self.own_lines:
            self.about(owner).above.append(comment)
        self.own_lines = []

    def flow(self, tree: Sequence | Mapping, owner: Thing) -> None:
        self.go_to(tree.span)
        if owner is not self.tree or not _things(tree):  # else about the first thing, as without brackets
            self.claim(owner)
        self.advance(self.line, self.column + 1)
        self.brackets += 1
        self.collection(tree, owner)
        self.brackets -= 1
        self.go_to_indicator("}" if isinstance(tree, Mapping) else "]")
        for comment in self.own_lines:
            self.around(owner).below.append(comment)
        self.own_lines = []
        self.advance(self.line, self.column + 1)

    def collection(self, tree: Sequence | Mapping, owner: Thing) -> int:
        """Read the items or entries of a collection. Returns the column of the last one."""
        column = 0
        things = _things(tree)
        if len(things) == 1 and owner is tree and tree is not self.tree:
            self.items[id(things[0])] = self.items.get(id(owner), owner)
        for thing in things:
            length = self.go_to_start(thing)
            first_line, column = self.line, self.column
            self.start(thing)
            self.advance(self.line, self.column + length)
            self.value(thing.value if isinstance(thing, Entry) else thing, thing)
            self.end(thing, first_line)
        return column

    def go_to_start(self, thing: Thing) -> int:
        """Move the cursor to a key, a dash, or an item in brackets. Returns the length of the key or dash."""
        if isinstance(thing, Entry):
            return self.go_to_key(thing)
        if not self.brackets:
            self.go_to_indicator("-")
            return 1
        if not (isinstance(thing, Scalar) and is_unwritten(thing)):
            self.go_to(thing.span)
        return 0

    def go_to_key(self, entry: Entry) -> int:
        if not (entry.key or entry.quoted):
            return 0  # nothing is written
        span = entry.key_span
        self.go_to(span)
        text = self.source.line(span.line)[span.column : span.column + span.length]
        if not (_QUOTED.fullmatch(text) if entry.quoted else text == entry.key):
            self.refuse()  # it goes on in the next line
        return span.length
