"""The difference of two networks: totals first, then what changed in the graph and in what their specs say
besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

from archforge.analysis.activation_memory import BYTES_PER_ELEMENT, activation_peak
from archforge.analysis.counts import count
from archforge.analysis.difference.changes import Change, KnockOn, compare_graphs
from archforge.analysis.network import Network
from archforge.ir import TypedGraph

__all__ = [
    "UNITS",
    "NetworkDifference",
    "Total",
    "compare_networks",
    "joined_totals",
    "kinds_of",
    "totals_of",
]

# What a total counts, by its name in JSON: for tables.
UNITS = {
    "params": "params",
    "macs": "MACs",
    "layers": "layers",
    "buffers": "buffers",
    "activation_bytes": "bytes of activations",
    "arrays": "arrays",
    "elements": "elements",
}


NOWHERE = KnockOn()


class Total(NamedTuple):
    """A count of both sides."""

    before: int
    after: int

    @property
    def more(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class NetworkDifference:
    """Two things that were compared, by their `titles`. totals: by name, those that differ and those that do
    not. counts: how many layers of each op belong together, by the op. changes: each once, in order.
    networks: the two, if both are specs; pairs: the names of their layers that belong together."""

    titles: tuple[str, str]
    totals: Mapping[str, Total]
    counts: Mapping[str, int]
    changes: tuple[Change, ...]
    knock_on: KnockOn = NOWHERE
    networks: tuple[Network, Network] | None = None
    pairs: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True if nothing differs."""
        return not self.changes

    def mirrored(self) -> NetworkDifference:
        """The difference the other way round, but for the order of its changes."""
        return replace(
            self,
            titles=self.titles[::-1],
            totals={name: Total(*total[::-1]) for name, total in self.totals.items()},
            changes=tuple(change.mirrored() for change in self.changes),
            knock_on=self.knock_on.mirrored(),
            networks=self.networks and self.networks[::-1],
            pairs={other: one for one, other in self.pairs.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; pairs are before and after."""
        return {
            "titles": list(self.titles),
            "same": self.is_empty,
            "totals": {n: {"before": t.before, "after": t.after} for n, t in self.totals.items()},
            "changes": [_change_json(change) for change in self.changes],
            "knock_on": {
                "layers": self.knock_on.layers,
                "first": list(self.knock_on.first),
                "shapes": list(self.knock_on.shapes),
                **self.knock_on.effect._asdict(),
            },
        }


def _change_json(change: Change) -> dict[str, Any]:
    plain = asdict(change)
    plain.pop("effect")
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()} | change.effect._asdict()


def totals_of(typed: TypedGraph) -> dict[str, int]:
    """The counts of a graph that a difference tells of, by name. Activation memory is the most that is alive
    at once, in float32, of one image."""
    counts = count(typed)
    return {
        "params": counts.params,
        "macs": counts.macs,
        "layers": counts.layers,
        "buffers": counts.buffers,
        "activation_bytes": activation_peak(typed) * BYTES_PER_ELEMENT,
    }


def compare_networks(one: Network, other: Network, titles: tuple[str, str]) -> NetworkDifference:
    """The difference of two networks: of their graphs, and of what their profiles say of pictures, labels and
    training. Documented figures and sources are not compared."""
    found = compare_graphs(one.graph, other.graph)
    totals = joined_totals(totals_of(one.graph), totals_of(other.graph))
    changes = (*found.changes, *_stated(one, other))
    kinds = kinds_of(one.graph, found.pairs)
    return NetworkDifference(titles, totals, kinds, changes, found.knock_on, (one, other), found.pairs)


def joined_totals(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, Total]:
    """Counts of two sides, by their names."""
    return {name: Total(number, other[name]) for name, number in one.items()}


def kinds_of(typed: TypedGraph, pairs: Mapping[str, str]) -> dict[str, int]:
    """Numbers of nodes with a counterpart, by their op."""
    return Counter(node.op.kind for node in typed.nodes if node.name in pairs)


def _stated(one: Network, other: Network) -> Iterator[Change]:
    """Changes in what two profiles say of pictures, labels and training, each setting by its path."""
    here, there = _statements(one), _statements(other)
    for section, name in dict.fromkeys((*here, *there)):
        values = here.get((section, name)), there.get((section, name))
        if values[0] != values[1]:
            yield Change("stated", (section, section), ("", ""), name, values, layers=0)


def _statements(network: Network) -> dict[tuple[str, str], Any]:
    out: dict[tuple[str, str], Any] = {}
    decl = network.spec.profiles.get(network.profile)
    for name, value in (decl.preprocess if decl else {}).items():
        if name != "source":
            out["preprocess", name] = str(value) if isinstance(value, Fraction) else value
    if decl and decl.labels:
        out["labels", ""] = decl.labels
    if network.recipe is not None:
        for name, value in _flat(network.recipe.recipe.brief()):
            out["train", name] = value
    return out


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The single values of nested mappings, each with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
