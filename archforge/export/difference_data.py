"""A difference of two networks as data for the page that shows them beside each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from archforge.analysis.difference.changes import Change
from archforge.analysis.difference.lines import change_lines, layer_words, total_rows
from archforge.analysis.difference.networks import NetworkDifference
from archforge.analysis.network import Network
from archforge.export.drawing import printable
from archforge.ir import TypedGraph
from archforge.scopes import scope_path

__all__ = ["difference_data"]

NOWHERE = -1  # in place of the number of a layer that the other side lacks
# What may differ in two layers that belong together, so that they have changed; another name alone does not.
OF_A_LAYER = ("changed", "replaced", "rewired", "shared")


def difference_data(found: NetworkDifference) -> dict[str, Any]:
    """The data that `templates/difference.js` reads; layers are told by their numbers.

    states: a letter for each layer of each side: `s` the same, `c` changed, `f` the same, but its counts or
    its output follow from a change before it, `r` and `a` only before and only after. pairs, back: the number
    on the other side, or -1. rows: pairs of both in one order. lines: a mark, words, and the layers of both
    sides. notes: what changed in a layer of the first, by its number.
    """
    made: dict[str, Any] = {
        "title": printable(" \u2192 ".join(found.titles)),
        "titles": [printable(title) for title in found.titles],
        "totals": total_rows(found.totals, every=True),
    }
    if found.networks is None:
        lines = [[line.mark, printable(line.words), [], []] for line in change_lines(found)]
        return made | {"lines": lines, "states": []}
    return made | _Beside(found, found.networks).data()


class _Beside:
    """Two networks, their layers by number."""

    def __init__(self, found: NetworkDifference, networks: tuple[Network, Network]) -> None:
        self.found, self.networks = found, networks
        here, there = ([row.name for row in network.ledger.rows] for network in networks)
        places = {name: index for index, name in enumerate(there)}
        self.pairs = [places.get(found.pairs.get(name, ""), NOWHERE) for name in here]
        self.back = [NOWHERE] * len(there)
        for index, twin in enumerate(self.pairs):
            if twin != NOWHERE:
                self.back[twin] = index
        self.within = [_within(network.graph) for network in networks]

    def data(self) -> dict[str, Any]:
        states = self._states()
        return {
            "lines": [*self._lines(states)],
            "states": states,
            "pairs": self.pairs,
            "back": self.back,
            "rows": [*self._rows()],
            "notes": self._notes(),
        }

    def _lines(self, states: list[str]) -> Iterator[list[Any]]:
        for line in change_lines(self.found):
            both = [self._layers(line.changes, side) for side in (0, 1)]
            if not line.changes:
                both = [[i for i, state in enumerate(side) if state == "f"] for side in states]
            yield [line.mark, printable(line.words), *both]

    def _layers(self, changes: Collection[Change], side: int) -> list[int]:
        """The numbers of the layers that changes are about."""
        found = (self.within[side].get(change.name[side], ()) for change in changes)
        return sorted({index for numbers in found for index in numbers})

    def _states(self) -> list[str]:
        """A letter for each layer of each side."""
        changed = {c.name[0] for c in self.found.changes if c.what in OF_A_LAYER}
        one = [self._state(i, twin, changed) for i, twin in enumerate(self.pairs)]
        return ["".join(one), "".join("a" if i == NOWHERE else one[i] for i in self.back)]

    def _state(self, index: int, twin: int, changed: Collection[str]) -> str:
        if twin == NOWHERE:
            return "r"
        rows = [network.ledger.rows[i] for network, i in zip(self.networks, (index, twin), strict=True)]
        if rows[0].name in changed:
            return "c"
        here, there = ((row.output, row.weights, row.biases, row.macs) for row in rows)
        return "s" if here == there else "f"

    def _rows(self) -> Iterator[tuple[int, int]]:
        """Layers of both sides: those of the first in their order, what the second alone has behind the layer
        that it comes behind there."""
        behind: dict[int, list[int]] = {}
        last = NOWHERE
        for index, twin in enumerate(self.back):
            if twin == NOWHERE:
                behind.setdefault(last, []).append(index)
            else:
                last = twin
        yield from ((NOWHERE, index) for index in behind.get(NOWHERE, ()))
        for index, twin in enumerate(self.pairs):
            yield index, twin
            yield from ((NOWHERE, added) for added in behind.get(index, ()))

    def _notes(self) -> dict[int, str]:
        """Words for the changes of each layer of the first side that the second has, too, by its number."""
        notes: dict[int, list[str]] = {}
        for change in self.found.changes:
            if words := layer_words(change):
                for index in self._layers([change], 0):
                    notes.setdefault(index, []).append(words)
        return {index: printable(", ".join(words)) for index, words in notes.items()}


def _within(typed: TypedGraph) -> Mapping[str, list[int]]:
    """The numbers of the layers of each name of a layer, and of a scope."""
    found: dict[str, list[int]] = {}
    for index, node in enumerate(typed.nodes):
        names = (node.name, *(scope.name for scope in scope_path(typed.scopes, node.scope)))
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(index)
    return found
