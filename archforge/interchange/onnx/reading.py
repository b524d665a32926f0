"""The second half of reading a file of ONNX: node by node it becomes a graph of ours, at a batch of one
image.

What does not depend on an input is computed, and what depends on its shape alone is known: so shape
arithmetic and the branches of a constant `If` are gone. Transpositions are no nodes but another way to see
a value, until an op needs the value in one order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span, fail
from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.imported import Imported, Origin, Problem
from archforge.interchange.onnx.nodes import Axes, OnnxNode, OnnxTranslation
from archforge.interchange.onnx.opened import Extent, GraphInFile, NodeInFile, OnnxSource, nodes_within
from archforge.interchange.onnx.ops import ONNX_OPS, ONNX_PARTS, translations_of
from archforge.interchange.onnx.versions import ModernNode, modern
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Graph, Node, Op, ShapeError, TensorType, TypedGraph
from archforge.ops.base import Array
from archforge.ops.flatten import Flatten
from archforge.ops.lazy_numpy import np
from archforge.ops.permute import Permute
from archforge.ops.reshape import Reshape
from archforge.spec.syntax.reserved_names import check_name

__all__ = ["read_graph"]

# Ops that leave every element what and where it is.
_SAME = frozenset({"Identity", "Cast", "CastLike"})
_FLOATS = frozenset({1, 10, 11, 16})  # float32, float16, float64, bfloat16
_NORMS = frozenset({"bn", "layer_norm", "layer_scale", "prelu"})
# Constants of more elements are not computed from others: no shape is so large, and no weight of a network.
MAX_ELEMENTS = 2**28


@dataclass(frozen=True, slots=True, eq=False)
class _FixedValue:
    """A value that does not depend on the inputs. name: of the stored array that it is, if it is one."""

    array: Array
    name: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True, slots=True, eq=False)
class _Flow:
    """A value of ours as the file sees it: `axes` has for each of its axes that of ours."""

    value: str
    type: TensorType
    axes: Axes

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.extent(axis) for axis in self.axes)

    def extent(self, axis: int | None) -> int:
        """The extent along one of our axes; the batch is one image."""
        return self.type.shape[axis - 1] if axis else 1

    @property
    def is_ours(self) -> bool:
        return self.axes == tuple(range(len(self.type.shape) + 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Lost:
    """A value behind an op that cannot be said."""


_Value = _FixedValue | _Flow | _Lost


def read_graph(source: OnnxSource, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
    """The graph of a file before it is normalised.

    shapes: of inputs, the batch left out, where the file leaves extents open. Raises E0801 for an input that
    is none of ours and E0804 with all that cannot be said, each with its count and first place.
    """
    return _OnnxGraphReader(source, name).imported(shapes)


class _OnnxGraphReader:
    """The graph so far, and what each name of the file stands for."""

    def __init__(self, source: OnnxSource, name: str) -> None:
        self.source, self.name = source, name
        self.known: dict[str, _Value] = {}
        self.inputs: dict[str, TensorType] = {}
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType] = {}
        self.arrays: dict[str, Array] = {}
        self.origins: dict[str, Origin] = {}
        self.problems: dict[tuple[str, str], list[str]] = {}
        self.ordered: dict[tuple[str, Axes], _Flow] = {}
        self.owners: dict[tuple[object, ...], str] = {}
        self.params_of: dict[str, str] = {}
        self.taken: set[str] = set()
        self.layers: list[tuple[Op, Sequence[str]]] = []

    def imported(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        graph = self.source.graph
        live = _live(graph)
        self.known |= {name: _FixedValue(array, name) for name, array in graph.arrays.items()}
        self._inputs(graph, live, shapes)
        self._walk(graph, live)
        only = len(graph.outputs) == 1
        outputs = {"output" if only else _name_in_spec(name): self._output(name) for name in graph.outputs}
        if self.problems:
            raise DiagnosticError(tuple(self._refusals()))
        typed = TypedGraph(Graph(self.name, self.inputs, tuple(self.nodes), outputs), self.types)
        count = sum(1 for _ in nodes_within(graph))
        return Imported(str(self.source.path), typed, self.arrays, self.origins, count, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        """Remarks on the file that its user should know."""
        for name, type_ in self.inputs.items():
            if self.origins[name].axes != tuple(range(len(type_.shape) + 1)):
                yield f"`{name}` has its channels last in the file, and first here"
        folded = sum(op.kind == "conv" and self._is_folded(names) for op, names in self.layers)
        if folded:
            what = f"{folded} convolutions have weights that torch's exporter computed"
            yield f"{what}: batch norms are folded into them, and counts are the file's, not the paper's"

    @staticmethod
    def _is_folded(stored: Sequence[str]) -> bool:
        return any(name.startswith("onnx::Conv_") for name in stored)

    # Inputs and outputs

    def _inputs(self, graph: GraphInFile, live: set[str], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises E0801 for inputs of open extents or none."""
        used = {name: extents for name, extents in graph.inputs.items() if name in live}
        unknown = sorted(set(shapes) - set(used) - {""})
        if unknown:
            message = f"{self.source.path} has no input {unknown[0]!r}"
            fail("E0801", message, help=f"it has {', '.join(map(repr, used))}")
        found: list[Diagnostic] = []
        for name, extents in used.items():
            given = shapes.get(name, shapes.get("") if len(used) == 1 else None)
            try:
                shape = _shape(extents, given)
            except Unsupported as reason:
                message = f"the input {name!r} of {self.source.path} {reason}"
                help = "--shape says what is open, without the batch: --shape 3x224x224"
                found.append(Diagnostic("E0801", message, help=help))
                continue
            value = self._name("input" if len(used) == 1 else _name_in_spec(name))
            type_ = TensorType(shape)
            order = tuple(range(len(shape) + 1))
            if _is_channels_last(graph, name):
                type_ = TensorType((shape[-1], *shape[:-1]))
                order = (0, *range(2, len(shape) + 1), 1)
            self.inputs[value] = self.types[value] = type_
            self.known[name] = _Flow(value, type_, order)
            self.origins[value] = Origin(name, order)
        if found:
            raise DiagnosticError(tuple(found))

    def _output(self, name: str) -> str:
        value = self.known.get(name, _Lost())
        if isinstance(value, _Flow):
            try:
                return self._ours(value).value
            except Unsupported as reason:
                self._cannot("an output", str(reason), name)
        elif isinstance(value, _FixedValue):
            self._cannot("an output", "which is a constant", name)
        return ""

    def _refusals(self) -> list[Diagnostic]:
        """All that cannot be said, the most frequent first."""
        found = [Problem(op, reason, tuple(places)) for (op, reason), places in self.problems.items()]
        found.sort(key=lambda p: -len(p.places))
        return [Diagnostic("E0804", f"{self.source.path}: {problem}") for problem in found]

    def _cannot(self, op: str, reason: str, place: str) -> None:
        self.problems.setdefault((op, reason), []).append(place)

    # Nodes

    def _walk(self, graph: GraphInFile, live: set[str]) -> None:
        for node in graph.nodes:
            if not live.isdisjoint(node.outputs):
                self._node(node)

    def _node(self, node: NodeInFile) -> None:
        try:
            values = self._read(node)
        except Unsupported as reason:
            self._cannot(node.op, str(reason), node.name or node.outputs[0])
            values = [_Lost() for _ in node.outputs]
        for name, value in zip(node.outputs, values, strict=False):
            if name:
                self.known[name] = value
                if isinstance(value, _Flow):
                    self.origins.setdefault(value.value, Origin(name, value.axes))

    def _read(self, node: NodeInFile) -> Sequence[_Value]:
        """The outputs of a node. Raises `Unsupported`."""
        given = modern(node, self.source.opset)
        inputs = [self._value(i) for i in given.inputs]
        if node.op == "Constant":
            return [_FixedValue(_constant(node.attributes), node.outputs[0])]
        if any(isinstance(value, _Lost) for value in inputs):
            if node.op not in _KNOWN:
                raise Unsupported("")
            return [_Lost() for _ in node.outputs]
        if node.op == "If":
            return self._if(node, inputs[0])
        first = inputs[0] if inputs else None
        if node.op == "Shape" and isinstance(first, _Flow | _FixedValue):
            stretch = slice(node.attributes.get("start", 0), node.attributes.get("end"))
            return [_FixedValue(np.asarray(first.shape[stretch], np.int64))]
        if all(value is None or isinstance(value, _FixedValue) for value in inputs):
            return self._computed(node)
        if node.op in _SAME and isinstance(first, _Flow):
            if node.op == "Cast" and node.attributes.get("to") not in _FLOATS:
                raise Unsupported("to a type other than floats")
            return [first]
        if node.op in _MOVES and isinstance(first, _Flow):
            moved = _MOVES[node.op](first, given, [_array(v) for v in inputs])
            if moved is not None:
                return [moved]
        return self._translated(given, inputs)

    def _value(self, given: str | Array) -> _Value | None:
        """The value of an input, None for one that is left out."""
        if not isinstance(given, str):
            return _FixedValue(given)
        if not given:
            return None
        if given not in self.known:
            raise Unsupported(f"a value {given!r} that nothing computes")
        return self.known[given]

    def _if(self, node: NodeInFile, condition: _Value | None) -> Sequence[_Value]:
        if not isinstance(condition, _FixedValue):
            raise Unsupported("a condition that depends on the input")
        branch: GraphInFile = node.attributes[
            "then_branch" if bool(condition.array.reshape(-1)[0]) else "else_branch"
        ]
        self.known |= {name: _FixedValue(array, name) for name, array in branch.arrays.items()}
        self._walk(branch, _live(branch))
        return [self.known[name] for name in branch.outputs]

    def _computed(self, node: NodeInFile) -> Sequence[_Value]:
        """A node of constants, by onnx's reference evaluator, in the version of the file."""
        arrays = {
            name: value.array
            for name, value in zip(node.inputs, (self._value(i) for i in node.inputs), strict=True)
            if isinstance(value, _FixedValue)
        }
        if (
            node.op in ("Transpose", "Cast", "Identity")
            or sum(a.size for a in arrays.values()) <= MAX_ELEMENTS
        ):
            return [_FixedValue(array) for array in _evaluated(node, arrays, self.source.opset)]
        raise Unsupported("constants of more elements than are computed")

    def _translated(self, given: ModernNode, inputs: Sequence[_Value | None]) -> Sequence[_Value]:
        """The outputs of a node by the table of ops. Raises `Unsupported`."""
        node = given.node
        flows = [value for value in inputs if isinstance(value, _Flow)]
        seen = _common(flows)
        if seen is None:
            flows = [self._ours(flow) for flow in flows]
            seen = flows[0].axes
            supply = iter(flows)
            inputs = [next(supply) if isinstance(value, _Flow) else value for value in inputs]
        known = {
            position: np.asarray(value.array)
            for position, value in enumerate(inputs)
            if isinstance(value, _FixedValue)
        }
        shapes = tuple(None if v is None or isinstance(v, _Lost) else v.shape for v in inputs)
        asked = tuple(bool(name) for name in node.outputs)
        onnx_node = OnnxNode(given.attributes, shapes, asked, known, seen, self.source.opset)
        translations = translations_of(node.op, onnx_node)
        if any(isinstance(t.ops[0], AddAlong | MultiplyAlong) and t.ops[0].axis for t in translations):
            ours = [self._ours(value) if isinstance(value, _Flow) else value for value in inputs]
            if any(now is not before for now, before in zip(ours, inputs, strict=True)):
                return self._translated(given, ours)  # the axis of the channels, where it can be
        made: list[_Value] = []
        supply_of = iter(translations)
        for is_asked in asked:
            translation = next(supply_of, None) if is_asked else None
            made.append(_Lost() if translation is None else self._made(node, translation, inputs))
        return made

    def _made(self, node: NodeInFile, translation: OnnxTranslation, inputs: Sequence[_Value | None]) -> _Flow:
        """The value of a translation, its nodes added. Raises `Unsupported`."""
        if translation.is_backwards:
            raise Unsupported("time that runs backwards")
        flows = []
        for position in translation.inputs:
            flow = inputs[position]
            if not isinstance(flow, _Flow):
                raise Unsupported("a constant where a value is needed")
            if translation.takes:
                flow = self._seen_as(flow, translation.takes)
            elif translation.is_batched:
                flow = self._ours(flow)
            flows.append(flow)
        if len({flow.type for flow in flows}) > 1 and translation.ops[0].kind not in ("multiply", "concat"):
            flows = [self._ours(flow) for flow in flows]
        stored = [value.name for value in inputs if isinstance(value, _FixedValue) and value.name]
        value, type_ = self._chain(node, translation, flows, stored)
        if translation.gives:
            return _Flow(value, type_, translation.gives)
        ours = tuple(range(len(type_.shape) + 1))
        axes = ours if translation.is_batched else _common(flows) or ours
        return _Flow(value, type_, axes)

    def _chain(
        self, node: NodeInFile, translation: OnnxTranslation, flows: Sequence[_Flow], stored: Sequence[str]
    ) -> tuple[str, TensorType]:
        """The ops of a translation as nodes; the value and type of the last."""
        values = tuple(flow.value for flow in flows)
        types = tuple(flow.type for flow in flows)
        first, *others = translation.ops
        name, type_ = self._add(first, values, types, _hint(node, stored), translation.params, stored)
        for op in others:
            name, type_ = self._add(op, (name,), (type_,), op.kind, {}, ())
        return name, type_

    def _add(
        self,
        op: Op,
        inputs: tuple[str, ...],
        types: tuple[TensorType, ...],
        hint: str,
        params: Mapping[str, Array],
        stored: Sequence[str],
    ) -> tuple[str, TensorType]:
        """Add a node. Raises `Unsupported` where shapes or arrays do not fit it."""
        try:
            type_ = op.infer(*types)
            decls = op.params(*types)
        except ShapeError as error:
            raise Unsupported(error.message) from None
        for own, decl in decls.items():
            if own not in params or params[own].shape != decl.shape:
                found = params[own].shape if own in params else None
                raise Unsupported(f"a parameter of {found} where {decl.shape} is needed")
            if params[own].dtype.kind != "f":
                raise Unsupported(f"parameters of {params[own].dtype}")
        name = self._name(hint)
        owner = name
        if stored and decls:
            owner = self.owners.setdefault((op, *stored, *self._before(op, inputs)), name)
        node = Node(name, op, inputs, 0, None, owner)
        if owner == name:
            self.arrays |= {node.param_name(own): np.asarray(params[own]) for own in decls}
        self.nodes.append(node)
        self.params_of[name] = owner
        self.layers.append((op, stored))
        self.types[name] = type_
        return name, type_

    def _before(self, op: Op, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Whose parameters the layer before a norm has: norms share theirs where these do.

        Exporters store equal arrays once, and those of norms that are fresh are all equal.
        """
        if op.kind not in _NORMS:
            return ()
        return (self.params_of.get(inputs[0], ""),)

    # Orders of axes

    def _ours(self, flow: _Flow) -> _Flow:
        """A value of our own whose axes are those that the file sees. Raises `Unsupported` where the batch is
        not in front."""
        if flow.is_ours:
            return flow
        key = (flow.value, flow.axes)
        if key not in self.ordered:
            self.ordered[key] = self._in_order(flow)
        return self.ordered[key]

    def _in_order(self, flow: _Flow) -> _Flow:
        if not flow.axes or flow.axes[0] != 0:
            raise Unsupported("an array without the batch in front")
        shape = flow.shape[1:]
        value, type_ = flow.value, flow.type
        wide = [axis for axis in flow.axes[1:] if axis and flow.extent(axis) > 1]
        is_turned = None not in flow.axes and len(flow.axes) == len(type_.shape) + 1
        if is_turned or wide != sorted(wide):
            rest = [axis for axis in range(1, len(type_.shape) + 1) if axis not in flow.axes]
            order = tuple(axis - 1 for axis in (*(a for a in flow.axes[1:] if a), *rest))
            value, type_ = self._add(Permute(order=order), (value,), (type_,), "permute", {}, ())
        if type_.shape != shape:
            op = Flatten() if len(shape) == 1 else Reshape(shape=shape)
            value, type_ = self._add(op, (value,), (type_,), op.kind, {}, ())
        return _Flow(value, type_, tuple(range(len(shape) + 1)))

    def _seen_as(self, flow: _Flow, axes: Axes) -> _Flow:
        """A value that the file sees by `axes`: of another order that one is brought into, which may take a
        node."""
        if flow.axes == axes:
            return flow
        back = tuple(flow.axes[axes.index(axis)] for axis in range(len(axes)))
        return self._ours(_Flow(flow.value, flow.type, back))

    def _name(self, hint: str) -> str:
        name, number = hint, 1
        while name in self.taken:
            number += 1
            name = f"{hint}_{number}"
        self.taken.add(name)
        return name


# Views


def _common(flows: Sequence[_Flow]) -> Axes | None:
    """The axes by which all values are seen, ONNX aligning them at the last one; None if they differ."""
    rank = max(len(flow.axes) for flow in flows)
    joint: list[int | None] = [None] * rank
    for flow in flows:
        for place, axis in enumerate(flow.axes, rank - len(flow.axes)):
            if axis is not None and joint[place] not in (None, axis):
                return None
            joint[place] = joint[place] if axis is None else axis
    named = [axis for axis in joint if axis is not None]
    return tuple(joint) if len(named) == len(set(named)) else None


def _transposed(flow: _Flow, node: ModernNode, arrays: Sequence[Array | None]) -> _Flow:
    order = node.attributes.get("perm") or range(len(flow.axes))[::-1]
    return replace(flow, axes=tuple(flow.axes[axis] for axis in order))


def _squeezed(flow: _Flow, node: ModernNode, arrays: Sequence[Array | None]) -> _Flow:
    given = arrays[1] if len(arrays) > 1 else None
    shape = flow.shape
    gone = (
        {int(a) % len(shape) for a in given}
        if given is not None
        else {a for a, n in enumerate(shape) if n == 1 and flow.axes[a] != 0}
    )
    if any(shape[axis] != 1 for axis in gone):
        raise Unsupported("an axis of an extent other than 1")
    return replace(flow, axes=tuple(axis for place, axis in enumerate(flow.axes) if place not in gone))


def _unsqueezed(flow: _Flow, node: ModernNode, arrays: Sequence[Array | None]) -> _Flow:
    given = arrays[1] if len(arrays) > 1 else None
    if given is None:
        raise Unsupported("axes that another node computes")
    rank = len(flow.axes) + len(given)
    added = {int(axis) % rank for axis in given}
    supply = iter(flow.axes)
    return replace(flow, axes=tuple(None if place in added else next(supply) for place in range(rank)))


def _reshaped(flow: _Flow, node: ModernNode, arrays: Sequence[Array | None]) -> _Flow | None:
    """Another view where only axes of extent 1 come or go, and the order is not ours already; else None."""
    given = arrays[1]
    if given is None or flow.is_ours:
        return None
    old = flow.shape
    zeros = not node.attributes.get("allowzero", 0)
    new = [old[i] if n == 0 and zeros else int(n) for i, n in enumerate(given)]
    known = math.prod(n for n in new if n != -1)
    new = [math.prod(old) // known if n == -1 else n for n in new]
    if [n for n in new if n != 1] != [n for n in old if n != 1]:
        return None
    wide = iter([axis for axis, n in zip(flow.axes, old, strict=True) if n != 1])
    # The batch, of one image, stays where it was in front.
    front = flow.axes[:1] == (0,) and new[:1] == [1]
    axes = [next(wide) if n != 1 else None for n in new]
    if not front:
        return None
    return replace(flow, axes=(0, *axes[1:]))


_MOVES: Mapping[str, Callable[[_Flow, ModernNode, Sequence[Array | None]], _Flow | None]] = {
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}


# Ops that are read, where their inputs are known.
_KNOWN = {*ONNX_OPS, *ONNX_PARTS, *_MOVES, *_SAME, "Constant", "If", "Shape"}


# Constants, names, inputs


def _array(value: _Value | None) -> Array | None:
    return value.array if isinstance(value, _FixedValue) else None


def _constant(attributes: Mapping[str, Any]) -> Array:
    """The array of a `Constant`, by the one attribute that says it. Raises `Unsupported`."""
    ((name, value),) = attributes.items() or (("none", None),)
    dtypes = {
        "value_float": "float32",
        "value_floats": "float32",
        "value_int": "int64",
        "value_ints": "int64",
    }
    if name == "value":
        return np.asarray(value)
    if name not in dtypes:
        raise Unsupported(f"a constant given by `{name}`")
    return np.asarray(value, dtypes[name])


def _evaluated(node: NodeInFile, arrays: Mapping[str, Array], opset: int) -> list[Array]:
    """The outputs of one node of constants. Raises `Unsupported` where they cannot be computed."""
    if node.op in ("Identity", "Dropout"):
        return [next(iter(arrays.values()))]
    helper: Any = import_module("onnx.helper")
    evaluator: Any = import_module("onnx.reference").ReferenceEvaluator
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in arrays.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs if name]
    plain = helper.make_node(node.op, node.inputs, node.outputs, **_writable(node.attributes))
    graph = helper.make_graph([plain], "constants", values, outputs)
    try:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        found = evaluator(model).run(None, {name: np.asarray(a) for name, a in arrays.items()})
    except Exception as error:  # noqa: BLE001  # whatever the evaluator meets in a foreign file
        raise Unsupported(f"constants that cannot be computed ({reason_in(error)[:80]})") from None
    return [np.asarray(array) for array in found]


def _writable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    numpy_helper: Any = import_module("onnx.numpy_helper")
    return {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in attributes.items()
    }


def _live(graph: GraphInFile) -> set[str]:
    """The names of all values that the outputs need."""
    live = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.outputs):
            live.update(node.inputs)
            for value in node.attributes.values():
                if isinstance(value, GraphInFile):
                    live.update(name for inner in nodes_within(value) for name in inner.inputs)
                    live.update(value.outputs)
    return live


def _shape(extents: tuple[Extent, ...] | None, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an input without its batch. Raises `Unsupported` with what is wrong."""
    if extents is None:
        if given is None:
            raise Unsupported("has no shape")
        return given
    if not extents:
        raise Unsupported("is a scalar, without a batch axis")
    declared = extents[1:]
    if given is None:
        if not all(isinstance(n, int) for n in declared):
            open_ = "x".join(str(n or "?") for n in declared)
            raise Unsupported(f"leaves extents open: {open_}")
        return tuple(n for n in declared if isinstance(n, int))
    if len(given) != len(declared) or any(
        isinstance(n, int) and n != g for n, g in zip(declared, given, strict=True)
    ):
        wanted = "x".join(str(n or "?") for n in declared)
        raise Unsupported(f"is {wanted}, and not {'x'.join(map(str, given))}")
    return given


def _is_channels_last(graph: GraphInFile, name: str) -> bool:
    """True if an input is read by nothing but transpositions that bring the last axis to the front."""
    readers = [node for node in graph.nodes if name in node.inputs]
    return bool(readers) and all(
        node.op == "Transpose"
        and tuple(node.attributes.get("perm", ())) in ((0, 3, 1, 2), (0, 2, 1), (0, 4, 1, 2, 3))
        for node in readers
    )


_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def _clean(name: str) -> str:
    """A name of the file with what a name of ours cannot hold left out."""
    kept = "".join(c if c in _WORDS else "_" if c in "/:- " else c if c == "." else "" for c in name)
    parts = [part.strip("_") for part in kept.split(".")]
    joined = ".".join(part for part in parts if part)
    return joined if joined and not joined[0].isdigit() else f"n{joined}"


def _name_in_spec(name: str) -> str:
    """A name that a spec can give to an input or an output."""
    name = _clean(name).replace(".", "_")
    while True:
        try:
            check_name(name, Span(SourceFile("", ""), 0, 0), "an input")
        except DiagnosticError:
            name += "_"
        else:
            return name


def _hint(node: NodeInFile, stored: Sequence[str]) -> str:
    """A name for a node: that of its weight without the end, or of the module that exporters of torch
    name."""
    for name in stored:
        before, _, last = name.rpartition(".")
        if before and last in ("weight", "bias", "running_mean", "running_var"):
            return _clean(before)
    path: list[str] = []
    for part in [part for part in node.name.split("/") if part][:-1]:
        if path and part.startswith(f"{path[-1]}."):  # features, then features.1: one step deeper
            path.pop()
        path.append(part)
    return _clean(".".join(path) or node.op.lower())
