"""Alignment of two graphs: the parts that belong together, like before unlike, in the order of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from operator import eq
from typing import NamedTuple

from archforge.analysis.difference.graph_parts import GraphPart
from archforge.ir import Node, TypedGraph

__all__ = ["Alignment", "align"]

MOST_PAIRS = 120_000  # of parts that are weighed against each other in one scope
LEAST_ALIKE = 0.5  # of the ops of two scopes, for the scopes to belong together
CLEARLY = 1.2  # times as alike, for pairs across scopes to be better than those within
SAME_LABEL, SAME_KIND, SAME_BESIDE = 0.03, 0.02, 0.04  # what decides between pairs that are alike


class Alignment(NamedTuple):
    """Nodes of two graphs that belong together, and the parts that are in one of them alone: the outermost,
    in order."""

    pairs: list[tuple[Node, Node]]
    removed: list[GraphPart]
    added: list[GraphPart]


def align(one: GraphPart, other: GraphPart, graphs: tuple[TypedGraph, TypedGraph]) -> Alignment:
    """Alignment of two whole graphs."""
    pairs = _aligned(one, other).pairs
    pairs += _moved(pairs, graphs)
    here, there = ({pair[side].name for pair in pairs} for side in (0, 1))
    return Alignment(pairs, [*_without(one, here)], [*_without(other, there)])


def _without(part: GraphPart, names: set[str]) -> Iterator[GraphPart]:
    """The outermost parts without any node of these names."""
    if not any(node.name in names for node in part.nodes()):
        yield part
        return
    for child in part.children:
        yield from _without(child, names)


class _Aligned(NamedTuple):
    """Pairs of nodes, and how alike they are together."""

    pairs: list[tuple[Node, Node]]
    score: float


def _aligned(one: GraphPart, other: GraphPart) -> _Aligned:
    """The nodes of two parts that belong together: those of parts within that do, or, if these are of other
    scopes, those that do in their order, whatever scopes they are in."""
    if one.node is not None and other.node is not None:
        return _Aligned([(one.node, other.node)], _nodes_alike(one.node, other.node))
    if one.digest == other.digest:
        pairs = [*zip(one.nodes(), other.nodes(), strict=True)]
        return _Aligned(pairs, float(len(pairs)))
    within = [_aligned(one.children[a], other.children[b]) for a, b in _paired(one.children, other.children)]
    found = _Aligned([p for part in within for p in part.pairs], sum(part.score for part in within))
    sizes = one.kinds.total(), other.kinds.total()
    is_nested = any(child.node is None for child in (*one.children, *other.children))
    if not is_nested or sizes[0] * sizes[1] > MOST_PAIRS or found.score * CLEARLY >= min(sizes):
        return found
    ours, theirs = one.leaves(), other.leaves()
    pairs = [(a, b) for i, j in _paired(ours, theirs) if (a := ours[i].node) and (b := theirs[j].node)]
    flat = _Aligned(pairs, sum(_nodes_alike(a, b) for a, b in pairs))
    return flat if flat.score > CLEARLY * found.score else found


def _paired(ours: Sequence[GraphPart], theirs: Sequence[GraphPart]) -> list[tuple[int, int]]:
    """Places of parts that belong together, in order. Equal ones at either end are taken as they are."""
    by_name = len(ours) * len(theirs) <= MOST_PAIRS

    def same(a: GraphPart, b: GraphPart) -> bool:
        return a.digest == b.digest and (a.label == b.label or not by_name)

    start, end = 0, 0
    least = min(len(ours), len(theirs))
    while start < least and same(ours[start], theirs[start]):
        start += 1
    while end < least - start and same(ours[-1 - end], theirs[-1 - end]):
        end += 1
    a, b = ours[start : len(ours) - end], theirs[start : len(theirs) - end]
    middle = _best(a, b) if len(a) * len(b) <= MOST_PAIRS else _by_runs(a, b)
    return [
        *((n, n) for n in range(start)),
        *((start + i, start + j) for i, j in middle),
        *((len(ours) - n, len(theirs) - n) for n in range(end, 0, -1)),
    ]


def _by_runs(ours: Sequence[GraphPart], theirs: Sequence[GraphPart]) -> list[tuple[int, int]]:
    """Pairs in two long rows: runs of equal parts, and the best between them."""
    here, there = ([part.digest for part in parts] for parts in (ours, theirs))
    pairs: list[tuple[int, int]] = []
    i = j = 0
    for run in SequenceMatcher(None, here, there, autojunk=False).get_matching_blocks():
        a, b = ours[i : run.a], theirs[j : run.b]
        if len(a) * len(b) <= MOST_PAIRS:
            pairs += ((i + x, j + y) for x, y in _best(a, b))
        pairs += ((run.a + n, run.b + n) for n in range(run.size))
        i, j = run.a + run.size, run.b + run.size
    return pairs


def _best(ours: Sequence[GraphPart], theirs: Sequence[GraphPart]) -> list[tuple[int, int]]:
    """The pairs, in the order of both, that are most alike together."""
    known: dict[tuple[int, int], float] = {}
    beside = [_kinds_beside(parts) for parts in (ours, theirs)]
    alike: list[list[float]] = []
    for a, around_a in zip(ours, beside[0], strict=True):
        row = []
        for b, around_b in zip(theirs, beside[1], strict=True):
            key = (a.digest, b.digest)
            base = known.get(key)
            if base is None:
                base = known[key] = _alike(a, b)
            if base:
                same = sum(map(eq, around_a, around_b))
                base += (
                    SAME_LABEL * (_end(a) == _end(b)) + SAME_KIND * (a.kind == b.kind) + SAME_BESIDE * same
                )
            row.append(base)
        alike.append(row)
    best = [[0.0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in range(len(ours) - 1, -1, -1):
        for j in range(len(theirs) - 1, -1, -1):
            score = alike[i][j]
            together = best[i + 1][j + 1] + score if score else 0.0
            best[i][j] = max(together, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(ours) and j < len(theirs):
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _kinds_beside(parts: Sequence[GraphPart]) -> list[tuple[str, str]]:
    """The kinds of the parts before and behind each."""
    kinds = ["", *(part.kind for part in parts), ""]
    return [*zip(kinds, kinds[2:], strict=False)]


def _end(part: GraphPart) -> str:
    return part.label.rpartition(".")[2]


def _alike(a: GraphPart, b: GraphPart) -> float:
    """Likeness of two parts, from 0 for those that do not belong together to 1."""
    if a.digest == b.digest and (a.node is None) == (b.node is None):
        return 1.0
    if a.node is not None and b.node is not None:
        return _nodes_alike(a.node, b.node)
    if a.node is not None or b.node is not None:
        return 0.0
    kinds = _shared(a.kinds, b.kinds)
    return 0.5 * kinds + 0.4 * _shared(a.ops, b.ops) if kinds >= LEAST_ALIKE else 0.0


def _nodes_alike(a: Node, b: Node) -> float:
    if a.op == b.op:
        return 1.0
    if a.op.kind == b.op.kind:
        ours, theirs = a.op.attributes(), b.op.attributes()
        told = [*ours][1:] or [*ours]  # widths, which come first, say the least
        same = sum(bool(ours[name] == theirs[name]) for name in told)
        return 0.5 + 0.4 * same / len(told) if told else 0.5
    # One that takes the place of another: an activation, a norm, a pool.
    return 0.2 if len(a.inputs) == len(b.inputs) else 0.0


def _shared(a: Mapping[str, int] | Mapping[int, int], b: Mapping[str, int] | Mapping[int, int]) -> float:
    """The share of things that two collections have both (Dice's coefficient)."""
    ours, theirs = Counter(a), Counter(b)
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def _moved(
    pairs: Sequence[tuple[Node, Node]], graphs: tuple[TypedGraph, TypedGraph]
) -> list[tuple[Node, Node]]:
    """Further pairs: of nodes that lie elsewhere, but compute the same from the same."""
    together = {a.name: b.name for a, b in pairs} | dict(
        zip(graphs[0].inputs, graphs[1].inputs, strict=False)
    )
    taken = {*together.values()}
    free: dict[tuple[int, tuple[str, ...]], list[Node]] = {}
    for node in graphs[1].nodes:
        if node.name not in taken:
            free.setdefault((_digest(node), node.inputs), []).append(node)
    moved: list[tuple[Node, Node]] = []
    for node in graphs[0].nodes if free else ():
        if node.name not in together:
            read = tuple(together.get(value, "") for value in node.inputs)
            if twins := free.get((_digest(node), read)):
                moved.append((node, twins.pop(0)))
                together[node.name] = moved[-1][1].name
    return moved


def _digest(node: Node) -> int:
    return GraphPart(node.name, node.name, node.op.kind, node).digest
