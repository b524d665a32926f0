"""Helpers of the parsers: they collect mistakes, and refuse trees of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from archforge.errors import MAX_REPORTED, Diagnostic, DiagnosticError, did_you_mean, fail, fail_all
from archforge.spec.formulas.formula import describe
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree

__all__ = ["Mistakes", "mapping_of", "refuse_unknown", "shown", "torn_text", "word_of", "words_in"]

T = TypeVar("T")


class Mistakes:
    """Collector of diagnostics, so that one mistake does not hide the next; at fifty it gives up."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def add(self, *diagnostics: Diagnostic) -> None:
        self.found += diagnostics
        if len(self.found) >= MAX_REPORTED:
            self.close()

    def attempt(self, parse: Callable[[], T], otherwise: T) -> T:
        try:
            return parse()
        except DiagnosticError as error:
            self.add(*error.diagnostics)
            return otherwise

    def each(self, entries: Iterable[Entry], parse: Callable[[Entry], T]) -> dict[str, T]:
        """Results of `parse` on each entry, by key; entries with mistakes are left out."""
        out: dict[str, T] = {}
        for entry in entries:
            try:
                out[entry.key] = parse(entry)
            except DiagnosticError as error:
                self.add(*error.diagnostics)
        return out

    def close(self) -> None:
        fail_all(self.found)


def _unknown_key(entry: Entry, tree: Mapping, known: Collection[str], foreign: dict[str, str]) -> Diagnostic:
    meant = foreign.get(entry.key, "")
    hint = f"did you mean `{meant}`?" if meant in known else did_you_mean(entry.key, known, what="keys")
    hint = torn_text(entry, tree) or hint
    return Diagnostic("E0201", f"unknown key `{entry.key}`", entry.key_span, help=hint)


def refuse_unknown(tree: Mapping, known: Collection[str], foreign: dict[str, str] | None = None) -> None:
    """Raise E0201 for each key of `tree` that is not among `known`. `foreign`: what others call them."""
    fail_all(_unknown_key(entry, tree, known, foreign or {}) for entry in tree if entry.key not in known)


def torn_text(entry: Entry, tree: Mapping) -> str:
    """Suggestion for a key that is the rest of a text, `{says: every op, even flatten}`; empty for others."""
    entries = list(tree)
    before = entries[entries.index(entry) - 1].value
    is_rest = (
        isinstance(entry.value, Scalar) and entry.value.span.text != "null" and entry.value.value is None
    )
    if not is_rest or entry is entries[0] or not isinstance(before, Scalar) or before.quoted:
        return ""
    if before.span.line != entry.key_span.line or not isinstance(before.value, str):
        return ""
    return f'a text that holds a comma must be quoted: "{before.value}, {entry.key}"'


def mapping_of(tree: Tree, what: str, example: str = "") -> Mapping:
    """Return `tree` if it is a mapping such as the `example`. Raises E0203."""
    if not isinstance(tree, Mapping):
        fail("E0203", f"{what} is a mapping, found {shown(tree)}", tree.span, help=example)
    return tree


def word_of(tree: Tree, what: str) -> str:
    """Return the text that `tree` is. Raises E0203 if it is something else."""
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        return tree.value
    hint = f'quote it: "{tree.span.text}"' if isinstance(tree, Scalar) else ""
    if isinstance(tree, Mapping) and all(isinstance(e.value, Scalar) and e.value.value is None for e in tree):
        hint = f"quote a name with braces: '{{{', '.join(tree.entries)}}}'"
    fail("E0203", f"{what} is a word, found {shown(tree)}", tree.span, help=hint)


def words_in(tree: Tree) -> list[str]:
    """The words of a list of nothing but words; empty for anything else."""
    items = tree.items if isinstance(tree, Sequence) else ()
    words = [item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str)]
    return words if len(words) == len(items) else []


def shown(tree: Tree) -> str:
    """Description of a tree for messages."""
    if isinstance(tree, Scalar):
        return describe(tree.value)
    return "a list" if isinstance(tree, Sequence) else "a mapping"
