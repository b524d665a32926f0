"""The names and shapes of a network's arrays, as a short program that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from archforge.export.module.loops import Parts, roll, split_name
from archforge.export.module.python_text import (
    INDENT,
    WIDTH,
    Scope,
    bracketed,
    literal,
    loop_lines,
    name_text,
)
from archforge.ir import Node, TypedGraph

__all__ = ["parameter_table"]


@dataclass(frozen=True, slots=True)
class _Row:
    """Arrays of one layer and one shape; `parts` is the layer's name, `arrays` as Python."""

    parts: Parts
    arrays: str
    shape: tuple[int, ...]


def parameter_table(typed: TypedGraph) -> dict[str, list[str]]:
    """`constants`, the names of arrays that come together, by kind of layer; `rows`, the lines that
    yield (layer, names of its arrays of one shape, that shape)."""
    constants: dict[str, str] = {}
    seen: set[str] = set()
    rows = [row for node in typed.nodes for row in _rows(typed, node, constants, seen)]
    return {
        "constants": [f"{name} = {literal(arrays)}" for name, arrays in constants.items()],
        "rows": [*loop_lines(roll(rows), _lines, 1)] or [f"{INDENT}yield from ()"],
    }


def _rows(typed: TypedGraph, node: Node, constants: dict[str, str], seen: set[str]) -> Iterator[_Row]:
    """The rows of a node; of arrays that it shares only what no node before it has."""
    decls = node.op.params(*typed.input_types(node)).items()
    own = [(name, decl.shape) for name, decl in decls if node.param_name(name) not in seen]
    seen.update(node.param_name(name) for name, _ in own)
    for shape, group in groupby(own, key=lambda entry: entry[1]):
        arrays = " ".join(name for name, _ in group)
        constant = node.op.kind.upper()
        if " " in arrays and constants.setdefault(constant, arrays) == arrays:
            yield _Row(split_name(node.params_of), constant, shape)
        else:
            yield _Row(split_name(node.params_of), literal(arrays), shape)


def _lines(row: _Row, depth: int, scope: Scope) -> Iterator[str]:
    items = [name_text(row.parts, scope), row.arrays, literal(row.shape)]
    flat = f"{INDENT * depth}yield {', '.join(items)}"
    yield from [flat] if len(flat) <= WIDTH else bracketed(f"{INDENT * depth}yield (", items, ")", depth)
