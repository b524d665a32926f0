"""Changes from one graph to another, each once, with its effect on parameters and
multiply-accumulates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from archforge.analysis.difference.alignment import Alignment, align
from archforge.analysis.difference.graph_parts import GraphPart, has_scopes, tree
from archforge.analysis.ledger import source_line
from archforge.ir import Node, Op, ShapeError, TypedGraph, by_x

__all__ = ["Change", "Effect", "GraphDifference", "KnockOn", "around", "compare_graphs"]


class Effect(NamedTuple):
    """Parameters, buffers left out, and multiply-accumulates of the first output that a change adds; negative
    for fewer."""

    params: int = 0
    macs: int = 0

    def __add__(self, other: tuple[Any, ...]) -> Effect:
        return Effect(self.params + other[0], self.macs + other[1])

    def __sub__(self, other: Effect) -> Effect:
        return Effect(self.params - other.params, self.macs - other.macs)

    def __neg__(self) -> Effect:
        return Effect(-self.params, -self.macs)


NONE = Effect()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    what: `changed` for another value of an attribute, `replaced` for another op, `added` and `removed` for a
    layer or a block with all in it, `renamed`, `renumbered` for a name whose number follows from what was
    added or removed before it, `rewired` for other inputs, `shared` for parameters of another layer, `input`
    and `output` for those of the network. name: before and after, empty where it is not there. kind: the op,
    or the block. attribute: of what is `changed`. values: before and after. layers: how many it is about;
    merges are none. lines: `FILE:LINE` before and after.
    """

    what: str
    name: tuple[str, str]
    kind: tuple[str, str]
    attribute: str = ""
    values: tuple[Any, Any] = (None, None)
    effect: Effect = NONE
    layers: int = 1
    lines: tuple[str, str] = ("", "")

    def mirrored(self) -> Change:
        """The change the other way round."""
        what = {"added": "removed", "removed": "added"}.get(self.what, self.what)
        pairs = {key: getattr(self, key)[::-1] for key in ("name", "kind", "values", "lines")}
        return replace(self, what=what, effect=-self.effect, **pairs)


class KnockOn(NamedTuple):
    """Effects of changes elsewhere: the layers that are as they were, but whose output's shape,
    parameters or multiply-accumulates are others. first: the name of the first, before and after; shapes: of
    its output."""

    layers: int = 0
    effect: Effect = NONE
    first: tuple[str, str] = ("", "")
    shapes: tuple[str, str] = ("", "")

    def mirrored(self) -> KnockOn:
        return KnockOn(self.layers, -self.effect, self.first[::-1], self.shapes[::-1])


@dataclass(frozen=True, slots=True)
class GraphDifference:
    """The changes from one graph to another, in the order of the first, what was added in its place. pairs:
    the names of the nodes that belong together."""

    changes: tuple[Change, ...]
    knock_on: KnockOn
    pairs: Mapping[str, str]

    def mirrored(self) -> GraphDifference:
        """The difference the other way round."""
        pairs = {other: one for one, other in self.pairs.items()}
        return GraphDifference(tuple(c.mirrored() for c in self.changes), self.knock_on.mirrored(), pairs)


def compare_graphs(
    one: TypedGraph, other: TypedGraph, *, named: bool = True, ignored: Collection[str] = ()
) -> GraphDifference:
    """The changes from one graph to another: from B to A they are those from A to B, mirrored.

    named: names are compared; what a file of another format calls its layers says nothing. ignored:
    attributes that are not compared.
    """
    if _order(other) < _order(one):
        return _in_order(_GraphComparison(other, one, named, ignored).difference().mirrored(), one, other)
    return _in_order(_GraphComparison(one, other, named, ignored).difference(), one, other)


def _order(typed: TypedGraph) -> list[Any]:
    inputs = [(name, type_.shape) for name, type_ in typed.inputs.items()]
    return [inputs, [(n.name, n.op.kind, repr(n.op.attributes()), n.inputs) for n in typed.nodes]]


def _in_order(found: GraphDifference, one: TypedGraph, other: TypedGraph) -> GraphDifference:
    """The changes by their place: that in the first graph, or behind what comes before in the second."""
    place = {node.name: (index, 0, 0) for index, node in enumerate(one.nodes)}
    back = {b: a for a, b in found.pairs.items()}
    there: dict[str, tuple[int, int, int]] = {}
    last = -1
    for index, node in enumerate(other.nodes):
        if node.name in back:
            last = place[back[node.name]][0]
        there[node.name] = (last, 1, index)

    def first_within(places: Mapping[str, tuple[int, int, int]], name: str) -> tuple[int, int, int]:
        known = places.get(name)
        if known is not None:
            return known
        return next((p for n, p in places.items() if n.startswith(f"{name}.")), (-1, 0, 0))

    def key(change: Change) -> tuple[int, int, int]:
        return first_within(place, change.name[0]) if change.name[0] else first_within(there, change.name[1])

    return replace(found, changes=tuple(sorted(found.changes, key=key)))


class _GraphCounts:
    """A graph, and what each of its nodes adds to the network's counts."""

    def __init__(self, typed: TypedGraph) -> None:
        self.typed = typed
        self.nodes = {node.name: node for node in typed.nodes}
        self.needed = typed.needed_by(list(typed.outputs.values())[:1])
        self.owners: dict[str, str] = {}
        for node in typed.nodes:
            self.owners.setdefault(node.params_of, node.name)

    def effect(self, node: Node, op: Op | None = None) -> Effect:
        """Counts that a node adds, perhaps with another op. Raises what the op raises for inputs that do not
        fit."""
        types = self.typed.input_types(node)
        op = op or node.op
        is_owner = self.owners[node.params_of] == node.name
        params = sum(d.size for d in op.params(*types).values() if d.role != "buffer") if is_owner else 0
        return Effect(params, op.macs(*types) if node.name in self.needed else 0)

    def total(self, nodes: Sequence[Node]) -> Effect:
        return sum(map(self.effect, nodes), NONE)


class _GraphComparison:
    """Two graphs side by side."""

    def __init__(self, one: TypedGraph, other: TypedGraph, named: bool, ignored: Collection[str]) -> None:
        self.one, self.other = _GraphCounts(one), _GraphCounts(other)
        self.named, self.ignored = named, ignored
        flat = not (has_scopes(one) and has_scopes(other))
        self.found: Alignment = align(tree(one, flat=flat), tree(other, flat=flat), (one, other))
        self.pairs = {a.name: b.name for a, b in self.found.pairs}
        self.values = self.pairs | dict(zip(one.inputs, other.inputs, strict=False))
        self.back = {b: a for a, b in self.values.items()}

    def difference(self) -> GraphDifference:
        changes = [*self._interface(), *self._whole_parts()]
        touched: set[str] = set()
        for name, twin in self.pairs.items():
            here, there = self.one.nodes[name], self.other.nodes[twin]
            found = [*self._of_pair(here, there)]
            changes += found
            if found:
                touched.add(name)
        changes += self._names() if self.named else ()
        direct = sum((change.effect for change in changes), NONE)
        return GraphDifference(tuple(changes), self._knock_on(direct, touched), self.pairs)

    # The ends of the network

    def _interface(self) -> Iterator[Change]:
        one, other = self.one.typed, self.other.typed
        yield from self._ends("input", one.inputs, other.inputs, lambda a, b: a.shape == b.shape)
        same = self.values.get
        yield from self._ends("output", one.outputs, other.outputs, lambda a, b: same(a) == b)

    def _ends(
        self, what: str, here: Mapping[str, Any], there: Mapping[str, Any], same: Callable[[Any, Any], bool]
    ) -> Iterator[Change]:
        if not self.named or (what == "output" and len(here) == len(there) == 1):
            pairs = [*zip(here.items(), there.items(), strict=False)]
            for (name, of), (twin_name, twin) in pairs:
                if what == "input" and not same(of, twin):
                    yield Change(what, (name, twin_name), ("", ""), values=(str(of), str(twin)))
            return
        for name in dict.fromkeys((*here, *there)):
            a, b = here.get(name), there.get(name)
            if a is None or b is None or not same(a, b):
                told = (a and str(a), b and str(b))
                yield Change(what, (name if a else "", name if b else ""), ("", ""), values=told)

    # Layers and blocks that one graph alone has

    def _whole_parts(self) -> Iterator[Change]:
        for part in self.found.removed:
            yield _added(part, self.one).mirrored()
        for part in self.found.added:
            yield _added(part, self.other)

    # Layers that belong together

    def _of_pair(self, here: Node, there: Node) -> Iterator[Change]:
        base = Change(
            "changed",
            (here.name, there.name),
            (here.op.kind, there.op.kind),
            lines=(source_line(here), source_line(there)),
        )
        if here.op.kind != there.op.kind:
            yield replace(base, what="replaced", effect=self._direct(here, there.op))
        elif here.op != there.op:
            yield from self._attributes(base, here, there.op)
        if not self._same_inputs(here, there):
            yield replace(base, what="rewired", values=(here.inputs, there.inputs))
        yield from self._sharing(base, here, there)

    def _attributes(self, base: Change, here: Node, after: Op) -> Iterator[Change]:
        """Another value of each attribute; each has the effect that it has when it changes after those before
        it."""
        op, now = here.op, self.one.effect(here)
        for name, value in after.attributes().items():
            before = getattr(op, name)
            if before == value or name in self.ignored:
                continue
            op = op.model_copy(update={name: value})
            then = self._effect(here, op)
            effect, now = (then - now, then) if then is not None else (NONE, now)
            yield replace(base, attribute=name, values=(before, value), effect=effect)

    def _effect(self, node: Node, op: Op) -> Effect | None:
        """Counts that a node of the first graph would add with another op; None where that does not fit."""
        try:
            return self.one.effect(node, op)
        except (ShapeError, ValidationError, ArithmeticError, ValueError, IndexError):
            return None

    def _direct(self, node: Node, op: Op) -> Effect:
        then = self._effect(node, op)
        return NONE if then is None else then - self.one.effect(node)

    def _sharing(self, base: Change, here: Node, there: Node) -> Iterator[Change]:
        """The layer whose parameters it has, where that is another."""
        ours, theirs = self.one.owners[here.params_of], self.other.owners[there.params_of]
        if self.pairs.get(ours) != theirs:
            told = ("" if ours == here.name else ours, "" if theirs == there.name else theirs)
            if any(told):
                yield replace(base, what="shared", values=told)

    def _same_inputs(self, here: Node, there: Node) -> bool:
        """True where both read the same, or what takes the place of it: layers that were added or removed
        on the way are told of themselves."""
        read = [self.values.get(value, "") for value in here.inputs]
        if read == list(there.inputs):
            return True
        known = [value for value in read if value]
        also = [value for value in there.inputs if value in self.back]
        kept = [value for value in known if value in also]
        if kept != [value for value in also if value in known]:
            return False
        lost = {self.back[value] for value in known if value not in also}
        won = {value for value in also if value not in known}
        behind_added = self._sources(there.inputs, self.other, self.back)
        behind_removed = self._sources(here.inputs, self.one, self.values)
        return {self.values[v] for v in lost} <= behind_added and won <= {
            self.values[v] for v in behind_removed
        }

    def _sources(self, values: Sequence[str], graph: _GraphCounts, known: Mapping[str, str]) -> set[str]:
        """The values with a counterpart from which those without one are computed."""
        found: set[str] = set()
        seen: set[str] = set()
        todo = [value for value in values if value not in known]
        while todo:
            value = todo.pop()
            if value in seen:
                continue
            seen.add(value)
            node = graph.nodes.get(value)
            for read in node.inputs if node else ():
                if read in known:
                    found.add(read)
                else:
                    todo.append(read)
        return found

    # Names

    def _names(self) -> Iterator[Change]:
        """Other names of what belongs together, each once: what lies in a scope follows its name."""
        shifted = {around(p.name) for p in (*self.found.removed, *self.found.added)}
        renamed = Counter(names for pair in self.pairs.items() for names in _renamed_parts(*pair))
        for (a, b), layers in renamed.items():
            counted = _stem(a) == _stem(b) and {around(a), around(b)} & shifted
            yield Change("renumbered" if counted else "renamed", (a, b), self._kinds(a, b), layers=layers)

    def _kinds(self, a: str, b: str) -> tuple[str, str]:
        """The ops of two names; empty for scopes."""
        here, there = self.one.nodes.get(a), self.other.nodes.get(b)
        return here.op.kind if here else "", there.op.kind if there else ""

    # Effects elsewhere

    def _knock_on(self, direct: Effect, touched: Collection[str]) -> KnockOn:
        one, other = self.one, self.other
        total = other.total(other.typed.nodes) - one.total(one.typed.nodes)
        elsewhere: list[tuple[Node, Node]] = []
        for name, twin in self.pairs.items():
            here, there = one.nodes[name], other.nodes[twin]
            is_other = one.typed.types[name] != other.typed.types[twin]
            if name not in touched and (is_other or one.effect(here) != other.effect(there)):
                elsewhere.append((here, there))
        if not elsewhere:
            return KnockOn(0, total - direct)
        order = {node.name: index for index, node in enumerate(one.typed.nodes)}
        here, there = min(elsewhere, key=lambda pair: order[pair[0].name])
        shapes = (by_x(one.typed.types[here.name].shape), by_x(other.typed.types[there.name].shape))
        return KnockOn(len(elsewhere), total - direct, (here.name, there.name), shapes)


def around(name: str) -> str:
    """The name of the scope that a name lies in."""
    return name.rpartition(".")[0]


def _stem(name: str) -> str:
    return name.rpartition(".")[2].rstrip("0123456789")


def _added(part: GraphPart, graph: _GraphCounts) -> Change:
    """A part that only the graph on the second side has."""
    nodes = [*part.nodes()]
    return Change(
        "added",
        ("", part.name),
        ("", part.kind),
        effect=graph.total(nodes),
        layers=sum(node.op.counts_as_layer for node in nodes),
        lines=("", source_line(nodes[0])),
    )


def _renamed_parts(a: str, b: str) -> Iterator[tuple[str, str]]:
    """The parts of two names that differ, each with what stands before it; the whole names where one has more
    parts."""
    ours, theirs = a.split("."), b.split(".")
    if len(ours) != len(theirs):
        yield a, b
        return
    for end, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        if one != other:
            yield ".".join(ours[:end]), ".".join(theirs[:end])
