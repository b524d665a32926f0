"""Definitions: from a name to where it is declared."""

from __future__ import annotations

from archforge.errors import DiagnosticError, SourceFile, Span
from archforge.lsp.cursor import cursor_at
from archforge.lsp.hover import word_at
from archforge.lsp.names import called, names_at
from archforge.lsp.open_specs import REFERRING, Analysis
from archforge.spec.resolve.library import Library

__all__ = ["definition"]


def definition(analysis: Analysis, line: int, column: int) -> Span | None:
    """The place where the name at a place is declared; None for a name that is none, or of the language."""
    word, start = word_at(analysis.text, line, column)
    cursor = cursor_at(analysis.text, line, start + len(word))
    path = cursor.path
    if path and path[0] in REFERRING:
        return _file(analysis, analysis.text.split("\n")[line], column)
    if not word or analysis.spec is None:
        return None
    if cursor.formula is not None:
        found = names_at(analysis, cursor).get(word)
        return found.span if found and found.span else _span_of(called(analysis, word))
    for key in (*reversed(path), ""):
        block = called(analysis, key)
        if block and word in block.args and path[-1:] in ((key,), (word,), ("first",)):
            return block.args[word].span
    if path[:1] in (("with",), ("profiles",)) and word in analysis.spec.args:
        return analysis.spec.args[word].span
    return _span_of(called(analysis, word))


def _span_of(block: object) -> Span | None:
    return getattr(block, "span", None)


def _file(analysis: Analysis, line: str, column: int) -> Span | None:
    """The beginning of the spec whose name stands at a column."""
    if analysis.spec is None:
        return None
    header = analysis.spec.document.header
    for name in filter(None, (header.extends, *header.imports)):
        at = line.find(name)
        if 0 <= at <= column <= at + len(name):
            library = Library()
            try:
                document = library.read(analysis.path)
                file = library.reference(name, document, document.tree.span)
            except DiagnosticError:
                return None
            return Span(SourceFile(str(file), ""), 0, 0)
    return None
