"""A parsed document as text: the same tree with the same comments, in one layout.

Lists and mappings in brackets stay there if they fit their line and hold no comment; blocks stay blocks.
Numbers and formulas are as they were written, quotes are where they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archforge.errors import DiagnosticError, InternalError, SourceFile, Span, fail
from archforge.spec.limits import CHARACTERS
from archforge.spec.printing.layout import Atom, Child, Collection, Part, can_be_paragraph, lines_of, written
from archforge.spec.printing.scalars import is_clearly_text, quoted
from archforge.spec.syntax.form_checks import mapping_of
from archforge.spec.syntax.syntax_tree import KINDS
from archforge.spec.yaml.comments import Surroundings, is_flow, is_unwritten, read_comments
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree, parse_yaml

__all__ = ["append_section", "print_document"]

MAX_KEY = 1_000  # characters; YAML looks little further for the colon behind a key


def print_document(tree: Tree, *, as_written: bool = False) -> str:
    """The text of a document, with the line ends and the byte order mark of the text that it was read from.

    as_written: quotes stay where they are, be they needed or not, and long lists of scalars in brackets stay
    in them, over several lines.

    Raises E0203 for what is no mapping, and E0705 where a comment or a key cannot be kept.
    """
    tree = mapping_of(tree, "a document")
    source = tree.span.source
    comments = read_comments(tree)
    text = "\n".join(_Printer(comments, as_written=as_written).document(tree)) + "\n"
    _prove(tree, comments, text)
    mark = "\ufeff" if source.text.startswith("\ufeff") else ""
    return mark + (text.replace("\n", "\r\n") if "\r\n" in source.text else text)


def append_section(source: SourceFile, key: str, section: Collection) -> str:
    """The text of a document with one more entry at its end, and nothing else changed.

    Raises E0705 where a line at the end does not belong to the document's own keys.
    """
    entry = Collection((Child(written(key), section),), is_list=False)
    text = "\n".join([source.text.rstrip(), *lines_of(entry)]) + "\n"
    if "\r\n" in source.text:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    if not _adds(text, source.text, key):
        fail(
            "E0705",
            f"`{key}` cannot be appended to {source.name}: another key does not fit behind its end",
            help="write the keys of the spec on lines of their own, without `...` or `---`",
        )
    return text


def _adds(new: str, old: str, key: str) -> bool:
    """True if the text `new` says what `old` says, and `key` besides."""
    try:
        now, before = (parse_yaml(SourceFile("", text)).plain() for text in (new, old))
    except DiagnosticError:
        return False
    return isinstance(now, dict) and now.pop(key, None) is not None and now == before


def _prove(tree: Mapping, comments: dict[int, Surroundings], text: str) -> None:
    """Read the text again: it must say what the tree says, with each comment about the same thing."""
    if len(text) > CHARACTERS.most:
        fail("E0705", f"the printed document would have more than {CHARACTERS.most:,} characters", tree.span)
    again = parse_yaml(SourceFile("<printed>", text))
    if _meaning(again) != _meaning(tree):
        raise InternalError("a document was printed as another one")
    if sorted(_remarks(again, read_comments(again))) != sorted(_remarks(tree, comments)):
        raise InternalError("a comment of a document was printed at another place")


def _meaning(tree: Tree) -> Any:
    """Plain values with their types and the order of keys, and which words are no kinds of arguments."""
    if isinstance(tree, Scalar):
        return (type(tree.value).__name__, tree.value, tree.quoted and tree.value in KINDS)
    if isinstance(tree, Sequence):
        return [_meaning(item) for item in tree.items]
    return [(entry.key, _meaning(entry.value)) for entry in tree]


def _remarks(
    tree: Tree,
    comments: dict[int, Surroundings],
    path: tuple[str, ...] = (),
    thing: Entry | Tree | None = None,
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every comment with the path of what it is about."""
    around = comments.get(id(thing or tree), Surroundings())
    for comment in (*around.above, *around.behind, *around.below):
        yield path, comment.text
    if isinstance(tree, Sequence):
        for index, item in enumerate(tree.items):
            yield from _remarks(item, comments, (*path, f"[{index}]"))
    elif isinstance(tree, Mapping):
        for entry in tree:
            yield from _remarks(entry.value, comments, (*path, entry.key), entry)


class _Printer:
    """Makes the parts of a layout from trees and the comments around them."""

    def __init__(self, comments: dict[int, Surroundings], *, as_written: bool) -> None:
        self.comments = comments
        self.as_written = as_written

    def document(self, tree: Mapping) -> list[str]:
        around = self.comments.get(id(tree), Surroundings())
        root = self.collection(tree, flow=False)
        body = lines_of(root, below=around.below)
        return [c.text for c in (*around.above, *around.behind)] + (body if root.children else ["{}", *body])

    def part(self, tree: Tree, *, flow: bool) -> Part:
        """A value, inside brackets if `flow`."""
        if isinstance(tree, Scalar):
            return _atom(tree, as_written=self.as_written)
        return self.collection(tree, flow=flow or is_flow(tree))

    def collection(self, tree: Sequence | Mapping, *, flow: bool) -> Collection:
        if isinstance(tree, Sequence):
            items = (self.child(None, item, self.comments.get(id(item)), flow=flow) for item in tree.items)
            return Collection(tuple(items), is_list=True, flow=flow, fills=flow and self.as_written)
        entries = (
            self.child(_key(e, as_written=self.as_written), e.value, self.comments.get(id(e)), flow=flow)
            for e in tree
        )
        return Collection(tuple(entries), is_list=False, flow=flow)

    def child(self, key: Atom | None, value: Tree, around: Surroundings | None, *, flow: bool) -> Child:
        part = self.part(value, flow=flow)
        if around is None:
            return Child(key, part)
        # A line has room for one comment behind it, and what holds nothing has no end.
        above = [*around.above, *around.behind[:-1]]
        below = around.below
        if isinstance(part, Atom) or not part.children:
            above, below = [*above, *below], []
        return Child(key, part, Surroundings(above, around.behind[-1:], below, around.after_blank))


def _key(entry: Entry, *, as_written: bool) -> Atom:
    if len(entry.key) > MAX_KEY:
        fail("E0705", f"a key of more than {MAX_KEY:,} characters", entry.key_span)
    if entry.quoted and as_written:
        raw = _raw(entry.key_span)
        return Atom(raw, raw)
    if entry.quoted:
        return _unquoted(entry.key, _raw(entry.key_span))
    return Atom(entry.key, entry.key) if entry.key else Atom("''", "''")


def _raw(span: Span) -> str:
    return span.source.line(span.line)[span.column : span.column + span.length]


def _unquoted(text: str, raw: str) -> Atom:
    """A text that is in quotes, `raw`, without them where nobody needs them."""
    if text in KINDS:  # which, without quotes, declares an argument
        return Atom(raw, raw)
    flow, block = (text if is_clearly_text(text, in_flow=f) else raw for f in (True, False))
    return Atom(flow, block)


def _atom(scalar: Scalar, *, as_written: bool) -> Atom:
    if is_unwritten(scalar):
        return Atom("null", "")
    raw = _raw(scalar.span)
    if scalar.end is not None or raw[0] in "|>":
        if not isinstance(scalar.value, str):
            return written(scalar.value)
        return _text(scalar.value, must_quote=scalar.quoted and scalar.value in KINDS)
    return _unquoted(scalar.value, raw) if scalar.quoted and not as_written else Atom(raw, raw)


def _text(text: str, *, must_quote: bool) -> Atom:
    """A text that goes over several lines where it is written."""
    atom = Atom(quoted(text), quoted(text)) if must_quote else written(text)
    return atom._replace(paragraph=text if can_be_paragraph(text) else None)
