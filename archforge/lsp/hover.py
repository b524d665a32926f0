"""Hover: what a word means, and what it comes to in the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lsprotocol import types

from archforge.analysis.ledger import LedgerRow
from archforge.ir import Node, Scope, by_x
from archforge.lsp.cursor import Cursor, word_at
from archforge.lsp.names import names_at
from archforge.lsp.open_specs import Analysis
from archforge.lsp.schema_walk import described, fragments
from archforge.scopes import nodes_within
from archforge.spec.formulas.formula import describe

__all__ = ["hover"]

MOST = 6  # places of one step that are told apart


def hover(analysis: Analysis, line: int, column: int) -> types.Hover | None:
    """Text on the word at a place; None where there is nothing to say."""
    word, start, cursor = word_at(analysis.text, line, column)
    if not word:
        return None
    paragraphs = [_meaning(analysis, cursor, word), *_figures(analysis, cursor, word, line, start)]
    told = "\n\n".join(filter(None, paragraphs))
    if not told:
        return None
    place = types.Range(types.Position(line, start), types.Position(line, start + len(word)))
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, told), place)


def _meaning(analysis: Analysis, cursor: Cursor, word: str) -> str:
    """The meaning of a name in a formula, of a key, or of an op that is named without arguments."""
    if cursor.formula is not None:
        name = names_at(analysis, cursor).get(word)
        return f"`{word}`: {name.meaning}" if name else ""
    told = described(fragments(analysis.schema, (*cursor.path, word)))
    return f"`{word}`: {told}" if told else ""


def _figures(analysis: Analysis, cursor: Cursor, word: str, line: int, start: int) -> Iterator[str]:
    """Shapes and costs of a step, or the values of an attribute, as the network has them."""
    network = analysis.network
    if network is None:
        return
    nodes, scopes = analysis.nodes.get((line, start), []), analysis.scopes.get((line, start), [])
    if nodes or scopes:
        rows = {row.name: row for row in network.ledger.rows}
        lines = [*(_of_node(node, rows) for node in nodes), *(_of_scope(s, analysis, rows) for s in scopes)]
        yield _listed(network.name, network.profile, lines)
        return
    for key in reversed(cursor.around):
        found = analysis.nodes.get((key.line, key.column), [])
        known = found[0].op.attribute_names() if found else ()
        name = next((name for name in (word, cursor.path[-1]) if name in known), "")
        if name:
            values = [describe(getattr(node.op, name)) for node in found]
            told = [f"{name} = {value}" for value in dict.fromkeys(values)]
            yield _listed(network.name, network.profile, told)
            return


def _listed(name: str, profile: str, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join([f"In {name}, profile {profile}:\n", *(f"- {one}" for one in (*lines[:MOST], *more))])


def _of_node(node: Node, rows: dict[str, LedgerRow]) -> str:
    return _told(node.name, rows[node.name].output, [rows[node.name]])


def _of_scope(scope: Scope, analysis: Analysis, rows: dict[str, LedgerRow]) -> str:
    assert analysis.network
    graph = analysis.network.graph
    inside = nodes_within(scope, graph.nodes, graph.scopes)
    return _told(scope.name, graph.types[scope.output].shape, [rows[n.name] for n in inside])


def _told(name: str, shape: Iterable[int], rows: Sequence[LedgerRow]) -> str:
    params, macs = sum(r.params for r in rows), sum(r.macs for r in rows)
    costs = [f"{params:,} params"] if params else []
    costs += [f"{macs:,} MACs"] if macs else []
    return ", ".join([f"`{name}`: {by_x(shape) or 'a scalar'}", *costs])
