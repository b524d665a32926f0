"""The bodies of functions: the lines that each block call of a graph computes, with values as numbers.

Named sequences, blocks without a name of their own and blocks of a single line are written out
where they stand; identities and what no output needs are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archforge.errors import Diagnostic, DiagnosticError
from archforge.export.module.dialect import Dialect
from archforge.ir import Node, Scope, TypedGraph
from archforge.scopes import name_within

__all__ = [
    "BodyLine",
    "FunctionBody",
    "FunctionCall",
    "Prefix",
    "Region",
    "RegionTree",
    "body_of",
    "region_tree",
]

_COPY = re.compile(r"@\d+(?=\.|$)")  # a scope that shares another's parameters: tower@2


@dataclass(frozen=True, slots=True)
class Prefix:
    """The start of the names of a line's parameters; `relative` to the name of the block call."""

    text: str
    relative: bool


@dataclass(frozen=True, slots=True)
class BodyLine:
    """One call within a body.

    callee: a kernel, an operator or a function. inputs: numbers of the values that it reads. outputs: the
    number of values that it gives. label: the name of the node or scope, relative to the body. kind: its op
    or block. shape: of the values that it gives. An activation takes one value and gives one of its shape,
    without parameters or arguments. use, layer: as `WrittenOp` has them.
    """

    callee: str
    prefix: Prefix | None
    inputs: tuple[int, ...]
    outputs: int
    args: Mapping[str, Any]
    label: str
    kind: str
    shape: str
    is_activation: bool = False
    use: str = ""
    layer: str = ""

    @property
    def branch(self) -> str:
        """The first part of the label."""
        return self.label.partition(".")[0]

    @property
    def skeleton(self) -> tuple[object, ...]:
        """The part of a line that calls of one function have in common: not values of arguments, nor the name
        of an activation."""
        callee = "" if self.is_activation else self.callee
        return callee, self.prefix, self.inputs, self.outputs, tuple(self.args), self.use


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The function that computes a region, and its arguments there."""

    function: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FunctionBody:
    """The lines of one block call in order.

    Values are numbered: 0 to `inputs` - 1 come from outside, the outputs of each line follow. ends: the first
    extent of the first input and of the last output, which are numbers of channels or features.
    """

    name: str
    inputs: int
    lines: tuple[BodyLine, ...]
    outputs: tuple[int, ...]
    ends: tuple[int, ...] = ()

    @property
    def skeleton(self) -> tuple[object, ...]:
        return self.inputs, tuple(line.skeleton for line in self.lines), self.outputs


@dataclass(slots=True, eq=False)
class Region:
    """A scope with the nodes and scopes inside it, in order; values that it reads and writes."""

    scope: Scope
    parent: Region | None
    items: list[Node | Region] = field(default_factory=list)
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The start of the names of its parameters: of a scope that shares another's, the name of that."""
        return _COPY.sub("", self.scope.name)

    @property
    def kind(self) -> str:
        """The name of the block, or of a sequence without the number at its end."""
        last = self.name.rpartition(".")[2]
        return self.scope.kind if self.scope.is_block else last.rstrip("0123456789") or self.scope.kind

    def nodes(self) -> Iterator[Node]:
        for item in self.items:
            if isinstance(item, Node):
                yield item
            else:
                yield from item.nodes()


class RegionTree:
    """The scopes of a graph that hold nodes, and which of them become functions."""

    def __init__(self, typed: TypedGraph, dialect: Dialect) -> None:
        typed = dialect.prepared(typed)
        self.typed, self.dialect = typed, dialect
        needed = typed.needed_by(typed.outputs.values())
        live = [node for node in typed.nodes if node.name in needed]
        _refuse_lacking(typed, live, dialect)
        self.root = self._build(live)
        self._connect(live)
        self.calls = self._calls()
        self.called = {r.scope.index for regions in self.calls.values() for r in regions}

    def _build(self, live: list[Node]) -> Region:
        # A graph that no spec was expanded to may have no scopes.
        scopes = self.typed.scopes or (Scope(0, "", "graph", True, None, None),)
        regions: dict[int, Region] = {}

        def region(index: int) -> Region:
            if index not in regions:
                above = scopes[index].parent
                parent = None if above is None else region(above)
                regions[index] = Region(scopes[index], parent)
                if parent:
                    parent.items.append(regions[index])
            return regions[index]

        root = region(0)
        for node in live:
            region(node.scope).items.append(node)
        return root

    def _connect(self, live: list[Node]) -> None:
        """Set for each region what it reads from outside, in order, and its values that are used there."""
        users: defaultdict[str, list[Node]] = defaultdict(list)
        for node in live:
            for value in node.inputs:
                users[value].append(node)
        outputs = set(self.typed.outputs.values())

        def visit(region: Region) -> None:
            inside = {node.name: node for node in region.nodes()}
            reads = dict.fromkeys(v for node in inside.values() for v in node.inputs if v not in inside)
            current = [v for v in region.scope.inputs[:1] if v in reads]
            region.reads = tuple(dict.fromkeys([*current, *reads]))
            region.writes = tuple(
                v for v in inside if v in outputs or any(u.name not in inside for u in users[v])
            )
            for item in region.items:
                if isinstance(item, Region):
                    visit(item)

        visit(self.root)

    def _calls(self) -> dict[str, list[Region]]:
        """The regions that become calls of functions, by kind of block; a block whose every use is
        one line says no more than that line, unless it is a level of names."""
        by_kind: defaultdict[str, list[Region]] = defaultdict(list)

        def visit(region: Region) -> None:
            is_named = region.parent and region.scope.name not in ("", region.parent.scope.name)
            if is_named and (is_level(region) or (region.scope.is_block and region.scope.index in plain)):
                by_kind[region.kind].append(region)
            for item in region.items:
                if isinstance(item, Region):
                    visit(item)

        def is_level(region: Region) -> bool:
            return region.scope.index in levels

        levels, plain = self._levels()
        visit(self.root)
        return {
            kind: rs for kind, rs in by_kind.items() if any(is_level(r) or len([*r.nodes()]) > 1 for r in rs)
        }

    def _levels(self) -> tuple[set[int], set[int]]:
        """The scopes that are levels of names: which own all parameters whose names start with theirs, and no
        others. The other ones that can be functions, too: all of them where levels need not be kept."""
        regions = [*self._regions(self.root)]
        if not self.dialect.keeps_levels:
            return set(), {region.scope.index for region in regions}
        below: defaultdict[str, set[str]] = defaultdict(set)  # the nodes whose parameters' names start so
        for node in self.root.nodes():
            if node.op.params(*self.typed.input_types(node)):
                parts = node.params_of.split(".")
                for length in range(len(parts)):
                    below[".".join(parts[:length])].add(node.name)
        owners = below[""]
        inside = {r.scope.index: owners.intersection(n.name for n in r.nodes()) for r in regions}
        shared: defaultdict[str, set[str]] = defaultdict(set)
        for region in regions:
            shared[region.name] |= inside[region.scope.index]
        levels = {
            r.scope.index
            for r in regions
            if r.name and inside[r.scope.index] <= below[r.name] == shared[r.name] and inside[r.scope.index]
        }
        return levels, {index for index, found in inside.items() if not found}

    def _regions(self, region: Region) -> Iterator[Region]:
        yield region
        for item in region.items:
            if isinstance(item, Region):
                yield from self._regions(item)

    def items(self, region: Region) -> Iterator[Node | Region]:
        """The nodes and calls of a region in order, named sequences written out."""
        for item in region.items:
            if isinstance(item, Node) or item.scope.index in self.called:
                yield item
            else:
                yield from self.items(item)


def region_tree(typed: TypedGraph, dialect: Dialect, more: Iterable[Diagnostic]) -> RegionTree:
    """The blocks of a graph. Raises E0704 for all that the dialect lacks, and for `more` that it has no room
    for, at once."""
    found = [*more]
    try:
        tree = RegionTree(typed, dialect)
    except DiagnosticError as error:
        raise DiagnosticError((*error.diagnostics, *found)) from None
    if found:
        raise DiagnosticError(tuple(found))
    return tree


def body_of(tree: RegionTree, region: Region, call: Callable[[Region], FunctionCall]) -> FunctionBody:
    """The lines of a region, where `call` knows the function that each inner call has become."""
    numbers = {value: i for i, value in enumerate(_inputs(tree, region))}
    inputs = len(numbers)
    lines: list[BodyLine] = []
    for item in tree.items(region):
        reads = item.inputs if isinstance(item, Node) else item.reads
        values = tuple(numbers[v] for v in reads)
        if isinstance(item, Node):
            lines.append(_op_line(tree, region.scope, item, values))
            writes: tuple[str, ...] = (item.name,)
        else:
            lines.append(_call_line(tree, region.scope, item, values, call(item)))
            writes = item.writes
        for value in writes:
            numbers[value] = len(numbers)
    outputs = region.writes if region.parent else tuple(tree.typed.outputs.values())
    ends = [tree.typed.types[v].shape[:1] for v in (*_inputs(tree, region)[:1], *outputs[-1:])]
    return FunctionBody(
        region.scope.name,
        inputs,
        tuple(lines),
        tuple(numbers[v] for v in outputs),
        tuple(extent for shape in ends for extent in shape),
    )


def _inputs(tree: RegionTree, region: Region) -> tuple[str, ...]:
    return region.reads if region.parent else tuple(tree.typed.inputs)


def _op_line(tree: RegionTree, scope: Scope, node: Node, values: tuple[int, ...]) -> BodyLine:
    call = tree.dialect.call(node, tree.typed.input_types(node))
    return BodyLine(
        callee=call.callee,
        prefix=_prefix(scope, node.params_of) if call.owns else None,
        inputs=values,
        outputs=1,
        args=call.args,
        label=name_within(scope.name, node.name),
        kind=node.op.kind,
        shape=_shape(tree, node.name),
        is_activation=call.is_activation,
        use=call.use,
        layer=call.layer,
    )


def _call_line(
    tree: RegionTree, scope: Scope, region: Region, values: tuple[int, ...], call: FunctionCall
) -> BodyLine:
    return BodyLine(
        callee=call.function,
        prefix=_prefix(scope, region.name),
        inputs=values,
        outputs=len(region.writes),
        args=call.args,
        label=name_within(scope.name, region.scope.name),
        kind=region.kind,
        shape=", ".join(_shape(tree, v) for v in region.writes),
    )


def _shape(tree: RegionTree, value: str) -> str:
    return "x".join(map(str, tree.dialect.extents(tree.typed.types[value])))


def _prefix(scope: Scope, full: str) -> Prefix:
    own = _COPY.sub("", scope.name)
    if own and (full == own or full.startswith(f"{own}.")):
        return Prefix(full[len(own) :], relative=True)
    return Prefix(full, relative=False)


def _refuse_lacking(typed: TypedGraph, nodes: Sequence[Node], dialect: Dialect) -> None:
    """Raises E0704 for all that the dialect lacks, once for each reason."""
    lacking: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        if reason := dialect.lacks(node, typed.input_types(node)):
            lacking.setdefault(reason, []).append(node)
    if lacking:
        raise DiagnosticError(tuple(_lacks(dialect, *reason, found) for reason, found in lacking.items()))


def _lacks(dialect: Dialect, what: str, help: str, nodes: list[Node]) -> Diagnostic:
    more = f" and {len(nodes) - 1} more" if nodes[1:] else ""
    return Diagnostic(
        "E0704", f"{dialect.file} has no {what}: {nodes[0].name}{more}", nodes[0].span, help=help
    )
