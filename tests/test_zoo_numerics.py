"""A network without a golden output computes as one that has it, or it is written down what is different.

Counts see neither an eps, nor on which side a padding lies, nor the order of a concatenation. So a profile
without a golden output has the graph of one that has it, or a graph that is pinned in `data/graphs.json`; and
the ops of such a graph, sizes apart, are in goldens of its family, or with their source in
`data/ops_without_golden.yaml`.
"""

from __future__ import annotations

import json
from collections.abc import Set
from fractions import Fraction
from functools import cache
from hashlib import sha256
from typing import Any

import yaml

from archforge.ir import Node, TypedGraph
from archforge.ops.reshape import Reshape
from archforge.ops.slice import Slice
from archforge.passes.drop_identities import PASS
from archforge.spec.expand.expand import expand
from tests.pages import REGENERATE
from tests.test_parity import GOLDENS, golden_name
from tests.zoo import DATA, family, networks

PINNED = DATA / "graphs.json"
LISTED = DATA / "ops_without_golden.yaml"

# Attributes that do nothing at inference, and those that the counts of parameters show.
OF_TRAINING = frozenset({"momentum", "rate", "init"})
COUNTED = frozenset({"out", "hidden", "bias", "biases", "groups"})

Profile = tuple[str, str]  # of a network


@cache
def graphs() -> dict[Profile, TypedGraph]:
    """The graph of every profile, without what does nothing at inference."""
    found = {}
    for name, spec in networks().items():
        for profile in spec.profile_names:
            typed = expand(spec, profile).graph
            found[name, profile] = TypedGraph(PASS.run(typed, frozenset()).graph, typed.types)
    return found


def in_words(node: Node, typed: TypedGraph, but: Set[str]) -> str:
    """`conv kernel=3 padding=1`: an op and its attributes, but for defaults and `but` these; ends of a slice
    as parts of the whole."""
    defaults = {key: field.default for key, field in type(node.op).model_fields.items()}
    given: dict[str, Any] = {k: v for k, v in node.op.attributes().items() if v != defaults[k]}
    if isinstance(node.op, Slice):
        size = typed.types[node.inputs[0]].shape[node.op.axis]
        given = {k: Fraction(v, size) if k in ("start", "end") else v for k, v in given.items()}
    return " ".join((node.op.kind, *(f"{k}={v}" for k, v in given.items() if k not in but)))


def ops(profile: Profile) -> set[str]:
    """The ops that the profile computes with, sizes apart."""
    typed = graphs()[profile]
    return {in_words(node, typed, OF_TRAINING | _sizes(node, typed)) for node in typed.nodes}


def _sizes(node: Node, typed: TypedGraph) -> frozenset[str]:
    """The attributes that are sizes: those that show in parameters, and of a map that is made a row."""
    if node.op.kind == "shuffle":  # whose groups show in none
        return frozenset()
    x = typed.types[node.inputs[0]]
    is_row = isinstance(node.op, Reshape) and node.op.shape == (x.channels, -1)
    return COUNTED | {"shape"} if is_row or node.op.kind == "parameter" else COUNTED


@cache
def digest(profile: Profile) -> str:
    """A hash of all ops in order, who shares parameters, and where each has its inputs from."""
    typed = graphs()[profile]
    place = {value: i for i, value in enumerate((*typed.inputs, *(n.name for n in typed.nodes)))}
    owners: dict[str, int] = {}
    lines: list[tuple[Any, ...]] = [
        (
            in_words(node, typed, OF_TRAINING),
            owners.setdefault(node.params_of, place[node.name]),
            *(place[value] for value in node.inputs),
        )
        for node in typed.nodes
    ]
    lines.append(tuple(place[value] for value in typed.outputs.values()))
    return sha256(json.dumps(lines).encode()).hexdigest()[:16]


def with_golden() -> list[Profile]:
    return [profile for profile in graphs() if golden_name(*profile) in GOLDENS]


def unproven() -> list[Profile]:
    """The profiles whose graph is that of none with a golden output."""
    proven = set(map(digest, with_golden()))
    return [profile for profile in graphs() if digest(profile) not in proven]


def pins() -> dict[str, str]:
    return {".".join(profile): digest(profile) for profile in unproven()}


def pinned_text() -> str:
    """The text of `data/graphs.json` that pins the graphs as they are now."""
    return json.dumps(pins(), indent=0, sort_keys=True) + "\n"


def ops_without_golden() -> dict[str, set[str]]:
    """Ops by family and profile: those that no golden of both has, or where there is none, of the family."""
    proven: dict[str, dict[str, set[str]]] = {}
    for name, profile in with_golden():
        proven.setdefault(family(name), {}).setdefault(profile, set()).update(ops((name, profile)))
    found: dict[str, set[str]] = {}
    for name, profile in unproven():
        known = proven.get(family(name), {})
        others = ops((name, profile)) - (known.get(profile) or set().union(*known.values()))
        if others:
            found.setdefault(f"{family(name)}.{profile}", set()).update(others)
    return found


def test_graphs_without_a_golden_output_are_the_pinned_ones() -> None:
    found, pinned = pins(), json.loads(PINNED.read_text())
    assert {profile for profile, _ in found.items() ^ pinned.items()} == set(), REGENERATE


def test_ops_without_a_golden_output_are_listed_with_their_source() -> None:
    listed = yaml.safe_load(LISTED.read_text())
    found = ops_without_golden()
    assert found.keys() == listed.keys()
    for key, entry in listed.items():
        assert (key, found[key]) == (key, set(entry["ops"]))
        assert entry["source"]
