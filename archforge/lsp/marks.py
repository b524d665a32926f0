"""Marks within the text: shapes at the ends of lines, and costs above the graph and the blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from lsprotocol import types

from archforge.ir import by_x
from archforge.lsp.open_specs import Analysis
from archforge.scopes import scope_path

__all__ = ["inlay_hints", "lenses"]


def inlay_hints(analysis: Analysis, first: int, last: int) -> list[types.InlayHint]:
    """The shape that the last step of each line leaves, from the first line to the last; of a step that runs
    several times the first shape and the last."""
    if analysis.network is None:
        return []
    graph, lines = analysis.network.graph, analysis.text.split("\n")
    values = {place: [node.name for node in nodes] for place, nodes in analysis.nodes.items()}
    values |= {place: [scope.output for scope in scopes] for place, scopes in analysis.scopes.items()}
    ends: dict[int, list[str]] = {}
    for (line, _), names in sorted(values.items()):
        if first <= line <= last:
            ends[line] = names
    return [
        types.InlayHint(
            types.Position(line, len(lines[line].rstrip("\r"))),
            f"→ {_shapes([by_x(graph.types[name].shape) or 'a scalar' for name in names])}",
            padding_left=True,
        )
        for line, names in ends.items()
    ]


def _shapes(shapes: list[str]) -> str:
    return shapes[0] if len(set(shapes)) == 1 else f"{shapes[0]} … {shapes[-1]}"


def lenses(analysis: Analysis) -> list[types.CodeLens]:
    """The totals above `graph:`, and above each block what its calls cost together."""
    network = analysis.network
    if network is None or analysis.spec is None:
        return []
    counts, found = network.counts, []
    tree = analysis.spec.document.tree.entries
    if "graph" in tree:
        told = f"{counts.params:,} params, {counts.macs:,} MACs: {network.name}, profile {network.profile}"
        found.append(_lens(tree["graph"].key_span.line, told))
    costs = dict(_costs(analysis))
    for block in analysis.spec.blocks.values():
        if analysis.holds(block.span) and block.name in costs:
            calls, params, macs = costs[block.name]
            times = "1 call" if calls == 1 else f"{calls} calls"
            found.append(_lens(block.span.line, f"{times}: {params:,} params, {macs:,} MACs"))
    return found


def _lens(line: int, told: str) -> types.CodeLens:
    start = types.Position(line, 0)
    return types.CodeLens(types.Range(start, start), types.Command(told, ""))


def _costs(analysis: Analysis) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Calls, parameters and multiply-accumulates of each block, those of blocks within it included."""
    assert analysis.network
    graph, rows = analysis.network.graph, analysis.network.ledger.rows
    params: dict[str, int] = defaultdict(int)
    macs: dict[str, int] = defaultdict(int)
    for node, row in zip(graph.nodes, rows, strict=True):
        for kind in {scope.kind for scope in scope_path(graph.scopes, node.scope) if scope.is_block}:
            params[kind] += row.params
            macs[kind] += row.macs
    for name in params:
        yield name, (analysis.network.expansion.uses[name], params[name], macs[name])
