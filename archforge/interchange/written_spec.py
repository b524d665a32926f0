"""A network that was imported, as the text of a spec with weights under the names that its parameters
have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from archforge.errors import DiagnosticError
from archforge.interchange.decompile import Folded, fold
from archforge.interchange.imported import Imported
from archforge.ir import Node, TypedGraph
from archforge.ops.base import Array

__all__ = ["WrittenSpec", "written_spec"]


@dataclass(frozen=True, slots=True, eq=False)
class WrittenSpec:
    """The text of a spec, which was read again and found to be the graph, its arrays by the names that it
    gives them, and how many blocks and loops it has."""

    text: str
    arrays: Mapping[str, Array]
    blocks: int
    loops: int

    @property
    def lines(self) -> int:
        """Lines of the text."""
        return len(self.text.splitlines())


def written_spec(imported: Imported, title: str, remark: str) -> WrittenSpec:
    """The spec of an imported network, as short as it was found. remark: a line that stands above it. Raises
    E0705 where no spec gives the graph."""
    folded = _folded(imported.graph, title)
    arrays = {name: imported.arrays[own] for name, own in folded.parameters.items()}
    loops = len(re.findall(r"\b(repeat|for):", folded.text))
    return WrittenSpec(f"# {remark}\n{folded.text}", arrays, folded.blocks, loops)


def _folded(typed: TypedGraph, title: str) -> Folded:
    """The graph as text; by way of other names of nodes where no spec gives those of the file."""
    try:
        return fold(typed, title)
    except DiagnosticError:
        renamed = _renamed(typed)
        folded = fold(renamed, title)
        own = dict(zip(renamed.params(), typed.params(), strict=True))
        return replace(folded, parameters={name: own[old] for name, old in folded.parameters.items()})


def _renamed(typed: TypedGraph) -> TypedGraph:
    """The graph with names that every spec can give: `n1_conv`."""
    names = {node.name: f"n{i}_{node.op.kind}" for i, node in enumerate(typed.nodes, 1)}
    owners = {node.params_of: names[node.name] for node in reversed(typed.nodes)}

    def renamed(node: Node) -> Node:
        inputs = tuple(names.get(value, value) for value in node.inputs)
        return replace(node, name=names[node.name], inputs=inputs, params_of=owners[node.params_of])

    outputs = {name: names.get(value, value) for name, value in typed.outputs.items()}
    graph = replace(typed.graph, nodes=tuple(map(renamed, typed.nodes)), outputs=outputs)
    return TypedGraph(graph, {names.get(n, n): t for n, t in typed.types.items()})
