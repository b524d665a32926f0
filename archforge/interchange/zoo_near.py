"""The network of the zoo that a graph nearly is, and what differs: its classes, widths, norms, other steps.

Steps are compared by their ops, without widths, and by those of the two steps before them. A network is named
only if nearly all steps of both are the same, and no other is as near.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from archforge.analysis.counts import count
from archforge.interchange.same_graph import comparable
from archforge.interchange.zoo_networks import documented_params
from archforge.ir import Node, TypedGraph, by_x
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.spec import Spec

__all__ = ["NearMatch", "nearest_of_zoo"]

LEAST_STEPS = 12  # smaller networks are alike by chance
LEAST_SHARE = 0.9  # of the steps of the longer network
SIZES = (0.2, 4.0)  # parameters of a network over those of one with other classes or widths
MOST_LINES = 6  # differences that still say what a network is

# Steps that other writers put elsewhere or leave out, and attributes that are told of equal steps.
_PASSED = frozenset({"bn", "flatten", "reshape", "identity", "dropout", "softmax"})
_TOLD = ("padding", "dilation", "ceil", "slope")
_KEPT = ("kernel", "stride", "axis")
_OF_ANY_ORDER = frozenset({"add", "multiply"})
_MEANS = frozenset({"avg_pool", "adaptive_avg_pool", "global_avg_pool"})


class NearMatch(NamedTuple):
    """A profile of a network, and in words how the graph differs from it."""

    network: str
    profile: str
    differences: tuple[str, ...]


class _Nearness(NamedTuple):
    """A graph beside a profile: the share of steps that are others, how many of the rest have other widths,
    and the differences in words. Sorted, the nearest comes first."""

    apart: float
    other_widths: int
    differences: int
    lines: tuple[str, ...]


def nearest_of_zoo(typed: TypedGraph, zoo: Iterable[Spec]) -> NearMatch | None:
    """The network that is nearest to a graph which is none of the zoo; None if none is near, or two are."""
    steps = _steps(typed)
    if len(steps) < LEAST_STEPS:
        return None
    params, wanted = count(typed).params, Counter(_local(typed, node) for node in steps)
    found = []
    for spec in zoo:
        seen = set()
        for profile in spec.profile_names:
            changes = spec.profile(profile).changes()
            if changes in seen or not _may_be(spec, profile, params):
                continue
            seen.add(changes)
            graph = expand(spec, profile).graph
            theirs = Counter(_local(graph, node) for node in _steps(graph))
            if (wanted & theirs).total() >= LEAST_SHARE * max(wanted.total(), theirs.total()):
                comparison = _compared(typed, comparable(graph))
                found.append((comparison, spec.name, not spec.profile(profile).model, profile))
    near = sorted(f for f in found if f[0].apart <= 1 - LEAST_SHARE and f[0].differences <= MOST_LINES)
    if not near:
        return None
    (best, name, _, profile), *others = near
    if not best.lines or any(o[:3] == best[:3] and n != name for o, n, *_ in others):
        return None
    return NearMatch(name, profile, best.lines)


def _may_be(spec: Spec, profile: str, params: int) -> bool:
    """True where a profile's documented parameters do not tell another network; one without may be any."""
    said = documented_params(spec, profile)
    return not isinstance(said, int) or SIZES[0] * said < params < SIZES[1] * said


# Steps -----------------------------------------------------------------------------------------------------


def _steps(typed: TypedGraph) -> list[Node]:
    """The nodes that do something of their own."""
    return [
        n for n in typed.nodes if n.op.kind not in _PASSED and not n.op.passes_through(*typed.input_types(n))
    ]


def _local(typed: TypedGraph, node: Node) -> tuple[Any, ...]:
    """A step by itself, whatever its widths are: of groups only whether there are several."""
    if node.op.kind in _MEANS and math.prod(typed.types[node.name].shape[1:]) == 1:
        return ("mean",)
    attributes = node.op.attributes()
    kept = tuple(attributes.get(name) for name in _KEPT)
    return node.op.kind, kept, attributes.get("groups", 1) == 1


def _keys(typed: TypedGraph, steps: Sequence[Node], depth: int = 2) -> list[int]:
    """A key for each step: of itself, and of the steps that are at most `depth` before it."""
    nodes = {node.name: node for node in typed.nodes}
    own = {node.name for node in steps}

    def origin(value: str) -> str:
        while value in nodes and value not in own:
            value = nodes[value].inputs[0]
        return value

    def key(node: Node, before: Mapping[str, int]) -> int:
        read = [before.get(origin(value), 0) for value in node.inputs]
        return hash((_local(typed, node), *(sorted(read) if node.op.kind in _OF_ANY_ORDER else read)))

    keys: dict[str, int] = {}
    for _ in range(depth + 1):
        keys = {node.name: key(node, keys) for node in steps}
    return [keys[node.name] for node in steps]


# Differences -----------------------------------------------------------------------------------------------


def _compared(typed: TypedGraph, other: TypedGraph) -> _Nearness:
    """A graph beside another one."""
    ours, theirs = _steps(typed), _steps(other)
    pairs = _paired(ours, _keys(typed, ours), theirs, _keys(other, theirs))
    same = len(pairs) / max(len(ours), len(theirs))
    ratios = [_width(typed, a) / _width(other, b) for a, b in pairs[:-1] if a.op.kind in ("conv", "linear")]
    usual = Counter(ratios).most_common(1)[0][0] if ratios else 1.0
    scaled = sum(r != usual for r in ratios) + (usual != 1)
    lines = (
        *_of_ends(typed, other, pairs),
        *_of_widths(ratios, usual),
        *_of_norms(typed, other),
        *_of_attributes(pairs),
        *_of_others(ours, theirs, pairs),
    )
    return _Nearness(1 - same, min(scaled, sum(r != 1 for r in ratios)), len(lines), lines)


def _paired(
    ours: Sequence[Node], our_keys: Sequence[int], theirs: Sequence[Node], their_keys: Sequence[int]
) -> list[tuple[Node, Node]]:
    """Steps of equal keys, in our order: such as follow each other in both, then those elsewhere."""
    matcher = SequenceMatcher(None, our_keys, their_keys, autojunk=False)
    found = {m.a + i: m.b + i for m in matcher.get_matching_blocks() for i in range(m.size)}
    taken = set(found.values())
    free: dict[int, list[int]] = {}
    for place, key in enumerate(their_keys):
        if place not in taken:
            free.setdefault(key, []).append(place)
    for place, key in enumerate(our_keys):
        if place not in found and free.get(key):
            found[place] = free[key].pop(0)
    return [(ours[a], theirs[found[a]]) for a in sorted(found)]


def _width(typed: TypedGraph, node: Node) -> int:
    return typed.types[node.name].shape[0]


def _of_ends(typed: TypedGraph, other: TypedGraph, pairs: Sequence[tuple[Node, Node]]) -> Iterator[str]:
    for ours, theirs in zip(typed.inputs.values(), other.inputs.values(), strict=False):
        if ours.shape != theirs.shape:
            yield f"an input of {by_x(ours.shape)}, not {by_x(theirs.shape)}"
    if pairs and pairs[-1][0].op.kind in ("linear", "conv"):
        here, there = (_width(g, node) for g, node in zip((typed, other), pairs[-1], strict=True))
        if here != there:
            yield f"{here:,} classes, not {there:,}"


def _of_widths(ratios: Sequence[float], usual: float) -> Iterator[str]:
    wide = sum(ratio != 1 for ratio in ratios)
    if not wide:
        return
    times = f" by {usual:g}" if usual != 1 and sum(r == usual for r in ratios) >= len(ratios) / 2 else ""
    yield f"other widths in {wide:,} of {len(ratios):,} layers" + (f", in most{times}" if times else "")


def _of_norms(typed: TypedGraph, other: TypedGraph) -> Iterator[str]:
    here, there = ([n for n in g.nodes if n.op.kind == "bn"] for g in (typed, other))
    if len(here) != len(there):
        words = "folded into convolutions or left out" if not here else f"{len(here):,} here"
        yield f"{len(there):,} batch norms, {words}"
        return
    eps = [Counter(n.op.attributes()["eps"] for n in norms) for norms in (here, there)]
    if not math.isclose(max(eps[0], default=0), max(eps[1], default=0), rel_tol=1e-3) and here:
        told = [", ".join(f"{value:g}" for value in sorted(found)) for found in eps]
        yield f"an eps of {told[0]} in batch norms, not {told[1]}"


def _of_attributes(pairs: Sequence[tuple[Node, Node]]) -> Iterator[str]:
    found: Counter[str] = Counter()
    for here, there in pairs:
        ours, theirs = here.op.attributes(), there.op.attributes()
        for name in _TOLD if here.op.kind == there.op.kind else ():
            if ours.get(name) != theirs.get(name):
                found[f"{name} of `{here.op.kind}` {ours.get(name)}, not {theirs.get(name)}"] += 1
    yield from (f"{words}, {number:,} times" if number > 1 else words for words, number in found.items())


def _of_others(
    ours: Sequence[Node], theirs: Sequence[Node], pairs: Sequence[tuple[Node, Node]]
) -> Iterator[str]:
    for nodes, side, words in ((ours, 0, "besides"), (theirs, 1, "without")):
        known = {pair[side].name for pair in pairs}
        kinds = Counter(node.op.kind for node in nodes if node.name not in known)
        if kinds:
            yield f"{words} {', '.join(f'{number} `{kind}`' for kind, number in kinds.items())}"
