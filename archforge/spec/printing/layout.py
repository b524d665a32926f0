"""Layout of a spec's text: collections in brackets where they fit their line and hold no comment, else in
blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from textwrap import wrap
from typing import NamedTuple

from archforge.spec.printing.scalars import has_escapes, write_scalar
from archforge.spec.yaml.comments import Comment, Surroundings

__all__ = ["WIDTH", "Atom", "Child", "Collection", "Part", "can_be_paragraph", "lines_of", "written"]

WIDTH = 120
INDENT = "  "


class Atom(NamedTuple):
    """A scalar: its text on one line inside brackets (`flow`) and outside of them (`block`).

    paragraph: a text that goes over several lines: always if it has line ends, else where it does not fit
    one.
    """

    flow: str
    block: str
    paragraph: str | None = None


def written(value: str | float | bool | None) -> Atom:
    """A text, number, true, false or null as a scalar."""
    return Atom(write_scalar(value, in_flow=True), write_scalar(value, in_flow=False))


@dataclass(frozen=True, eq=False)
class Child:
    """An item of a list (`key` is None) or an entry of a mapping, with the comments around it."""

    key: Atom | None
    part: Part
    around: Surroundings = field(default_factory=Surroundings)


@dataclass(frozen=True, eq=False)
class Collection:
    """A list or mapping. `flow`: it may stand in brackets; `fills`: over several lines, if it is a list of
    scalars."""

    children: tuple[Child, ...]
    is_list: bool
    flow: bool = True
    fills: bool = False

    @cached_property
    def inline(self) -> str | None:
        """Text of the collection in brackets; None if it cannot stand there."""
        if self.children and (not self.flow or self.has_comments):
            return None
        texts: list[str] = []
        for child in self.children:
            text = child.part.flow if isinstance(child.part, Atom) else child.part.inline
            if text is None:
                return None
            texts.append(text if child.key is None else f"{child.key.flow}: {text}")
        return f"[{', '.join(texts)}]" if self.is_list else f"{{{', '.join(texts)}}}"

    @cached_property
    def has_comments(self) -> bool:
        """True if there is a comment around something in it."""
        return any(
            c.around.above
            or c.around.behind
            or c.around.below
            or (isinstance(c.part, Collection) and c.part.has_comments)
            for c in self.children
        )


Part = Atom | Collection


def lines_of(collection: Collection, indent: str = "", below: Iterable[Comment] = ()) -> list[str]:
    """The lines of a collection as a block, each with `indent` in front, and comments `below` its end."""
    out: list[str] = []
    for child in collection.children:
        for comment in child.around.above:
            _add_comment(out, comment, indent)
        if out and child.around.after_blank:
            out.append("")
        out += _child_lines(child, indent)
    for comment in below:
        _add_comment(out, comment, indent)
    return out


def _add_comment(out: list[str], comment: Comment, indent: str) -> None:
    out += ["", indent + comment.text] if out and comment.after_blank else [indent + comment.text]


def _child_lines(child: Child, indent: str) -> list[str]:
    """An item or entry, the comments above it left out."""
    head = indent + ("-" if child.key is None else f"{child.key.block}:")
    behind = child.around.behind
    if isinstance(child.part, Atom):
        first, *rest = _atom_lines(child.part, head, indent + INDENT)
        return [_with_comment(first, behind), *rest]
    inline = None if child.around.below else child.part.inline
    if inline is not None and (not child.part.children or len(head) + 1 + len(inline) <= WIDTH):
        return [_with_comment(f"{head} {inline}", behind)]
    if inline is not None and child.part.fills and not behind and _are_scalars(child.part):
        return _filled(head, child.part, indent + INDENT)
    nested = lines_of(child.part, indent + INDENT, child.around.below)
    if child.key is not None:
        return [_with_comment(head, behind), *nested]
    if nested[0].lstrip().startswith("#"):  # about the first thing in the item, which cannot follow the dash
        return [*_above(behind, indent), head, *nested]
    nested[0] = head + nested[0][len(head) :]
    if len(nested) == 1 or _is_one_step(child.part):
        return [_with_comment(nested[0], behind), *nested[1:]]
    return [*_above(behind, indent), *nested]


def _are_scalars(part: Collection) -> bool:
    return part.is_list and all(isinstance(child.part, Atom) for child in part.children)


def _filled(head: str, part: Collection, indent: str) -> list[str]:
    """A list in brackets, as many of its scalars on each line as fit."""
    texts = [child.part.flow for child in part.children if isinstance(child.part, Atom)]
    words = [f"{text}," for text in texts[:-1]] + [f"{texts[-1]}]"]
    lines = [f"{head} [{words[0]}"]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return lines


def _above(comments: list[Comment], indent: str) -> list[str]:
    return [indent + comment.text for comment in comments]


def _is_one_step(part: Part) -> bool:
    """True for an entry with all that is below it, perhaps in lists of one: a comment may stand behind its
    key."""
    while isinstance(part, Collection) and part.is_list and len(part.children) == 1:
        part = part.children[0].part
    return isinstance(part, Atom) or (not part.is_list and len(part.children) == 1)


def _with_comment(line: str, comments: list[Comment]) -> str:
    """The line with the comment behind it, in the column where it stood, if there is room."""
    if not comments:
        return line
    (comment,) = comments
    return f"{line:<{max(comment.column, len(line) + 2)}}{comment.text}"


def _atom_lines(atom: Atom, head: str, indent: str) -> list[str]:
    text = atom.paragraph
    line = f"{head} {atom.block}" if atom.block else head
    if text is None or ("\n" not in text and len(line) <= WIDTH):
        return [line]
    if "\n" in text:
        mark, body = "|" if text.endswith("\n") else "|-", text.removesuffix("\n").split("\n")
    else:  # YAML reads the end of a line as the single space that it is cut at
        width = max(WIDTH - len(indent), 40)
        mark, body = ">-", wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [f"{head} {mark}", *(indent + line if line else "" for line in body)]


def can_be_paragraph(text: str) -> bool:
    """True if `text` can be written over several lines without quotes, as it is."""
    lines = text.removesuffix("\n").split("\n")
    if any(has_escapes(line) or line != line.rstrip() for line in lines):
        return False
    is_folded = "\n" not in text
    return lines[0][:1] not in ("", " ") and lines[-1] != "" and not (is_folded and "  " in text)
