"""Names that a formula at a place can use, with what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from archforge.errors import DiagnosticError, Span
from archforge.lsp.cursor import Cursor
from archforge.lsp.open_specs import Analysis
from archforge.spec.formulas.formula import Template, describe
from archforge.spec.formulas.functions import CONSTANTS, FUNCTIONS
from archforge.spec.schema.values import plain_text
from archforge.spec.syntax.inner_steps import columns_in, names_set
from archforge.spec.syntax.reserved_names import VALUES
from archforge.spec.syntax.syntax_tree import ArgDecl, BlockDecl, Body

__all__ = ["Name", "block_around", "called", "names_at"]

_OF_GRAPH = (("graph",), ("outputs",))  # keys whose formulas see what the graph's steps name


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


def names_at(analysis: Analysis | None, cursor: Cursor) -> dict[str, Name]:
    """Every name that a formula at a cursor can use: functions, arguments, and what steps around it name."""
    found = {name: Name(name, "function", function.says) for name, function in FUNCTIONS.items()}
    found |= {name: Name(name, "constant", str(value)) for name, value in CONSTANTS.items()}
    found |= {name: Name(name, "value", told) for name, told in VALUES.items()}
    if analysis and analysis.spec:
        block = block_around(analysis, cursor)
        body = block.body if block else analysis.spec.graph if cursor.path[:1] in _OF_GRAPH else None
        found |= {name: Name(name, "local", "named by a step", span) for name, span in _local(body)}
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


def _local(body: Body | None) -> Iterator[tuple[str, Span | None]]:
    """The taps, lets and columns of a body and of those within it, with the places of taps."""
    for step in body.steps if body else ():
        with suppress(DiagnosticError):  # steps in an argument that do not parse
            for name in names_set(step):
                if not isinstance(name, Template):
                    yield name, None
                elif name.text is not None:
                    yield name.text, name.span
    yield from ((name, None) for name in (columns_in(body) if body else ()))
