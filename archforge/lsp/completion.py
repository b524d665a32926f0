"""Completion: keys and values that the schema has at a place, and names within a formula."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lsprotocol import types

from archforge.lsp.cursor import ITEM, Cursor, cursor_at
from archforge.lsp.names import names_at
from archforge.lsp.open_specs import Analysis
from archforge.lsp.schema_walk import constants, described, entries, fragments
from archforge.resources import zoo_folder
from archforge.spec.resolve.family import REFERRING
from archforge.spec.resolve.library import SUFFIX
from archforge.spec.schema.schema import general_schema
from archforge.spec.schema.values import Json, plain_text
from archforge.spec.syntax.syntax_tree import MERGES, STRUCTURES

__all__ = ["completions"]

_KINDS = {
    "function": types.CompletionItemKind.Function,
    "constant": types.CompletionItemKind.Constant,
    "argument": types.CompletionItemKind.Variable,
}
_NEEDS = re.compile(r"Required\.")


def completions(
    analysis: Analysis | None, path: Path, text: str, line: int, column: int
) -> list[types.CompletionItem]:
    """Everything that may stand at a place; the client keeps what begins with the word there."""
    cursor = cursor_at(text, line, column)
    if cursor.formula is not None:
        names = names_at(analysis, cursor).values()
        return [_named(name.name, name.kind, name.meaning) for name in names]
    schema = analysis.schema if analysis else general_schema()
    if cursor.path and cursor.path[0] in REFERRING:
        return list(_specs(path))
    parts = fragments(schema, cursor.path)
    if cursor.is_key:
        return [_key(name, rule, schema) for name, rule in entries(parts).items()]
    found = [_value(value) for value in constants(parts)]
    if cursor.path[-1] == ITEM or not cursor.word:
        found += _steps(parts, schema, cursor)
    return found


def _named(name: str, kind: str, meaning: str) -> types.CompletionItem:
    kinds = _KINDS.get(kind, types.CompletionItemKind.Reference)
    return types.CompletionItem(name, kind=kinds, detail=meaning)


def _key(name: str, rule: Json, schema: Json) -> types.CompletionItem:
    """A key, with the colon behind it."""
    told = described(fragments({**rule, "definitions": schema["definitions"]}, ()))
    kind = types.CompletionItemKind.Property
    return types.CompletionItem(name, kind=kind, documentation=told, insert_text=f"{name}: ")


def _value(value: object) -> types.CompletionItem:
    return types.CompletionItem(plain_text(value), kind=types.CompletionItemKind.Value)


def _steps(parts: list[Json], schema: Json, cursor: Cursor) -> Iterator[types.CompletionItem]:
    """Steps of a list, and keys of a mapping that is not begun yet. Within brackets a step that needs
    arguments brings its own."""
    for name, rule in entries(parts).items():
        inner = fragments({**rule, "definitions": schema["definitions"]}, ())
        told = described(inner)
        is_step = cursor.path[-1:] == (ITEM,)
        needs = name in (*MERGES, *STRUCTURES) or any(
            _NEEDS.search(described([one])) for one in entries(inner).values()
        )
        text = name if is_step and not needs else f"{{{name}: }}" if cursor.in_flow else f"{name}: "
        kind = types.CompletionItemKind.Function if is_step else types.CompletionItemKind.Property
        yield types.CompletionItem(name, kind=kind, documentation=told, insert_text=text)


def _specs(path: Path) -> Iterator[types.CompletionItem]:
    """Specs of the folder and of the zoo."""
    for folder in dict.fromkeys((path.parent, zoo_folder())):
        for file in sorted(folder.glob(f"*{SUFFIX}")):
            if file != path:
                yield types.CompletionItem(file.stem, kind=types.CompletionItemKind.File)
