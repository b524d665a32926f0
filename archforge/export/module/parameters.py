"""The names and shapes of a network's arrays, as a short program that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from archforge.export.module.loops import Parts, roll, split_name
from archforge.export.module.python_text import (
    INDENT,
    WIDTH,
    LoopVariables,
    bracketed,
    literal,
    loop_lines,
    name_text,
)
from archforge.ir import Node, TypedGraph

__all__ = ["parameter_table"]


@dataclass(frozen=True, slots=True)
class _ParameterRow:
    """The arrays of one layer that have one shape.

    parts: the name of the layer. arrays: the expression of their names.
    """

    parts: Parts
    arrays: str
    shape: tuple[int, ...]


def parameter_table(typed: TypedGraph) -> dict[str, list[str]]:
    """The lines of a module's table of arrays.

    `constants`: lines that name the arrays which come together, one for each kind of layer. `rows`: lines
    that yield (layer, names of its arrays of one shape, that shape).
    """
    constants: dict[str, str] = {}
    seen: set[str] = set()
    rows = [row for node in typed.nodes for row in _rows(typed, node, constants, seen)]
    return {
        "constants": [f"{name} = {literal(arrays)}" for name, arrays in constants.items()],
        "rows": [*loop_lines(roll(rows), _lines, 1)] or [f"{INDENT}yield from ()"],
    }


def _rows(
    typed: TypedGraph, node: Node, constants: dict[str, str], seen: set[str]
) -> Iterator[_ParameterRow]:
    """The rows of a node; of arrays that it shares only what no node before it has."""
    decls = node.op.params(*typed.input_types(node)).items()
    own = [(name, decl.shape) for name, decl in decls if node.param_name(name) not in seen]
    seen.update(node.param_name(name) for name, _ in own)
    for shape, group in groupby(own, key=lambda entry: entry[1]):
        arrays = " ".join(name for name, _ in group)
        constant = node.op.kind.upper()
        if " " in arrays and constants.setdefault(constant, arrays) == arrays:
            yield _ParameterRow(split_name(node.params_of), constant, shape)
        else:
            yield _ParameterRow(split_name(node.params_of), literal(arrays), shape)


def _lines(row: _ParameterRow, depth: int, variables: LoopVariables) -> Iterator[str]:
    items = [name_text(row.parts, variables), row.arrays, literal(row.shape)]
    flat = f"{INDENT * depth}yield {', '.join(items)}"
    yield from [flat] if len(flat) <= WIDTH else bracketed(f"{INDENT * depth}yield (", items, ")", depth)
