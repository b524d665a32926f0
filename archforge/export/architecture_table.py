"""A network as a table of a few rows for its model card.

Neighbouring calls of one block share a row, and so do a layer and the layers after it that multiply nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from archforge.analysis.ledger import LedgerRow
from archforge.analysis.network import Network
from archforge.ir import by_x

__all__ = ["ArchitectureRow", "architecture_table", "layer_text"]


@dataclass(frozen=True, slots=True)
class ArchitectureRow:
    """Neighbouring layers of a network.

    says: what they are, in words. output: the shape that the last one gives. params, macs: of all together.
    """

    name: str
    says: str
    output: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class _BlockOrLayer:
    """An outermost block call with all layers in it, or a layer outside of blocks (`block` is empty).

    parent: the name of the scope around it.
    """

    block: str
    name: str
    parent: str
    rows: tuple[LedgerRow, ...]

    @property
    def output(self) -> tuple[int, ...]:
        return self.rows[-1].output


def architecture_table(network: Network) -> list[ArchitectureRow]:
    """The rows of the table in the order of execution."""
    return [_row(group) for group in _groups(_blocks_and_layers(network))]


def _blocks_and_layers(network: Network) -> Iterator[_BlockOrLayer]:
    """The rows of the ledger, those of one outermost block call together."""
    blocks = {(s.kind, s.name) for s in network.graph.scopes if s.is_block}

    def key(row: LedgerRow) -> tuple[str, str, str]:
        """Kind and name of the outermost block call around a row, and the name of the scope around that."""
        parent = ""
        for kind, name in row.blocks:
            if (kind, name) in blocks:
                return kind, name, parent
            parent = name
        return "", row.name, parent

    for (block, name, parent), rows in groupby(network.ledger.rows, key):
        yield _BlockOrLayer(block, name, parent, tuple(rows))


def _groups(pieces: Iterator[_BlockOrLayer]) -> Iterator[list[_BlockOrLayer]]:
    """Neighbours that share a row."""
    group: list[_BlockOrLayer] = []
    for piece in pieces:
        if group and not _belongs(piece, group[-1]):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _belongs(piece: _BlockOrLayer, last: _BlockOrLayer) -> bool:
    """True if a piece shares the row of the one before it: a call of the same block in the same scope with an
    equal output, or a layer that keeps the shape and multiplies nothing."""
    if (piece.block, piece.parent, piece.output) != (last.block, last.parent, last.output):
        return False
    return bool(piece.block) or not piece.rows[0].macs


def _row(pieces: list[_BlockOrLayer]) -> ArchitectureRow:
    """One row for neighbours that belong together."""
    first, last = pieces[0], pieces[-1]
    rows = [row for piece in pieces for row in piece.rows]
    if first.block:
        says = f"{len(pieces)} x {first.block}" if len(pieces) > 1 else first.block
        name = first.name if first is last else f"{first.name} ... {last.name}"
    else:
        says, name = ", ".join(map(layer_text, rows)), first.name
    params = sum(row.params for row in rows)
    return ArchitectureRow(name, says, last.output, params, sum(row.macs for row in rows))


def layer_text(row: LedgerRow) -> str:
    """An op with its window, where it has one: `conv 3x3 / 2`."""
    kernel, stride = row.attributes.get("kernel"), row.attributes.get("stride")
    if kernel is None:
        return row.op
    sides = kernel if isinstance(kernel, tuple) else (kernel,) * (len(row.output) - 1)
    words = [row.op, by_x(sides)]
    if stride not in (None, 1):
        words.append(f"/ {'x'.join(map(str, stride)) if isinstance(stride, tuple) else stride}")
    return " ".join(words)
