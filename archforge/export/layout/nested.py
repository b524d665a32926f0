"""The boxes of a network, nested as its blocks are, and what goes along between those of one box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from archforge.analysis.ledger import LedgerRow, source_line
from archforge.analysis.network import Network
from archforge.export.architecture_table import layer_text
from archforge.export.drawing.pieces import OPENED_SHARE
from archforge.ir import Node, Scope, by_x
from archforge.scopes import in_scopes, name_within

__all__ = ["INPUT", "OUTPUT", "Look", "NestedBox", "Wire", "nested_boxes"]

Look = Literal["value", "weights", "norm", "merge", "window", "function", "reshape", "block", "sequence"]

SIGNS = {"add": "+", "subtract": "\u2212", "multiply": "\u00d7", "divide": "\u00f7"}

INPUT, OUTPUT = -1, -2  # the box around, as the start and as the end of a wire


@dataclass(frozen=True, slots=True)
class Wire:
    """A value that goes from one box to others within the same box around them.

    start: the index of the box that gives it, or `INPUT`. ends: those of the boxes that read it, or `OUTPUT`.
    is_tap: it comes from inside of a block, past the block's own output.
    """

    value: str
    shape: str
    start: int
    ends: tuple[int, ...]
    is_tap: bool = False


@dataclass(frozen=True, eq=False)
class NestedBox:
    """An input or output of the network, a layer, or a block or named sequence with boxes in it.

    name: the full name of the first call. says: what it is, in words. rows: those of all `repeats`, which are
    equal calls in a row; `items` and `wires` are those of the first. reads, gives: values that come from
    outside and that are read there, the most important first; gives_first: the same of the first call.
    line: `FILE:LINE` of the call.
    """

    name: str
    label: str
    look: Look
    says: str
    rows: tuple[LedgerRow, ...] = ()
    repeats: int = 1
    names: tuple[str, ...] = ()
    items: tuple[NestedBox, ...] = ()
    wires: tuple[Wire, ...] = ()
    reads: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    gives_first: tuple[str, ...] = ()
    line: str = ""
    is_open: bool = False  # at level `block`

    @property
    def sign(self) -> str:
        """The sign of a sum or a product of two values, which is drawn in a circle; else empty."""
        return SIGNS.get(self.says, "") if self.look == "merge" and len(self.reads) == 2 else ""

    @property
    def params(self) -> int:
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)


def nested_boxes(network: Network, *, joined: bool = False) -> NestedBox:
    """The whole network as a box, whose items are its inputs, outputs, blocks and layers.

    joined: a layer is one box with the layers behind it that multiply nothing and keep the number of
    elements.
    """
    return _Nesting(network, joined=joined).whole()


class _Nesting:
    def __init__(self, network: Network, *, joined: bool) -> None:
        self.joined = joined
        self.network = network
        self.graph = network.graph
        self.rows = network.ledger.rows
        self.types = self.graph.types
        self.number = {node.name: i for i, node in enumerate(self.graph.nodes)}
        self.readers: dict[str, list[int]] = {}
        for i, node in enumerate(self.graph.nodes):
            for value in dict.fromkeys(node.inputs):
                self.readers.setdefault(value, []).append(i)
        self.outputs = frozenset(self.graph.outputs.values())
        numbers = ((node.scope, i) for i, node in enumerate(self.graph.nodes))
        self.inside = in_scopes(self.graph.scopes, numbers)

    def whole(self) -> NestedBox:
        items = [
            NestedBox(name, name, "value", "input", gives=(name,), gives_first=(name,))
            for name in self.graph.inputs
        ]
        items += self._folded(self._items(0, ""))
        items += [
            NestedBox(name, name, "value", "output", reads=(value,))
            for name, value in self.graph.outputs.items()
        ]
        wires = self._wires(items, (), ())
        title = self.network.spec.header.title or self.network.name
        return NestedBox(
            "", title, "block", "network", self.rows, items=tuple(items), wires=wires, is_open=True
        )

    def _numbers(self, index: int) -> Iterator[int]:
        """The numbers of the nodes in scope `index` and those in it."""
        for item in self.inside[index]:
            if isinstance(item, Scope):
                yield from self._numbers(item.index)
            else:
                yield item

    def _items(self, index: int, inside: str) -> Iterator[NestedBox]:
        """The boxes of scope `index`, calls in a row not yet folded, in a box whose scope is called
        `inside`."""
        for item in self.inside[index]:
            if not isinstance(item, Scope):
                yield self._layer(item, inside)
            elif len(self.inside[item.index]) == 1:
                yield from self._items(item.index, inside)
            else:
                yield self._group(item, inside)

    def _layer(self, number: int, inside: str) -> NestedBox:
        node, row = self.graph.nodes[number], self.rows[number]
        read = node.name in self.readers or node.name in self.outputs
        gives = (node.name,) if read else ()
        return NestedBox(
            node.name, name_within(inside, node.name), self._look(node), layer_text(row), (row,),
            reads=tuple(dict.fromkeys(node.inputs)), gives=gives, gives_first=gives,
        )  # fmt: skip

    def _group(self, scope: Scope, inside: str) -> NestedBox:
        numbers = [*self._numbers(scope.index)]
        nodes = [self.graph.nodes[i] for i in numbers]
        names = {node.name for node in nodes}
        read = dict.fromkeys(value for node in nodes for value in node.inputs if value not in names)
        reads = _first_of(scope.inputs, read)
        gives = _first_of((scope.output,), [n.name for n in nodes if self._is_read_beyond(n.name, names)])
        items = self._folded(self._items(scope.index, scope.name))
        rows = tuple(self.rows[i] for i in numbers)
        says = scope.kind if scope.is_block else ""
        return NestedBox(
            scope.name, name_within(inside, scope.name) if scope.name != inside else "",
            "block" if scope.is_block else "sequence", says, rows, names=(scope.name,), items=tuple(items),
            wires=self._wires(items, reads, gives), reads=reads, gives=gives, gives_first=gives,
            line=source_line(scope), is_open=not scope.is_block or len(rows) * OPENED_SHARE > len(self.rows),
        )  # fmt: skip

    def _is_read_beyond(self, value: str, names: set[str]) -> bool:
        readers = self.readers.get(value, ())
        return value in self.outputs or any(self.graph.nodes[i].name not in names for i in readers)

    def _folded(self, items: Iterable[NestedBox]) -> list[NestedBox]:
        """The boxes, with equal calls in a chain as one."""
        out: list[NestedBox] = []
        for item in self._lines(items) if self.joined else items:
            if out and self._is_again(out[-1], item):
                last = out[-1]
                out[-1] = replace(
                    last,
                    rows=last.rows + item.rows,
                    names=last.names + item.names,
                    repeats=last.repeats + 1,
                    gives=item.gives,
                )
            else:
                out.append(item)
        return out

    def _lines(self, items: Iterable[NestedBox]) -> list[NestedBox]:
        """The boxes, with each layer as one with the small ones behind it."""
        out: list[NestedBox] = []
        for item in items:
            if out and self._is_small(out[-1], item):
                last = out[-1]
                says, rows = f"{last.says}, {item.says}", last.rows + item.rows
                out[-1] = replace(last, says=says, rows=rows, gives=item.gives, gives_first=item.gives)
            else:
                out.append(item)
        return out

    def _is_small(self, before: NestedBox, item: NestedBox) -> bool:
        """True if a layer reads one value, that of the layer before, alone, multiplies nothing and keeps the
        number of elements."""
        if before.look == "value" or before.items or item.items or item.macs or item.reads != before.gives:
            return False
        value = item.reads[0]
        return (
            value not in self.outputs
            and len(self.readers[value]) == 1
            and self.types[value].size == self.types[item.rows[0].name].size
        )

    def _is_again(self, before: NestedBox, item: NestedBox) -> bool:
        """True for another equal call that reads one value, the only one of the box before, and reads it
        alone."""
        if not item.items or (before.look, before.says) != (item.look, item.says):
            return False
        if (
            len(before.reads) != 1
            or item.reads != before.gives
            or len(item.gives) != 1
            or len(before.gives) != 1
        ):
            return False
        inside = {row.name for row in item.rows}
        if item.reads[0] in self.outputs or any(
            self.graph.nodes[i].name not in inside for i in self.readers[item.reads[0]]
        ):
            return False
        return len(before.rows) == len(item.rows) * before.repeats and all(
            (one.op, one.attributes) == (other.op, other.attributes)
            for one, other in zip(before.rows, item.rows, strict=False)  # its first call alone
        )

    def _wires(
        self, items: Sequence[NestedBox], reads: tuple[str, ...], gives: tuple[str, ...]
    ) -> tuple[Wire, ...]:
        """The values that go along between the boxes in one box, which itself reads and gives these
        values."""
        start = dict.fromkeys(reads, INPUT) | {
            value: i for i, item in enumerate(items) for value in item.gives
        }
        ends: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            for value in item.reads:
                ends.setdefault(value, []).append(i)
        for value in gives:
            ends.setdefault(value, []).append(OUTPUT)
        return tuple(
            Wire(value, by_x(self.types[value].shape) or "scalar", at, tuple(ends[value]),
                 at != INPUT and bool(items[at].items) and value != items[at].gives[0])
            for value, at in start.items() if value in ends
        )  # fmt: skip

    def _look(self, node: Node) -> Look:
        """The kind of a layer, as colours tell it: by what it owns, multiplies and sees."""
        op, types = node.op, self.graph.input_types(node)
        if op.arity is None:
            return "merge"
        if op.macs(*types):
            return "weights"
        if op.params(*types):
            return "norm"
        x, y = types[0], self.types[node.name]
        if len(y.shape) != len(x.shape) or (y.size > x.size and y.channels != x.channels):
            return "reshape"
        sees_more = any(reach.elements != 1 for reach in op.reach(*types)[1:])
        return "window" if sees_more or y.spatial != x.spatial else "function"


def _first_of(first: Iterable[str], values: Iterable[str]) -> tuple[str, ...]:
    """The values, those that are named first in front."""
    known = dict.fromkeys(values)
    return tuple(dict.fromkeys([*(value for value in first if value in known), *known]))
