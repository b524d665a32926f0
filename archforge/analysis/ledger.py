"""The ledger: one row for each node, with what it owns and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from archforge.analysis.counts import Counts, count
from archforge.ir import Node, Scope, TypedGraph
from archforge.scopes import scope_path

__all__ = ["Ledger", "LedgerRow", "ledger", "source_line"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One node. Shapes are without the batch axis; `weights`, `biases` and `buffers` are numbers of
    elements, 0 where another node has counted the same arrays; `macs` are for one image.

    `blocks` are the calls and named sequences around it, outermost first, as (kind, name); `line` is
    where a spec says it, `FILE:LINE`.
    """

    index: int
    name: str
    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[tuple[str, Shape], ...]
    output: Shape
    weights: int
    biases: int
    buffers: int
    macs: int
    blocks: tuple[tuple[str, str], ...]
    line: str

    @property
    def params(self) -> int:
        return self.weights + self.biases


@dataclass(frozen=True, slots=True)
class Ledger:
    """Rows in the order of execution, and the network's counts. What `macs` of a row the first output
    does not need is not in the total (auxiliary heads)."""

    rows: tuple[LedgerRow, ...]
    totals: Counts


def ledger(typed: TypedGraph) -> Ledger:
    """The rows of a graph and their totals."""
    counted: set[str] = set()
    rows = tuple(_row(typed, index, node, counted) for index, node in enumerate(typed.nodes))
    return Ledger(rows, count(typed))


def _row(typed: TypedGraph, index: int, node: Node, counted: set[str]) -> LedgerRow:
    types = typed.input_types(node)
    sizes = {"weight": 0, "bias": 0, "buffer": 0}
    for name, decl in node.op.params(*types).items():
        full = node.param_name(name)
        sizes[decl.role] += 0 if full in counted else decl.size
        counted.add(full)
    return LedgerRow(
        index=index,
        name=node.name,
        op=node.op.kind,
        attributes=node.op.attributes(),
        inputs=tuple((value, typed.types[value].shape) for value in node.inputs),
        output=typed.types[node.name].shape,
        weights=sizes["weight"],
        biases=sizes["bias"],
        buffers=sizes["buffer"],
        macs=node.op.macs(*types),
        blocks=tuple((scope.kind, scope.name) for scope in scope_path(typed.scopes, node.scope)),
        line=source_line(node),
    )


def source_line(at: Node | Scope) -> str:
    """`FILE:LINE` of the step of a node or a scope, without the folder: the same on every machine. Empty if
    unknown."""
    if at.span is None:
        return ""
    return f"{PurePath(at.span.source.name).name}:{at.span.line + 1}"
