"""A graph of ours in the making, which the reader of every format adds to node by node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from archforge.errors import Diagnostic, fail, fail_all
from archforge.interchange.flows import Axes, FixedValue, Flow, own_axes
from archforge.interchange.imported import Imported, Origin, Problem
from archforge.interchange.names import clean_name
from archforge.interchange.normalize import left_foreign
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Graph, Node, Op, ShapeError, TensorType, TypedGraph
from archforge.ops.base import Array
from archforge.ops.flatten import Flatten
from archforge.ops.lazy_numpy import np
from archforge.ops.parameter import FreeParameter
from archforge.ops.permute import Permute
from archforge.ops.reshape import Reshape

__all__ = ["Extent", "GraphDraft", "known_shape"]

Extent = int | str | None  # a number, the name of an open one, or nothing at all

_NORMS = frozenset({"bn", "layer_norm", "layer_scale", "prelu"})


class GraphDraft:
    """Inputs, nodes and arrays so far, the values of the file that they are, and all that cannot be said.

    file: what messages call the file. name: of the graph.
    """

    def __init__(self, file: str, name: str) -> None:
        self.file, self.name = file, name
        self.inputs: dict[str, TensorType] = {}
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType] = {}
        self.arrays: dict[str, Array] = {}
        self.origins: dict[str, Origin] = {}
        self.computed_arrays = 0  # that are values, and that the file does not store
        self._problems: dict[tuple[str, str], list[str]] = {}
        self._ordered: dict[tuple[str, Axes], Flow] = {}
        self._owners: dict[tuple[object, ...], str] = {}
        self._params_of: dict[str, str] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last one behind a name that is asked for again

    def input_shapes(
        self, declared: Mapping[str, tuple[Extent, ...] | None], given: Mapping[str, tuple[int, ...]]
    ) -> dict[str, tuple[int, ...]]:
        """The shape of each of the file's inputs, without the batch.

        declared: what the file says, None where nothing. given: what the user says of what is open, that of
        the only input under no name. Raises E0801 where both leave an extent open or differ.
        """
        self.refuse_unfit_shapes(given, declared, _asked_shapes(declared))
        found: dict[str, tuple[int, ...]] = {}
        mistakes: list[Diagnostic] = []
        for name, extents in declared.items():
            try:
                found[name] = known_shape(extents, given.get(name, given.get("")))
            except Unsupported as reason:
                message = f"the input {name!r} of {self.file} {reason}"
                mistakes.append(Diagnostic("E0801", message))
        if mistakes:
            mistakes[-1] = replace(mistakes[-1], help=_asked_shapes(declared))
        fail_all(mistakes)
        return found

    def refuse_unfit_shapes(self, given: Collection[str], known: Collection[str], asked: str) -> None:
        """Raises E0801 where a shape is given for an input that the file does not have, or for none of
        several; asked: the option that gives one for each."""
        if "" in given and len(known) > 1:
            fail("E0801", f"{self.file} has {len(known)} inputs, and one shape is given", help=asked)
        unknown = sorted({*given} - {*known, ""})
        if unknown:
            message = f"{self.file} has no input {unknown[0]!r}"
            fail("E0801", message, help=f"it has {', '.join(map(repr, known))}")

    def add_input(self, hint: str, shape: tuple[int, ...], name: str, axes: Axes = ()) -> Flow:
        """An input of ours for one of the file. shape: in the file, without the batch. name: that the file
        has. axes: by which the file sees it, our own if they are left out."""
        axes = axes or tuple(range(len(shape) + 1))
        type_ = TensorType(tuple(shape[axes.index(axis) - 1] for axis in range(1, len(axes))))
        value = self._new_name(hint)
        self.inputs[value] = self.types[value] = type_
        self.origins[value] = Origin(name, axes)
        return Flow(value, type_, axes)

    def notes_of_inputs(self) -> Iterator[str]:
        """Remarks on the inputs that the file sees by axes of another order."""
        for name, type_ in self.inputs.items():
            if self.origins[name].axes != own_axes(type_):
                yield f"`{name}` has its channels last in the file, and first here"

    def add(
        self,
        op: Op,
        flows: Sequence[Flow],
        hint: str,
        params: Mapping[str, Array] = {},
        stored: Sequence[str] = (),
        axes: Axes = (),
    ) -> Flow:
        """Add a node that reads these values; its own. Raises `Unsupported` where shapes or arrays do not fit
        it.

        params: its arrays by their own names. stored: the names that they have in the file: nodes of one op
        that read the same ones share them. axes: by which the file sees the value, our own if they are left
        out.
        """
        inputs, types = tuple(flow.value for flow in flows), tuple(flow.type for flow in flows)
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
        name = self._new_name(hint)
        owner = name
        if stored and decls:
            owner = self._owners.setdefault((op, *stored, *self._before(op, inputs)), name)
        node = Node(name, op, inputs, 0, None, owner)
        if owner == name:
            self.arrays |= {node.param_name(own): np.asarray(params[own]) for own in decls}
        self.nodes.append(node)
        self._params_of[name] = owner
        self.types[name] = type_
        return Flow(name, type_, axes or own_axes(type_))

    def _before(self, op: Op, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Whose parameters the layer before a norm has: norms share theirs where these do.

        Exporters store equal arrays once, and those of norms that are fresh are all equal.
        """
        if op.kind not in _NORMS:
            return ()
        return (self._params_of.get(inputs[0], ""),)

    def ours(self, flow: Flow) -> Flow:
        """A value of our own whose axes are those that the file sees. Raises `Unsupported` where the batch is
        not in front."""
        if flow.is_ours:
            return flow
        key = (flow.value, flow.axes)
        if key not in self._ordered:
            self._ordered[key] = self._in_order(flow)
        return self._ordered[key]

    def _in_order(self, flow: Flow) -> Flow:
        if flow.shape[:1] != (1,):
            raise Unsupported("an array without the batch in front")
        return self._brought(flow, flow.axes[1:], (0,))

    def with_batch_within(self, flow: Flow) -> Flow:
        """A value of our own with all axes that the file sees, that of the batch of one image among them."""
        if 0 not in flow.axes and flow.axes == own_axes(flow.type)[1:]:
            return flow
        return self._brought(flow, flow.axes, ())

    def _brought(self, flow: Flow, axes: Axes, batch: Axes) -> Flow:
        """A value of our own with these axes of another, in this order, after that of the batch, if any."""
        seen = tuple(axis for axis in axes if axis)
        shape = tuple(flow.extent(axis) for axis in axes)
        wide = [axis for axis in seen if flow.extent(axis) > 1]
        is_turned = len(seen) == len(axes) == len(flow.type.shape)
        if is_turned or wide != sorted(wide):
            rest = (axis for axis in range(1, len(flow.type.shape) + 1) if axis not in seen)
            order = tuple(axis - 1 for axis in (*seen, *rest))
            if order != tuple(sorted(order)):
                flow = self.add(Permute(order=order), [flow], "permute")
        if flow.type.shape != shape:
            op = Flatten() if len(shape) == 1 else Reshape(shape=shape)
            flow = self.add(op, [flow], op.kind)
        return replace(flow, axes=(*batch, *own_axes(flow.type)[1:]))

    def seen_as(self, flow: Flow, axes: Axes) -> Flow:
        """A value that the file sees by `axes`: of another order that one is brought into, which may take a
        node."""
        if flow.axes == axes:
            return flow
        back = tuple(flow.axes[axes.index(axis)] for axis in range(len(axes)))
        return self.ours(replace(flow, axes=back))

    def stored(self, value: FixedValue, beside: Flow) -> Flow:
        """An array that depends on no input as a value, in an op beside another one with its axes in our
        order. Raises `Unsupported` for one that varies along the batch."""
        array, axes = value.array, len(beside.axes)
        if array.dtype.kind != "f" or array.ndim > axes:
            raise Unsupported("a constant where a value is needed")
        has_batch = array.ndim == axes
        if has_batch and len(array) != 1:
            raise Unsupported("a constant for each image")
        array = array.reshape(*(1,) * (axes - 1 - array.ndim), *array.shape)
        op = FreeParameter(shape=array.shape[has_batch:], batch_axis=has_batch)
        self.computed_arrays += not value.name
        hint = clean_name(value.name) if value.name else "constant"
        return self.add(op, [beside], hint, {"": array}, [value.name] if value.name else ())

    def cannot(self, op: str, reason: str, place: str) -> None:
        """Remember what cannot be said: the op, why if the op is known, and where."""
        self._problems.setdefault((op, reason), []).append(place)

    def finished(
        self,
        outputs: Mapping[str, str],
        nodes_in_file: int,
        notes: Sequence[str] = (),
        *,
        has_weights: bool = True,
    ) -> Imported:
        """The graph with these outputs. Raises E0801 where there is none, and E0804 with all that cannot be
        said, the most frequent first."""
        if not outputs:
            fail("E0801", f"{self.file} has no outputs, so it computes nothing")
        found = [Problem(op, reason, tuple(places)) for (op, reason), places in self._problems.items()]
        found += self._left_foreign() if found else []
        found.sort(key=lambda p: -len(p.places))
        fail_all(Diagnostic("E0804", f"{self.file}: {problem}") for problem in found)
        typed = self._typed(outputs)
        return Imported(self.file, typed, self.arrays, self.origins, nodes_in_file, tuple(notes), has_weights)

    def _left_foreign(self) -> list[Problem]:
        """All that the normaliser would refuse of the part that could be read, up to values that nothing
        reads."""
        read = {value for node in self.nodes for value in node.inputs}
        ends = [node.name for node in self.nodes if node.name not in read]
        return left_foreign(self._typed(dict(zip(ends, ends, strict=True))), self.arrays, self.origins)

    def _typed(self, outputs: Mapping[str, str]) -> TypedGraph:
        return TypedGraph(Graph(self.name, self.inputs, tuple(self.nodes), dict(outputs)), self.types)

    def _new_name(self, hint: str) -> str:
        name, number = hint, self._numbers.get(hint, 1)
        while name in self._taken:
            number += 1
            name = f"{hint}_{number}"
        self._numbers[hint] = number
        self._taken.add(name)
        return name


def known_shape(extents: tuple[Extent, ...] | None, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an input without its batch. Raises `Unsupported` with what is wrong."""
    if extents is None:
        if given is None:
            raise Unsupported("has no shape")
        return given
    if not extents:
        raise Unsupported("is a scalar, without a batch axis")
    declared = extents[1:]
    said = "x".join(str(n or "?") for n in declared)
    if given is None:
        if not all(isinstance(n, int) for n in declared):
            raise Unsupported(f"leaves extents open: {said}")
        return tuple(n for n in declared if isinstance(n, int))
    if len(given) != len(declared) or any(
        isinstance(n, int) and n != g for n, g in zip(declared, given, strict=True)
    ):
        raise Unsupported(f"is {said}, and not {'x'.join(map(str, given))}")
    return given


def _asked_shapes(inputs: Mapping[str, tuple[Extent, ...] | None]) -> str:
    """The option that gives the extents that inputs leave open; nothing if none does."""
    asked = {}
    for name, extents in inputs.items():
        parts = ["SHAPE"] if extents is None else [str(n) if isinstance(n, int) else "N" for n in extents[1:]]
        if extents is None or "N" in parts:
            asked[name] = "x".join(parts)
    if not asked:
        return ""
    said = ",".join(asked.values() if len(inputs) == 1 else (f"{n}={shape}" for n, shape in asked.items()))
    numbers = ", with a number for each N" if any("N" in shape.split("x") for shape in asked.values()) else ""
    return f"--shape {said}, without the batch{numbers}"
