"""The bodies of functions: the lines that each block call of a graph computes, with values as numbers.

Named sequences, blocks without a name of their own and blocks of a single line are written out
where they stand; identities and what no output needs are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from archforge.errors import Diagnostic, DiagnosticError
from archforge.export.module.arguments import arguments_of
from archforge.export.module.kernels import kernel_file, kernel_name
from archforge.ir import Node, Scope, TensorType, TypedGraph
from archforge.passes.drop_identities import drop_identities

__all__ = ["BodyLine", "FunctionBody", "FunctionCall", "Prefix", "Region", "RegionTree", "body_of"]

# Merges that Python has an operator for.
INFIX = {"add": "+", "subtract": "-", "multiply": "*"}

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
    without parameters or arguments.
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

    @property
    def branch(self) -> str:
        """The first part of the label."""
        return self.label.partition(".")[0]

    @property
    def skeleton(self) -> tuple[object, ...]:
        """The part of a line that calls of one function have in common: not values of arguments, nor the name
        of an activation."""
        callee = "" if self.is_activation else self.callee
        return callee, self.prefix, self.inputs, self.outputs, tuple(self.args)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The function that computes a region, and its arguments there."""

    function: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FunctionBody:
    """The lines of one block call in order.

    Values are numbered: 0 to `inputs` - 1 come from outside, the outputs of each line follow.
    """

    name: str
    inputs: int
    lines: tuple[BodyLine, ...]
    outputs: tuple[int, ...]

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

    def nodes(self) -> Iterator[Node]:
        for item in self.items:
            if isinstance(item, Node):
                yield item
            else:
                yield from item.nodes()


class RegionTree:
    """The scopes of a graph that hold nodes, and which of them become functions."""

    def __init__(self, typed: TypedGraph) -> None:
        typed = replace(typed, graph=drop_identities(typed).graph)
        self.typed = typed
        needed = typed.needed_by(typed.outputs.values())
        live = [node for node in typed.nodes if node.name in needed]
        _refuse_lacking(typed, live)
        self.root = self._build(live)
        self._connect(live)
        self.calls = self._calls()
        self._called = {r.scope.index for regions in self.calls.values() for r in regions}

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
        one line says no more than that line."""
        by_kind: defaultdict[str, list[Region]] = defaultdict(list)

        def visit(region: Region) -> None:
            scope = region.scope
            if scope.is_block and region.parent and scope.name != region.parent.scope.name:
                by_kind[scope.kind].append(region)
            for item in region.items:
                if isinstance(item, Region):
                    visit(item)

        visit(self.root)
        return {kind: rs for kind, rs in by_kind.items() if any(len([*r.nodes()]) > 1 for r in rs)}

    def items(self, region: Region) -> Iterator[Node | Region]:
        """The nodes and calls of a region in order, named sequences written out."""
        for item in region.items:
            if isinstance(item, Node) or item.scope.index in self._called:
                yield item
            else:
                yield from self.items(item)


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
    return FunctionBody(region.scope.name, inputs, tuple(lines), tuple(numbers[v] for v in outputs))


def _inputs(tree: RegionTree, region: Region) -> tuple[str, ...]:
    return region.reads if region.parent else tuple(tree.typed.inputs)


def _op_line(tree: RegionTree, scope: Scope, node: Node, values: tuple[int, ...]) -> BodyLine:
    types = tree.typed.input_types(node)
    operator = _operator(node.op.kind, types)
    kernel = None if operator else kernel_file().kernels[kernel_name(node.op.kind)]
    args = arguments_of(node, types, kernel) if kernel else {}
    is_bare = kernel is not None and not kernel.takes_params and args == kernel.keywords
    is_activation = is_bare and types == (tree.typed.types[node.name],)
    return BodyLine(
        callee=operator or kernel_name(node.op.kind),
        prefix=_prefix(scope, node.params_of) if kernel and kernel.takes_params else None,
        inputs=values,
        outputs=1,
        args={} if is_activation else args,
        label=_relative(scope, node.name),
        kind=node.op.kind,
        shape=str(tree.typed.types[node.name]),
        is_activation=is_activation,
    )


def _call_line(
    tree: RegionTree, scope: Scope, region: Region, values: tuple[int, ...], call: FunctionCall
) -> BodyLine:
    return BodyLine(
        callee=call.function,
        prefix=_prefix(scope, _COPY.sub("", region.scope.name)),
        inputs=values,
        outputs=len(region.writes),
        args=call.args,
        label=_relative(scope, region.scope.name),
        kind=region.scope.kind,
        shape=", ".join(str(tree.typed.types[v]) for v in region.writes),
    )


def _prefix(scope: Scope, full: str) -> Prefix:
    own = _COPY.sub("", scope.name)
    if own and (full == own or full.startswith(f"{own}.")):
        return Prefix(full[len(own) :], relative=True)
    return Prefix(full, relative=False)


def _relative(scope: Scope, name: str) -> str:
    return name.removeprefix(f"{scope.name}.") if scope.name else name


def _operator(kind: str, types: Sequence[TensorType]) -> str | None:
    """The operator for a merge whose values NumPy aligns as the op does."""
    return INFIX.get(kind) if len({len(t.shape) for t in types}) == 1 else None


def _refuse_lacking(typed: TypedGraph, nodes: Sequence[Node]) -> None:
    """Raises E0704 for each kind of op that has no kernel."""
    lacking: dict[str, list[Node]] = {}
    for node in nodes:
        types = typed.input_types(node)
        if kernel_name(node.op.kind) not in kernel_file().kernels and not _operator(node.op.kind, types):
            lacking.setdefault(node.op.kind, []).append(node)
    if lacking:
        raise DiagnosticError(tuple(_lacks(kind, found) for kind, found in lacking.items()))


def _lacks(kind: str, nodes: list[Node]) -> Diagnostic:
    more = f" and {len(nodes) - 1} more" if nodes[1:] else ""
    return Diagnostic(
        "E0704",
        f"model.py has no layer for `{kind}`: {nodes[0].name}{more}",
        nodes[0].span,
        help="a function of that name in templates/kernels.py adds it",
    )
