"""One function for the calls of a block that compute alike.

Calls share a function if their lines agree but for values of arguments, which become parameters,
and for a few lines that only some have, which a flag then switches: the projection of a residual
block, for one. Calls that differ in more get functions of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from archforge.export.module.bodies import BodyLine, FunctionBody, FunctionCall, Region, RegionTree, body_of
from archforge.export.module.dialect import Dialect
from archforge.export.module.names import NameSupply, word_of
from archforge.interchange.decompile.values import REQUIRED

__all__ = ["BlockFunction", "FunctionParameter", "FunctionWord", "functions_of"]

# With more parameters or optional lines than this, two functions are easier to read; so they are where
# more than a third of the lines would be optional.
MAX_PARAMETERS = 4
MAX_OPTIONAL = 3
OPTIONAL_SHARE = 3
# Longer bodies are compared as wholes only: the search for optional lines is cubic.
MAX_COMPARED = 60
_END_NAMES = ("in_channels", "out_channels")


@dataclass(frozen=True, slots=True)
class FunctionParameter:
    """A parameter of a function, as the value of an argument that differs between calls: `times` its value,
    or that over `over`, which is a whole number."""

    name: str
    times: int = 1
    over: int = 1


@dataclass(frozen=True, slots=True)
class FunctionWord:
    """The name of a function, as the value of an argument."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class BlockFunction:
    """A function of a generated module: a body in which values of arguments may be parameters.

    params: the parameters with their defaults. flags: for a line that only some calls have, by its index, the
    parameter that switches it; without the line its value is that of the input in `bypasses`. uses: the names
    of the block calls that call the function. is_block: it is no named sequence.
    """

    name: str
    kind: str
    body: FunctionBody
    params: Mapping[str, Any]
    flags: Mapping[int, str]
    bypasses: Mapping[int, int]
    uses: tuple[str, ...]
    is_block: bool = True

    @property
    def inputs(self) -> list[str]:
        """The variables of what a block takes: `x`, `x2`, ..."""
        return ["x", *(f"x{n}" for n in range(2, self.body.inputs + 1))][: self.body.inputs]

    @property
    def where(self) -> str:
        """The uses in words."""
        return f"{self.uses[0]} and {len(self.uses) - 1} more" if self.uses[2:] else " and ".join(self.uses)

    @property
    def callees(self) -> set[str]:
        """The names of all functions that the body calls or gives as an argument."""
        values = [*self.params.values(), *(v for line in self.body.lines for v in line.args.values())]
        return {line.callee for line in self.body.lines} | {
            v.name for v in values if isinstance(v, FunctionWord)
        }


@dataclass(slots=True, eq=False)
class _SharedBody:
    """The longest body of the calls that share a function, and for each call the lines that it lacks."""

    body: FunctionBody
    members: dict[int, dict[int, int]]  # call -> absent line -> the input that passes by it


def functions_of(tree: RegionTree, names: NameSupply) -> tuple[list[BlockFunction], BlockFunction]:
    """The functions of a graph's blocks, inner ones first, and the whole graph as one."""
    calls: dict[int, FunctionCall] = {}
    functions: list[BlockFunction] = []
    for kind, regions in _groups(tree):
        bodies = [body_of(tree, r, lambda inner: calls[inner.scope.index]) for r in regions]
        shared_bodies = _shared_bodies(bodies, tree.dialect, joins=all(r.scope.is_block for r in regions))
        for shared in sorted(shared_bodies, key=lambda t: min(t.members)):
            function, arguments = _function(names.take(kind), kind, shared, bodies, tree.dialect)
            function = replace(function, is_block=regions[min(shared.members)].scope.is_block)
            functions.append(function)
            for member, values in arguments.items():
                calls[regions[member].scope.index] = FunctionCall(function.name, values)
    main = body_of(tree, tree.root, lambda inner: calls[inner.scope.index])
    return functions, BlockFunction("forward", "graph", main, {}, {}, {}, ())


def _groups(tree: RegionTree) -> Iterator[tuple[str, list[Region]]]:
    """Calls by kind of block, inner kinds first. Where blocks call each other in a ring, by depth too."""
    inner = {
        kind: list(dict.fromkeys(i.kind for r in regions for i in tree.items(r) if isinstance(i, Region)))
        for kind, regions in tree.calls.items()
    }

    try:
        for kind in TopologicalSorter(inner).static_order():
            yield kind, tree.calls[kind]
        return
    except CycleError:
        pass

    @cache
    def height(region: Region) -> int:
        return 1 + max((height(i) for i in tree.items(region) if isinstance(i, Region)), default=0)

    split: dict[tuple[int, str], list[Region]] = {}
    for kind, regions in tree.calls.items():
        for region in regions:
            split.setdefault((height(region), kind), []).append(region)
    for level, kind in sorted(split, key=lambda key: key[0]):
        yield kind, split[level, kind]


def _shared_bodies(bodies: Sequence[FunctionBody], dialect: Dialect, *, joins: bool) -> list[_SharedBody]:
    """The bodies, each under the longest one that holds all its lines; without `joins` under one of the same
    lines."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for index, body in enumerate(bodies):
        alike.setdefault(body.skeleton, []).append(index)
    shared_bodies: list[_SharedBody] = []
    for members in sorted(alike.values(), key=lambda m: -len(bodies[m[0]].lines)):
        body = bodies[members[0]]
        tried = (_joined(t, body, members, bodies, dialect) for t in shared_bodies)
        joined = next(filter(None, tried), None) if joins else None
        if joined:
            shared_bodies = [joined if t.body is joined.body else t for t in shared_bodies]
        else:
            shared_bodies.append(_SharedBody(body, {m: {} for m in members}))
    return shared_bodies


def _joined(
    shared: _SharedBody,
    body: FunctionBody,
    members: Sequence[int],
    bodies: Sequence[FunctionBody],
    dialect: Dialect,
) -> _SharedBody | None:
    """The shared body with these calls of one body too, if that takes few optional lines and parameters."""
    absent = _absent_lines(shared.body, body)
    if absent is None or any(
        absent.get(i, b) != b for other in shared.members.values() for i, b in other.items()
    ):
        return None
    joined = _SharedBody(shared.body, shared.members | dict.fromkeys(members, absent))
    before, after = (
        sum(not dialect.is_size(name) for name in _function("", "", t, bodies, dialect)[0].params)
        for t in (shared, joined)
    )
    return joined if after <= max(MAX_PARAMETERS, before + 1) else None


def _absent_lines(whole: FunctionBody, part: FunctionBody) -> dict[int, int] | None:
    """The lines that make `part` of `whole` when they are left out, each with the number of the input
    that then stands for its value; None if no few lines do."""
    extra = len(whole.lines) - len(part.lines)
    if (whole.inputs, len(whole.outputs)) != (part.inputs, len(part.outputs)):
        return None
    if extra > min(MAX_OPTIONAL, len(whole.lines) // OPTIONAL_SHARE) or len(whole.lines) > MAX_COMPARED:
        return None

    def search(at: int, to: int, values: tuple[int, ...]) -> dict[int, int] | None:
        """The absent lines from line `at` of `whole` and line `to` of `part` on; None if there is no way.

        values: for each value of `whole` so far, the value of `part`.
        """
        if at == len(whole.lines):
            return {} if tuple(values[v] for v in whole.outputs) == part.outputs else None
        line = whole.lines[at]
        mapped = replace(line, inputs=tuple(values[v] for v in line.inputs))
        if to < len(part.lines) and mapped.skeleton == part.lines[to].skeleton:
            first = part.inputs + sum(other.outputs for other in part.lines[:to])
            found = search(at + 1, to + 1, (*values, *range(first, first + line.outputs)))
            if found is not None:
                return found
        if at - to < extra and line.outputs == 1:
            for bypass in dict.fromkeys(line.inputs):
                found = search(at + 1, to, (*values, values[bypass]))
                if found is not None:
                    return {at: bypass, **found}
        return None

    return search(0, 0, tuple(range(part.inputs)))


def _function(
    name: str, kind: str, shared: _SharedBody, bodies: Sequence[FunctionBody], dialect: Dialect
) -> tuple[BlockFunction, dict[int, dict[str, Any]]]:
    """The function of a shared body, and the arguments of each call."""
    params = _FunctionParameters(shared, bodies, dialect)
    flags: dict[int, str] = {}
    lines: list[BodyLine] = []
    for index, line in enumerate(shared.body.lines):
        present = _lines_of(shared, bodies, index)
        if line.is_activation:
            line, flag = _activation(line, present, shared, params)
        else:
            flag = _flag(line, present, shared, params)
        if flag:
            flags[index] = flag
        args = {
            arg: params.value(line, arg, {m: other.args[arg] for m, other in present.items()})
            for arg in line.args
        }
        lines.append(replace(line, args=args))
    bypasses = {index: bypass for absent in shared.members.values() for index, bypass in absent.items()}
    usual = params.usual()
    uses = tuple(bodies[m].name for m in sorted(shared.members))
    function = BlockFunction(
        name, kind, replace(shared.body, lines=tuple(lines)), params.defaults(), flags, bypasses, uses
    )
    return function, {
        m: {p: values.get(m, usual[p]) for p, values in params.values.items()} for m in shared.members
    }


def _lines_of(shared: _SharedBody, bodies: Sequence[FunctionBody], index: int) -> dict[int, BodyLine]:
    """A line of the shared body as each call that has it writes it."""
    return {
        m: bodies[m].lines[index - sum(a < index for a in absent)]
        for m, absent in shared.members.items()
        if index not in absent
    }


def _flag(
    line: BodyLine, present: Mapping[int, BodyLine], shared: _SharedBody, params: _FunctionParameters
) -> str:
    """The parameter that switches a line which some calls lack; empty if all have it."""
    if len(present) == len(shared.members):
        return ""
    word = word_of(line.label) or line.kind
    # The name of a scope that all calls have parts of is that of its module, and no flag's.
    whole = {*range(len(shared.body.lines))}.difference(*shared.members.values())
    if any(word_of(shared.body.lines[index].label) == word for index in whole):
        word = f"with_{line.kind}"
    return params.flag(word, {m: m in present for m in shared.members})


def _activation(
    line: BodyLine, present: Mapping[int, BodyLine], shared: _SharedBody, params: _FunctionParameters
) -> tuple[BodyLine, str]:
    """The line of an activation, and its flag. One that differs between calls becomes a parameter, which is
    None in calls without an activation."""
    words: dict[int, FunctionWord | None] = {
        m: FunctionWord(other.layer or other.callee) for m, other in present.items()
    }
    if len(present) == len(shared.members) and len(set(words.values())) == 1:
        return line, ""
    name = params.add("activation", dict.fromkeys(shared.members) | words)
    return replace(line, callee=name), name if len(present) < len(shared.members) else ""


class _FunctionParameters:
    """The parameters of a function, with the value of each in every call that has its line."""

    def __init__(self, shared: _SharedBody, bodies: Sequence[FunctionBody], dialect: Dialect) -> None:
        body = shared.body
        self.dialect = dialect
        self.members = frozenset(shared.members)
        self.values: dict[str, dict[int, Any]] = {}
        self.taken = {line.callee for line in body.lines} | {f"x{n}" for n in range(body.inputs + 1)}
        ends = [{m: bodies[m].ends[end] for m in shared.members} for end in range(len(body.ends))]
        self.ends = dict(zip(_END_NAMES, ends, strict=False))  # sizes that a reader knows
        self.sizes: list[tuple[Mapping[int, int], FunctionParameter]] = []

    def value(self, line: BodyLine, wish: str, values: Mapping[int, Any]) -> Any:
        """The value of an argument: the one that all calls give, or a parameter."""
        distinct = set(values.values())
        if len(distinct) == 1:
            told = self._told(wish, values) if len(values) < len(self.members) else ""
            return FunctionParameter(told) if told else distinct.pop()
        if self.dialect.is_size(wish) and all(isinstance(value, int) for value in distinct):
            self.sizes.append((values, self._size(line, values)))
            return self.sizes[-1][1]
        kernels = self.values.get("kernel_size", {})
        if wish == "padding" and all(value == _half(kernels.get(m)) for m, value in values.items()):
            return FunctionParameter("kernel_size", over=2)
        if wish == "groups" and (size := next((s for v, s in self.sizes if v == values), None)):
            return size
        return FunctionParameter(self.add(wish, values))

    def _told(self, wish: str, values: Mapping[int, Any]) -> str:
        """The name of a parameter that says a value which is the same in the calls that have its line; empty
        for none."""
        known = {wish: self.values[wish]} if wish in self.values else {}
        if self.dialect.is_size(wish):
            known = {n: v for n, v in self.values.items() if self.dialect.is_size(n)}
        return next((n for n, of in known.items() if all(_same(of.get(m), v) for m, v in values.items())), "")

    def _size(self, line: BodyLine, values: Mapping[int, int]) -> FunctionParameter:
        """A number of channels: a parameter, or what is a multiple or a part of one in all calls."""
        known = self.ends | {n: v for n, v in self.values.items() if self.dialect.is_size(n)}
        for exact in (True, False):
            for name, of in known.items():
                if found := _ratio(values, of, exact=exact):
                    self.values.setdefault(name, dict(of))
                    return FunctionParameter(name, *found)
        word = word_of(line.label)
        is_told = word and not word.startswith(line.kind)
        return FunctionParameter(self.add(f"{word}_channels" if is_told else "channels", values))

    def add(self, wish: str, values: Mapping[int, Any]) -> str:
        """The name of a parameter with these values: a known one named `wish` that agrees, or a new one."""
        name, number = wish, 1
        while name in self.values or name in self.taken:
            known = self.values.get(name)
            if known is not None and all(_same(known.get(m, v), v) for m, v in values.items()):
                break
            number += 1
            name = f"{wish}_{number}"
        self.values[name] = self.values.get(name, {}) | dict(values)
        return name

    def flag(self, wish: str, values: Mapping[int, bool]) -> str:
        """The name of a switch with these values: any known parameter that has them, or a new one."""
        for name, known in self.values.items():
            if all(_same(known.get(m), v) for m, v in values.items()):
                return name
        return self.add(f"with_{wish}" if wish in self.taken else wish, values)

    def usual(self) -> dict[str, Any]:
        """The most common value of each parameter."""
        return {name: Counter(values.values()).most_common(1)[0][0] for name, values in self.values.items()}

    def defaults(self) -> dict[str, Any]:
        """The default of each parameter; never a function, since defaults are evaluated above the layers. A
        number of channels has none."""
        out = self.usual()
        for name, values in self.values.items():
            if self.dialect.is_size(name) and values.keys() == self.members:
                out[name] = REQUIRED
            elif any(isinstance(value, FunctionWord) for value in values.values()):
                out[name] = None if None in values.values() else REQUIRED
        return out


def _half(size: object) -> int | None:
    return size // 2 if isinstance(size, int) else None


def _ratio(values: Mapping[int, int], of: Mapping[int, int], *, exact: bool) -> tuple[int, int] | None:
    """(times, over) that make all values of `of`, (1, 1) if `exact`; None if there is no such pair."""
    pairs = {(value, of.get(m, 0)) for m, value in values.items()}
    if exact:
        return (1, 1) if all(value == base for value, base in pairs) else None
    value, base = next(iter(pairs))
    times, over = max(value // max(base, 1), 1), max(base // value, 1)
    return (times, over) if all(base and value * over == base * times for value, base in pairs) else None


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b
