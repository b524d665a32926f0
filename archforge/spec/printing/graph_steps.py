"""Steps of a flat spec: the value that each goes on from, the branches of merges, and their layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archforge.ir import Node
from archforge.ops.base import Op
from archforge.spec.printing.graph_names import Leaf, NamedSteps
from archforge.spec.printing.layout import Atom, Child, Collection, Part, written
from archforge.spec.syntax.reserved_names import can_be_named

__all__ = [
    "MAX_NESTING",
    "Run",
    "StepWriter",
    "block",
    "flow_list",
    "is_default",
    "mapping",
    "may_be_bare",
    "runs_of",
    "tap_names",
]

MAX_NESTING = 3  # merges inside branches of each other; beyond that, taps are easier to follow


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A step that leaves `value`. `reads` is the value that it must find before it, None if it needs none.

    inside: the steps of a region. branches: of a merge, steps or a value that is taken as it is.
    """

    item: Leaf | NamedSteps
    reads: str | None
    value: str
    inside: tuple[Run, ...] = ()
    branches: tuple[Branch, ...] = ()

    def made(self) -> Iterator[str]:
        """Every value that is computed in it."""
        for run in (*self.inside, *(run for b in self.branches if not isinstance(b, str) for run in b)):
            yield from run.made()
        if isinstance(self.item, Leaf):
            yield self.value

    @property
    def nesting(self) -> int:
        """Merges inside branches of each other."""
        inner = [run.nesting for b in self.branches if not isinstance(b, str) for run in b]
        return max([*(run.nesting for run in self.inside), 0]) + (1 + max([0, *inner]) if inner else 0)


Branch = tuple[Run, ...] | str


def runs_of(region: NamedSteps, current: str | None) -> tuple[Run, ...]:
    """The steps of a region, which starts from the value `current`."""
    runs: list[Run] = []
    for item in region.items:
        before = runs[-1].value if runs else current
        if isinstance(item, NamedSteps):
            inside = runs_of(item, before)
            runs.append(Run(item, inside[0].reads, inside[-1].value, inside))
        elif item.node.op.arity is None:
            start, branches = _branches(item.node, runs, current)
            before = runs[start - 1].value if start else current
            reads = (
                before if any(b == before if isinstance(b, str) else b[0].reads for b in branches) else None
            )
            runs[start:] = [Run(item, reads, item.node.name, branches=branches)]
        else:
            runs.append(Run(item, item.node.inputs[0], item.node.name))
    return tuple(runs)


def _branches(merge: Node, runs: Sequence[Run], current: str | None) -> tuple[int, tuple[Branch, ...]]:
    """The branches of a merge, and the index of the first run that they take: they take the last ones if each
    branch starts from the value in front of these, else none, and are values that were computed before."""
    taken: list[Branch] = list(merge.inputs)
    end, origin = len(runs), None
    for index in reversed(range(len(taken))):
        if not end or runs[end - 1].value != taken[index] or taken[index] == origin:
            continue
        others = {*merge.inputs[:index], *merge.inputs[index + 1 :]}
        start = end - 1
        while start and runs[start].reads == runs[start - 1].value != origin:
            if origin is None and runs[start].reads in others:
                break
            start -= 1
        origin = origin or runs[start].reads
        taken[index] = tuple(runs[start:end])
        end = start
    before = runs[end - 1].value if end else current
    return (end, tuple(taken)) if _is_forked(taken, before) else (len(runs), merge.inputs)


def _is_forked(branches: Sequence[Branch], before: str | None) -> bool:
    """True if branches with steps start from the value `before` them, at least two of all do, and a value
    that is taken as it is was computed earlier."""
    made = [set() if isinstance(b, str) else {v for run in b for v in run.made()} for b in branches]
    for index, branch in enumerate(branches):
        if isinstance(branch, str):
            if any(branch in later for later in made[index:]):
                return False
        elif branch[0].reads not in (before, None) or any(run.nesting >= MAX_NESTING for run in branch):
            return False
    steps = sum(not isinstance(branch, str) for branch in branches)
    return steps > 1 or (steps == 1 and before in branches)


class StepWriter:
    """Writes runs as the parts of a layout. Values that are read further on than in the next step are taps:
    `taps` has their names by value."""

    def __init__(self, inputs: Sequence[str], taps: dict[str, str] | None = None) -> None:
        self.inputs = inputs
        self.taps = taps or {}
        self.read: dict[str, None] = {}  # the values that were asked for by name, in order

    def reference(self, value: str) -> Atom:
        """A formula for a value that was computed before."""
        self.read[value] = None
        name = value if value in self.inputs else self.taps.get(value, value)
        return Atom(f"={name}", f"={name}")

    def steps(self, runs: Sequence[Run], current: str | None) -> Iterator[Part]:
        for run in runs:
            yield self.step(run, current)
            current = run.value

    def step(self, run: Run, current: str | None) -> Part:
        item = run.item
        if isinstance(item, NamedSteps):
            name = "share" if item.shared else "name"
            return mapping({name: written(item.given), "seq": block(self.steps(run.inside, current))})
        modifiers: dict[str, Part] = {}
        if item.given is not None:
            modifiers["share" if item.shared else "name"] = written(item.given)
        if run.branches:
            branches = [self.branch(branch, current) for branch in run.branches]
            modifiers |= self.tap(run.value)
            attributes = _attributes(item.node.op)
            listed = mapping({"branches": block(branches), **attributes}) if attributes else block(branches)
            return mapping({item.node.op.kind: listed, **modifiers})
        if run.reads != current:
            modifiers["from"] = self.reference(item.node.inputs[0])
        return _call(item.node.op, modifiers | self.tap(run.value))

    def branch(self, branch: Branch, current: str | None) -> Part:
        if isinstance(branch, str):
            return Collection((), is_list=True) if branch == current else self.reference(branch)
        steps = list(self.steps(branch, current))
        return steps[0] if len(steps) == 1 else block(steps)

    def tap(self, value: str) -> dict[str, Part]:
        return {"as": written(self.taps[value])} if value in self.taps else {}


def tap_names(values: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Names for values in formulas: their own, as far as formulas can have them."""
    names: dict[str, str] = {}
    used = set(taken)
    for value in values:
        name = re.sub(r"\W", "_", value)
        while name in used or not can_be_named(name, "a tap"):
            name = f"{name}_" if name.isidentifier() else f"tap_{name}"
        used.add(name)
        names[value] = name
    return names


def _call(op: Op, modifiers: dict[str, Part]) -> Part:
    """A call of an op with the attributes that are not its defaults."""
    given = _attributes(op)
    arguments: Part = mapping(given, flow=True)
    first = next(iter(given), "")
    if len(given) == 1 and may_be_bare(type(op), first):
        arguments = given[first]
    if not given and not modifiers:
        return written(op.kind)
    return mapping({op.kind: arguments, **modifiers}, flow=bool(modifiers))


def _attributes(op: Op) -> dict[str, Part]:
    """The attributes of an op that are not its defaults."""
    return {
        name: _value(value)
        for name, value in op.attributes().items()
        if not is_default(type(op), name, value)
    }


def is_default(op: type[Op], name: str, value: Any) -> bool:
    """True for the value that an attribute of an op has by itself."""
    field = op.model_fields[name]
    return not field.is_required() and repr(field.default) == repr(value)


def may_be_bare(op: type[Op], name: str) -> bool:
    """True for an attribute that needs no name where it is the only one: nobody asks what the number of
    `conv: 64` is."""
    return op.model_fields[name].is_required() and op.attribute_names()[0] == name


def _value(value: Any) -> Part:
    if isinstance(value, tuple):
        return flow_list(map(_value, value))
    return written(value)


def mapping(entries: Mapping[str, Part], *, flow: bool = False) -> Collection:
    """A mapping, which may stand in brackets if `flow`."""
    return Collection(tuple(Child(written(k), part) for k, part in entries.items()), is_list=False, flow=flow)


def flow_list(items: Iterable[Part]) -> Collection:
    """A list that may stand in brackets."""
    return Collection(tuple(Child(None, part) for part in items), is_list=True)


def block(items: Iterable[Part]) -> Collection:
    """A list with each item on lines of its own."""
    return Collection(tuple(Child(None, part) for part in items), is_list=True, flow=False)
