"""The intermediate representation: types of values, ops, and the graph, whose nodes use ops.

A graph is frozen; its nodes are in topological order. With the types of all values it is a `TypedGraph`,
which every stage after expansion takes. Its scopes are the blocks and sequences of the spec that the nodes
came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from archforge.class_vars import read_once
from archforge.errors import InternalError, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
else:
    Array = Any

__all__ = [
    "ELEMENTWISE",
    "WHOLE",
    "Array",
    "Backward",
    "Example",
    "Forward",
    "Gradients",
    "Graph",
    "Init",
    "Node",
    "OfExtents",
    "Op",
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


class OfExtents(NamedTuple):
    """An array that follows from extents alone."""

    function: Callable[[tuple[int, ...]], Any]
    extents: tuple[int, ...]


class Init(NamedTuple):
    """The rule that fills a fresh parameter.

    `uniform`: U(-bound, bound) with bound = scale / sqrt(fan_in), fan_in = product of shape[1:]
    unless given. `normal`: of deviation scale about `mean`. `constant`: scale everywhere. `computed`: the
    elements of `computed`. `index`: the same for whole numbers that are never others.
    """

    kind: Literal["uniform", "normal", "constant", "computed", "index"]
    scale: float = 0.0
    fan_in: int | None = None
    mean: float = 0.0
    computed: OfExtents | None = None


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

    def computed(self) -> Array:
        """The elements that follow from the op alone, in the array's shape and in memory of their own: the op
        may keep what it reads. Of a rule that computes them."""
        if self.init.computed is None:
            raise InternalError(f"nothing computes an array that is filled by `{self.init.kind}`")
        function, extents = self.init.computed
        found: Array = function(extents).reshape(self.shape).copy()
        return found


@dataclass(eq=False)
class ShapeError(Exception):
    """Inputs or attributes that do not fit each other, as an op finds them; the caller adds the place.

    `attribute` names the attribute to point at, `label` is the arithmetic that fails. `mended_by` tells which
    inputs of the network may fit: `larger` ones, or those of `other` sizes along their spatial axes.
    """

    message: str
    attribute: str | None = None
    label: str = ""
    help: str = ""
    code: str = "E0401"
    mended_by: str = ""


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


class Forward(NamedTuple):
    """The result of an op in training.

    saved: what its gradient reads besides inputs and output, such as the mask of a dropout. buffers: new
    contents of the op's buffers, by name.
    """

    output: Array
    saved: Any = None
    buffers: Mapping[str, Array] = MappingProxyType({})


class Backward(NamedTuple):
    """The way back through an op: what its forward pass had and made, and `dy`, the gradient of the loss with
    respect to its output.

    of_inputs, of_params: which gradients are wanted.
    """

    params: Mapping[str, Array]
    inputs: tuple[Array, ...]
    output: Array
    saved: Any
    dy: Array
    of_inputs: bool = True
    of_params: bool = True


class Gradients(NamedTuple):
    """Gradients of the loss with respect to an op's inputs, in order, and to its parameters, by name. Those
    that are not wanted may be left out, all of a kind."""

    inputs: tuple[Array, ...] = ()
    params: Mapping[str, Array] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Example:
    """Attributes and input shapes (without batch axis) on which every law about ops is tested."""

    attributes: Mapping[str, Any]
    inputs: tuple[tuple[int, ...], ...]
    note: str = field(default="")


@read_once
class Op(BaseModel):
    """An op with its attributes bound: the base class of those in `archforge.ops`, one file each. Subclasses
    declare attributes as fields; the first one is what a bare argument sets (`{conv: 64}`).

    Shapes are without the batch axis, arrays with it: `TensorType((C, H, W))` is float[N, C, H, W].
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    op: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()  # other words for it; its kind stays `op`
    arity: ClassVar[int | None] = 1  # None: any number of inputs, at least one
    counts_as_layer: ClassVar[bool] = True  # merges are no layers
    # The reference at inference returns its input unchanged (identity, dropout).
    is_identity: ClassVar[bool] = False
    # At once again, on what it has given, it changes nothing.
    is_idempotent: ClassVar[bool] = False
    # No element of its output is below 0; and it leaves a value of which that is true as it is.
    is_nonnegative: ClassVar[bool] = False
    leaves_nonnegative: ClassVar[bool] = False
    # The values of the forward pass whose elements `gradient` reads; of others it may ask the shape alone.
    gradient_reads: ClassVar[frozenset[Literal["inputs", "output"]]] = frozenset()
    examples: ClassVar[Sequence[Example]]

    @property
    def kind(self) -> str:
        """The word that names the op in a spec."""
        return type(self).op

    @classmethod
    @cache
    def attribute_names(cls) -> tuple[str, ...]:
        """The attributes in order of declaration."""
        return tuple(cls.model_fields)

    def attributes(self) -> dict[str, Any]:
        """All attributes by name, in order of declaration."""
        return {name: getattr(self, name) for name in self.attribute_names()}

    def infer(self, *inputs: TensorType) -> TensorType:
        """Type of the output. Raises `ShapeError` if the inputs do not fit."""
        return inputs[0]

    @property
    def is_idle(self) -> bool:
        """True if, by its attributes alone, the op returns whatever comes in, in training too, and is no
        `identity`, which says so."""
        return False

    def leaves(self, before: Op) -> bool:
        """True if, whatever comes in, it returns what `before` has given unchanged."""
        return (self is before and self.is_idempotent) or (self.leaves_nonnegative and before.is_nonnegative)

    @property
    def rows(self) -> int | None:
        """The number of rows if the input holds numbers of rows, from 0; None if it holds values."""
        return None

    def passes_through(self, *inputs: TensorType) -> bool:
        """True if, for these inputs, the op at inference returns its input unchanged."""
        return type(self).is_identity

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        """Arrays that the op owns, by their names in a state dict, in its order."""
        return {}

    def macs(self, *inputs: TensorType) -> int:
        """Multiply-accumulates of convolutions and matrix products, for one image."""
        return 0

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        """The part of the inputs behind one element of the output, along each axis of the output."""
        return (ELEMENTWISE,) * len(self.infer(*inputs).shape)

    @property
    def has_reference(self) -> bool:
        """True if the op's file gives a kernel in NumPy."""
        return type(self).reference is not Op.reference

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        """The op in plain NumPy, in the dtype of its inputs; arrays have a leading batch axis."""
        raise NotImplementedError

    def train(self, params: Mapping[str, Array], *inputs: Array, draw: np.random.Generator) -> Forward:
        """The op in training; `draw` gives what is random in it."""
        return Forward(self.reference(params, *inputs))

    def saved_elements(self, *inputs: TensorType) -> int:
        """The number of elements that `train` saves for the gradient, for one sample."""
        return 0

    @property
    def differs_in_training(self) -> bool:
        """True if the op's file says what it does in training."""
        return type(self).train is not Op.train

    def gradient(self, back: Backward) -> Gradients:
        """Gradients with respect to inputs and parameters, in the dtype of `dy`. Where the op has no
        derivative, at ties and kinks, they are torch's."""
        raise NotImplementedError


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
    op: Op
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

    def users(self) -> dict[str, list[Node]]:
        """The nodes that read each value; values that none reads are left out."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                users.setdefault(value, []).append(node)
        return users

    def replace_uses(self, renamed: Mapping[str, str]) -> Graph:
        """A graph in which each use of a value in `renamed` reads its replacement, following
        chains, and the nodes so replaced are gone."""
        if not renamed:
            return self

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


@dataclass(frozen=True, eq=False)
class TypedGraph:
    """A graph with the type of every value, as `infer` or expansion makes it."""

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
        """The names of `values` and of all values that they are computed from."""
        needed = set(values)
        for node in reversed(self.graph.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return needed

    def without_dead(self) -> TypedGraph:
        """The graph without the nodes that no output needs."""
        needed = self.needed_by(self.outputs.values())
        nodes = tuple(node for node in self.nodes if node.name in needed)
        types = {name: self.types[name] for name in (*self.inputs, *(node.name for node in nodes))}
        return TypedGraph(replace(self.graph, nodes=nodes), types)

    def input_types(self, node: Node) -> tuple[TensorType, ...]:
        """Types of the values that a node reads, in order."""
        types = self.types
        return tuple([types[v] for v in node.inputs])

    def params(self) -> dict[str, ParamDecl]:
        """Every array by its full name, in order; shared ones once."""
        return dict(self._params)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The number of rows of the smallest table, for each input that tables of rows alone read."""
        found: dict[str, int] = {}
        for name in self.inputs:
            ops = [node.op for node in self.nodes if name in node.inputs]
            tables = [op.rows for op in ops if op.rows is not None]
            if tables and len(tables) == len(ops):
                found[name] = min(tables)
        return found

    @cached_property
    def _params(self) -> dict[str, ParamDecl]:
        out: dict[str, ParamDecl] = {}
        for node in self.nodes:
            for name, decl in node.op.params(*self.input_types(node)).items():
                out.setdefault(node.param_name(name), decl)
        return out


def infer(graph: Graph) -> TypedGraph:
    """The graph with the type of every value. Raises `InternalError` where a shape does not fit, which
    expansion would have refused."""
    types = dict(graph.inputs)
    for node in graph.nodes:
        try:
            types[node.name] = node.op.infer(*(types[v] for v in node.inputs))
        except (ShapeError, KeyError) as error:
            raise InternalError(f"{node.name}: {error}") from error
    return TypedGraph(graph, MappingProxyType(types))
