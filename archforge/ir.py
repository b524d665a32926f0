"""The graph: frozen nodes in topological order, their types, and the scopes that they came from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from archforge.errors import InternalError, Span

__all__ = [
    "ELEMENTWISE",
    "WHOLE",
    "Graph",
    "Init",
    "Node",
    "Operator",
    "ParamDecl",
    "Reach",
    "Scope",
    "ShapeError",
    "TensorType",
    "TypedGraph",
    "by_x",
    "infer",
    "shape_text",
]

Role = Literal["weight", "bias", "buffer"]


def by_x(shape: Iterable[int]) -> str:
    """A shape as messages and files print it: 3x224x224; nothing for no axes."""
    return "x".join(map(str, shape))


def shape_text(shape: Iterable[int]) -> str:
    """A shape as sentences name it: 3x224x224; `a scalar` for no axes."""
    return by_x(shape) or "a scalar"


class TensorType(NamedTuple):
    """Shape of a value without its batch axis: (C, *spatial), (features,) or (time, features)."""

    shape: tuple[int, ...]

    def __str__(self) -> str:
        return by_x(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of one image."""
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.shape[1:]


class Init(NamedTuple):
    """How a fresh parameter is filled.

    `uniform`: U(-bound, bound) with bound = scale / sqrt(fan_in), fan_in = product of shape[1:]
    unless given. `constant`: scale everywhere.
    """

    kind: Literal["uniform", "constant"]
    scale: float
    fan_in: int | None = None


class ParamDecl(NamedTuple):
    """An array that an op owns.

    `role` says where it is counted: `weight` (kernels, matrices, gamma and beta of norms), `bias`
    (of convolution, linear and recurrent layers) or `buffer` (stored, not trained).
    """

    shape: tuple[int, ...]
    role: Role = "weight"
    init: Init = Init("uniform", 1.0)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(eq=False)
class ShapeError(Exception):
    """What an op says when its inputs do not fit; the caller adds the place.

    `attribute` names the attribute to point at, `label` is the arithmetic that fails.
    """

    message: str
    attribute: str | None = None
    label: str = ""
    help: str = ""
    code: str = "E0401"


class Reach(NamedTuple):
    """The elements of an input that one element of the output depends on, along one axis of the output.

    elements: how many of them lie side by side at most, None for all. The element of the output that lies
    `outputs` further depends on those that lie `inputs` further. axis: that of the input, from 0; None for
    the same one.
    """

    elements: int | None
    inputs: int = 1
    outputs: int = 1
    axis: int | None = None


ELEMENTWISE, WHOLE = Reach(1), Reach(None)


class Operator(Protocol):
    """What the graph needs to know of an op; `archforge.ops.base.Op` is the implementation."""

    @property
    def kind(self) -> str: ...
    @property
    def counts_as_layer(self) -> bool: ...
    def infer(self, *inputs: TensorType) -> TensorType: ...
    def passes_through(self, *inputs: TensorType) -> bool: ...
    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]: ...
    def macs(self, *inputs: TensorType) -> int: ...
    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]: ...
    def attributes(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A block call, a named sequence or the whole graph (`name` empty, `parent` None).

    `kind` is `graph`, the block's name, or `seq`. `inputs` are the values it reads from outside,
    the current value first; `output` is the value that it leaves.
    """

    index: int
    name: str
    kind: str
    is_block: bool
    parent: int | None
    span: Span | None
    inputs: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One use of an op. Its name is also the name of the value that it computes.

    `params_of` is the prefix of its parameters' names: its own name unless it shares another's.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    scope: int
    span: Span | None = None
    params_of: str = ""

    def param_name(self, name: str) -> str:
        """Full name of this node's parameter `name`; a nameless one is called like the node."""
        return f"{self.params_of}.{name}" if name else self.params_of


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in topological order; every value is an input or the name of a node."""

    name: str
    inputs: Mapping[str, TensorType]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    scopes: tuple[Scope, ...] = ()

    def nodes_of(self, kind: str) -> list[Node]:
        """The nodes of one kind of op."""
        return [n for n in self.nodes if n.op.kind == kind]

    def users(self) -> dict[str, list[Node]]:
        """The nodes that read each value."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                users.setdefault(value, []).append(node)
        return users

    def replace_uses(self, renamed: Mapping[str, str]) -> Graph:
        """A graph in which each use of a value in `renamed` reads its replacement, following
        chains, and the nodes so replaced are gone."""

        def final(value: str) -> str:
            while value in renamed:
                value = renamed[value]
            return value

        nodes = tuple(
            replace(n, inputs=tuple(map(final, n.inputs))) for n in self.nodes if n.name not in renamed
        )
        scopes = tuple(
            replace(s, inputs=tuple(map(final, s.inputs)), output=final(s.output)) for s in self.scopes
        )
        outputs = {name: final(value) for name, value in self.outputs.items()}
        return Graph(self.name, self.inputs, nodes, outputs, scopes)


@dataclass(frozen=True, slots=True, eq=False)
class TypedGraph:
    """A graph with the type of every value. Made by `infer` (or by expansion, node by node)."""

    graph: Graph
    types: Mapping[str, TensorType]

    @property
    def inputs(self) -> Mapping[str, TensorType]:
        return self.graph.inputs

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.graph.nodes

    @property
    def outputs(self) -> Mapping[str, str]:
        return self.graph.outputs

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return self.graph.scopes

    def needed_by(self, values: Iterable[str]) -> set[str]:
        """These values and all that they are computed from."""
        needed = set(values)
        for node in reversed(self.graph.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return needed

    def input_types(self, node: Node) -> tuple[TensorType, ...]:
        types = self.types
        return tuple([types[v] for v in node.inputs])

    def params(self) -> dict[str, ParamDecl]:
        """Every array by its full name, in order; shared ones once."""
        out: dict[str, ParamDecl] = {}
        for node in self.nodes:
            for name, decl in node.op.params(*self.input_types(node)).items():
                out.setdefault(node.param_name(name), decl)
        return out


def infer(graph: Graph) -> TypedGraph:
    """The type of every value. A shape that does not fit is our bug here: expansion has refused it."""
    types = dict(graph.inputs)
    for node in graph.nodes:
        try:
            types[node.name] = node.op.infer(*(types[v] for v in node.inputs))
        except (ShapeError, KeyError) as error:
            raise InternalError(f"{node.name}: {error}") from error
    return TypedGraph(graph, MappingProxyType(types))
