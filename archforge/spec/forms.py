"""What the parsers of documents and steps share: collecting mistakes, and refusing what has another form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from archforge.errors import MAX_REPORTED, Diagnostic, DiagnosticError, did_you_mean, fail, fail_all
from archforge.spec.formula import describe
from archforge.spec.tree import Entry, Mapping, Scalar, Sequence, Tree

__all__ = ["Mistakes", "mapping_of", "refuse_unknown", "shown", "unknown_key", "word_of"]

T = TypeVar("T")


class Mistakes:
    """Collects diagnostics, so that one mistake does not hide the next; at fifty it gives up."""

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
        """`parse` of each entry by its key; the ones with mistakes are left out."""
        out: dict[str, T] = {}
        for entry in entries:
            try:
                out[entry.key] = parse(entry)
            except DiagnosticError as error:
                self.add(*error.diagnostics)
        return out

    def close(self) -> None:
        fail_all(self.found)


def unknown_key(entry: Entry, known: Iterable[str]) -> Diagnostic:
    """The diagnostic for a key that does not exist here."""
    hint = did_you_mean(entry.key, known, what="keys")
    return Diagnostic("E0201", f"unknown key `{entry.key}`", entry.key_span, help=hint)


def refuse_unknown(tree: Mapping, known: Iterable[str]) -> None:
    """Raise E0201 for each key of `tree` that is not among `known`."""
    names = tuple(known)
    fail_all(unknown_key(entry, names) for entry in tree if entry.key not in names)


def mapping_of(tree: Tree, what: str) -> Mapping:
    """`tree`, if it is a mapping. Raises E0203."""
    if not isinstance(tree, Mapping):
        fail("E0203", f"{what} is a mapping, found {shown(tree)}", tree.span)
    return tree


def word_of(tree: Tree, what: str) -> str:
    """The text that `tree` is. Raises E0203."""
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        return tree.value
    hint = ""
    if isinstance(tree, Mapping) and all(isinstance(e.value, Scalar) and e.value.value is None for e in tree):
        hint = f"quote a name with braces: '{{{', '.join(tree.entries)}}}'"
    fail("E0203", f"{what} is a word, found {shown(tree)}", tree.span, help=hint)


def shown(tree: Tree) -> str:
    """A tree as messages print it."""
    if isinstance(tree, Scalar):
        return describe(tree.value)
    return "a list" if isinstance(tree, Sequence) else "a mapping"
