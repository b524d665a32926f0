"""Names that a formula at a place can use, with what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archforge.errors import Span
from archforge.lsp.cursor import Cursor
from archforge.lsp.open_specs import Analysis
from archforge.spec.formulas.formula import describe
from archforge.spec.formulas.functions import CONSTANTS, FUNCTIONS
from archforge.spec.schema.values import plain_text
from archforge.spec.syntax.syntax_tree import ArgDecl, BlockDecl

__all__ = ["Name", "block_around", "called", "names_at"]

# What a step gives a name: a tap, names of a `let`, the columns of a `for`.
_TAP = re.compile(r"\b(?:as|append):\s*([^\W\d]\w*)")
_LET = re.compile(r"\blet:\s*\{([^{}]*)\}")
_COLUMNS = re.compile(r"\bfor:\s*(?:\{((?:[^{}\[\]]|\[[^\[\]]*\])*)\}|\[([^\[\]]*)\])")
_FIRST_WORD = re.compile(r"(?:^|,)\s*([^\W\d]\w*)")
_LISTS = re.compile(r"\[[^\[\]]*\]")
_OF_LOOPS = {"i": "the number of the iteration, from 0", "key": "the key of a row", "row": "the row"}


@dataclass(frozen=True, slots=True)
class Name:
    """A name in formulas: what kind of name it is, what it means, and where it is declared, if it is."""

    name: str
    kind: str
    meaning: str
    span: Span | None = None


def block_around(analysis: Analysis, cursor: Cursor) -> BlockDecl | None:
    """The block whose body or arguments a cursor is in."""
    path = cursor.path
    if not analysis.spec or "blocks" not in path:
        return None
    at = path.index("blocks") + 1
    if len(path) <= at:
        return None
    own = analysis.spec.profiles.get(path[1]) if path[0] == "profiles" and len(path) > 1 else None
    return (own.blocks if own else analysis.spec.blocks).get(path[at])


def called(analysis: Analysis, name: str) -> BlockDecl | None:
    """The block that a call means."""
    if not analysis.spec:
        return None
    profiles = (profile.blocks for profile in analysis.spec.profiles.values())
    return next((blocks[name] for blocks in (analysis.spec.blocks, *profiles) if name in blocks), None)


def names_at(analysis: Analysis | None, text: str, cursor: Cursor) -> dict[str, Name]:
    """Every name that a formula at a cursor can use: functions, arguments, and what steps near it name."""
    found = {name: Name(name, "function", function.says) for name, function in FUNCTIONS.items()}
    found |= {name: Name(name, "constant", str(value)) for name, value in CONSTANTS.items()}
    found |= {name: Name(name, "loop", told) for name, told in _OF_LOOPS.items()}
    found["input"] = Name(
        "input", "value", "the value that the steps begin with: input.channels, input.height"
    )
    found |= {name: Name(name, "local", "named by a step") for name in _local(_section(text, cursor))}
    if analysis and analysis.spec:
        block = block_around(analysis, cursor)
        values = analysis.network.expansion.args if analysis.network else {}
        if block is None or not block.imported:
            found |= dict(_arguments(analysis.spec.args, f"argument of {analysis.spec.name}", values))
        if block:
            found |= dict(_arguments(block.args, f"argument of `{block.name}`", {}))
    return found


def _arguments(
    decls: Mapping[str, ArgDecl], what: str, values: Mapping[str, object]
) -> Iterator[tuple[str, Name]]:
    for name, decl in decls.items():
        told = what
        if decl.default is not None:
            told += f", {plain_text(decl.default.tree.plain())} by default"
        elif decl.kind:
            told += f", {decl.kind}"
        if name in values:
            told += f"; here {describe(values[name])}"
        yield name, Name(name, "argument", told, decl.span)


def _section(text: str, cursor: Cursor) -> str:
    """The text of the block, or else of the top-level key, that a cursor is in."""
    lines = text.split("\n")
    if not cursor.around:
        return text
    depth = 1 if cursor.path[0] == "blocks" and len(cursor.around) > 1 else 0
    key = cursor.around[depth]
    end = key.line + 1
    while end < len(lines) and (not lines[end].strip() or _indentation(lines[end]) > key.column):
        end += 1
    return "\n".join(lines[key.line : end])


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _local(text: str) -> Iterator[str]:
    yield from _TAP.findall(text)
    for inside in _LET.findall(text):
        yield from _FIRST_WORD.findall(_LISTS.sub("", inside))
    for named, listed in _COLUMNS.findall(text):
        yield from _FIRST_WORD.findall(_LISTS.sub("", named) or listed)
