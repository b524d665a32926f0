"""Definitions: from a name to where it is declared."""

from __future__ import annotations

from archforge.errors import DiagnosticError, SourceFile, Span
from archforge.lsp.cursor import word_at
from archforge.lsp.names import called, names_at
from archforge.lsp.open_specs import Analysis
from archforge.lsp.symbols import symbol_at
from archforge.spec.resolve.family import REFERRING
from archforge.spec.resolve.library import Library

__all__ = ["definition"]


def definition(analysis: Analysis, line: int, column: int) -> Span | None:
    """The place where the name at a place is declared; None for a name that is none, or of the language."""
    word, _, cursor = word_at(analysis.text, line, column)
    if cursor.path and cursor.path[0] in REFERRING:
        return _file(analysis, analysis.text.split("\n")[line], column)
    if cursor.formula is not None:
        name = names_at(analysis, cursor).get(word)
        if name and name.span:
            return name.span
        block = called(analysis, word)
        return block.span if block else None
    symbol = symbol_at(analysis, line, column)
    return symbol.declared if symbol else None


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
