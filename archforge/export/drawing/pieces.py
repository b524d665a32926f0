"""The pieces of a network that become boxes of a drawing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from archforge.analysis.ledger import LedgerRow
from archforge.analysis.network import Network
from archforge.export.architecture_table import layer_text
from archforge.export.target import Level
from archforge.ir import Node, Scope, TypedGraph
from archforge.scopes import scope_path

__all__ = ["BoxedLayers", "pieces_of"]

OPENED_SHARE = 2  # a block with more than one half of a network's layers is no summary of it


@dataclass(frozen=True, slots=True)
class BoxedLayers:
    """Layers that become one box: a call of a block, layers that belong together, or such pieces in a row.

    block: the kind of the block; empty for layers outside of blocks. names: those of the calls or layers.
    scope: the scope around. says: what one of the `repeats` is, in words.
    """

    block: str
    names: tuple[str, ...]
    scope: int
    says: str
    rows: tuple[LedgerRow, ...]
    repeats: int = 1

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the value that the last layer gives."""
        return self.rows[-1].output

    @property
    def params(self) -> int:
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def layers(self) -> list[tuple[object, ...]]:
        """The op and attributes of each layer."""
        return [(row.op, *row.attributes.items()) for row in self.rows]


def pieces_of(network: Network, level: Level) -> list[BoxedLayers]:
    """The pieces in the order of execution: one for each layer, or for each call of a block, several where
    they are a chain of one kind, and for layers outside of blocks with those behind that multiply nothing."""
    if level == "layer":
        nodes = zip(network.graph.nodes, network.ledger.rows, strict=True)
        return [_layer(row, node.scope) for node, row in nodes]
    calls = [*_calls_and_layers(network)]
    succession = _Succession(network.graph.graph.users(), frozenset(network.graph.outputs.values()))
    lines = [_line(g) for g in _grouped(calls, lambda a, b: _is_small(a, b) and succession.holds(a, b))]
    return [_run(g) for g in _grouped(lines, lambda a, b: _is_again(a, b) and succession.holds(a, b))]


def _layer(row: LedgerRow, scope: int) -> BoxedLayers:
    return BoxedLayers("", (row.name,), scope, layer_text(row), (row,))


def _calls_and_layers(network: Network) -> Iterator[BoxedLayers]:
    """The outermost calls of blocks, and the layers outside of them."""
    graph, rows = network.graph, network.ledger.rows
    calls = _outermost_calls(graph)
    rows_of: defaultdict[int, list[LedgerRow]] = defaultdict(list)
    for call, row in zip(calls, rows, strict=True):
        if call:
            rows_of[call.index].append(row)
    for node, call, row in zip(graph.nodes, calls, rows, strict=True):
        if not call:
            yield _layer(row, node.scope)
        elif rows_of[call.index][0] is row:
            yield BoxedLayers(
                call.kind, (call.name,), call.parent or 0, call.kind, tuple(rows_of[call.index])
            )


def _outermost_calls(graph: TypedGraph) -> list[Scope | None]:
    """The call of a block that each node is drawn as a part of, if it is in one."""
    paths = [[s for s in scope_path(graph.scopes, node.scope) if s.is_block] for node in graph.nodes]
    sizes = Counter(scope.index for path in paths for scope in path)
    most = len(paths) / OPENED_SHARE
    return [next((scope for scope in path if sizes[scope.index] <= most), None) for path in paths]


@dataclass(frozen=True, slots=True)
class _Succession:
    """Tells which pieces of a graph follow each other with no other arrow between or beside them."""

    readers: Mapping[str, list[Node]]
    outputs: frozenset[str]

    def holds(self, piece: BoxedLayers, after: BoxedLayers) -> bool:
        """True if `after`, in the same scope, reads one value, which it alone reads, and which is all that is
        read of `piece`."""
        inside, behind = ({row.name for row in p.rows} for p in (piece, after))
        reads = {value for row in after.rows for value, _ in row.inputs} - behind
        given = {value for value in inside if self._is_read_outside(value, inside)}
        users = {node.name for value in given for node in self.readers.get(value, ())} - inside
        return piece.scope == after.scope and reads == given and len(given) == 1 and users <= behind

    def _is_read_outside(self, value: str, inside: set[str]) -> bool:
        return value in self.outputs or any(node.name not in inside for node in self.readers.get(value, ()))


def _grouped(
    pieces: Sequence[BoxedLayers], belongs: Callable[[BoxedLayers, BoxedLayers], bool]
) -> list[list[BoxedLayers]]:
    """The pieces in order, each in a group with the one before it to which it belongs."""
    groups: list[list[BoxedLayers]] = []
    for piece in pieces:
        if groups and belongs(groups[-1][-1], piece):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _is_small(piece: BoxedLayers, after: BoxedLayers) -> bool:
    """True if a layer behind a layer multiplies nothing and keeps the number of elements."""
    is_layer = not (piece.block or after.block)
    return is_layer and not after.macs and prod(piece.output) == prod(after.output)


def _is_again(piece: BoxedLayers, after: BoxedLayers) -> bool:
    """True for two pieces of one kind that give the same shape, or are the same layers."""
    is_kind = (piece.block, piece.says) == (after.block, after.says)
    return is_kind and (piece.output == after.output or piece.layers == after.layers)


def _line(group: list[BoxedLayers]) -> BoxedLayers:
    """A layer with the small ones behind it."""
    return _one(group, ", ".join(piece.says for piece in group), 1)


def _run(group: list[BoxedLayers]) -> BoxedLayers:
    """Pieces of one kind in a row."""
    return _one(group, group[0].says, len(group))


def _one(group: list[BoxedLayers], says: str, repeats: int) -> BoxedLayers:
    names = tuple(name for piece in group for name in piece.names)
    rows = tuple(row for piece in group for row in piece.rows)
    return BoxedLayers(group[0].block, names, group[0].scope, says, rows, repeats)
