"""The second half of reading a file of ONNX: node by node it becomes a graph of ours, at a batch of one
image.

What does not depend on an input is computed, and what depends on its shape alone is known: so shape
arithmetic and the branches of a constant `If` are gone. Transpositions are no nodes but another way to see
a value, until an op needs the value in one order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from archforge.data.opened_files import MALFORMED, reason_in
from archforge.interchange.draft import GraphDraft
from archforge.interchange.flows import FixedValue, Flow, Lost, channels_last, common_axes, own_axes
from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.imported import Imported, Origin
from archforge.interchange.names import name_in_spec
from archforge.interchange.onnx.constants import constant_array, evaluated
from archforge.interchange.onnx.names import node_name
from archforge.interchange.onnx.nodes import OnnxNode, OnnxTranslation
from archforge.interchange.onnx.opened import (
    GraphInFile,
    NodeInFile,
    OnnxSource,
    nodes_within,
    read_by,
)
from archforge.interchange.onnx.ops import ONNX_OPS, ONNX_PARTS, translations_of
from archforge.interchange.onnx.values import MOVES, Value, array_of
from archforge.interchange.onnx.versions import ModernNode, modern
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["read_graph"]

# Ops that leave every element what and where it is.
_SAME = frozenset({"Identity", "Cast", "CastLike"})
_FLOATS = frozenset({1, 10, 11, 16})  # float32, float16, float64, bfloat16


def read_graph(source: OnnxSource, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
    """The graph of a file before it is normalised.

    shapes: of inputs, the batch left out, where the file leaves extents open. Raises E0801 for an input that
    is none of ours and E0804 with all that cannot be said, each with its count and first place.
    """
    return _OnnxGraphReader(source, name).imported(shapes)


class _OnnxGraphReader(GraphDraft):
    """The graph so far, and what each name of the file stands for."""

    def __init__(self, source: OnnxSource, name: str) -> None:
        super().__init__(str(source.path), name)
        self.source = source
        self.known: dict[str, Value] = {}
        self.layers: list[tuple[Op, Sequence[str]]] = []

    def imported(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        graph = self.source.graph
        live = _live(graph)
        self.known |= {name: FixedValue(array, name) for name, array in graph.arrays.items()}
        self._inputs(graph, live, shapes)
        self._walk(graph, live)
        only = len(graph.outputs) == 1
        outputs = {"output" if only else name_in_spec(name): self._output(name) for name in graph.outputs}
        count = sum(1 for _ in nodes_within(graph))
        return self.finished(outputs, count, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        """Remarks on the file that its user should know."""
        yield from self.notes_of_inputs()
        if self.computed_arrays:
            yield f"{self.computed_arrays} arrays that the file computes from constants are parameters here"
        folded = sum(op.kind == "conv" and self._is_folded(names) for op, names in self.layers)
        if folded:
            what = f"{folded} convolution{'s' * (folded > 1)} with weights that torch's exporter computed"
            yield f"{what}: batch norms are folded in there, and counts are the file's, not the paper's"

    @staticmethod
    def _is_folded(stored: Sequence[str]) -> bool:
        """The names that torch's exporters give: the older one, and the one that is called dynamo."""
        return any(name.startswith("onnx::Conv_") or name.endswith(".weight_bias") for name in stored)

    # Inputs and outputs

    def _inputs(self, graph: GraphInFile, live: set[str], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises E0801 for inputs of open extents or none."""
        used = {name: extents for name, extents in graph.inputs.items() if name in live}
        for name, shape in self.input_shapes(used, shapes).items():
            hint = "input" if len(used) == 1 else name_in_spec(name)
            axes = channels_last(len(shape)) if _is_channels_last(graph, name) else ()
            self.known[name] = self.add_input(hint, shape, name, axes)

    def _output(self, name: str) -> str:
        value = self.known.get(name)
        if value is None:
            self.cannot("an output", "which nothing computes", name)
        elif isinstance(value, Flow):
            try:
                return self.ours(value).value
            except Unsupported as reason:
                self.cannot("an output", str(reason), name)
        elif isinstance(value, FixedValue):
            self.cannot("an output", "which is a constant", name)
        return ""

    # Nodes

    def _walk(self, graph: GraphInFile, live: set[str]) -> None:
        for node in graph.nodes:
            if not live.isdisjoint(node.outputs):
                self._node(node)

    def _node(self, node: NodeInFile) -> None:
        try:
            values = self._read(node)
        except Unsupported as reason:
            values = self._lost(node, str(reason))
        except MALFORMED as error:
            values = self._lost(node, f"with inputs or attributes that it cannot have ({reason_in(error)})")
        for name, value in zip(node.outputs, values, strict=False):
            if name:
                self.known[name] = value
                if isinstance(value, Flow):
                    self.origins.setdefault(value.value, Origin(name, value.axes))

    def _lost(self, node: NodeInFile, reason: str) -> Sequence[Value]:
        """The outputs of a node that cannot be said."""
        self.cannot(node.op, reason, node.name or node.outputs[0])
        read = [self.known.get(name) for name in node.inputs]
        return [Lost(is_fixed=all(map(_is_fixed, read))) for _ in node.outputs]

    def _read(self, node: NodeInFile) -> Sequence[Value]:
        """The outputs of a node. Raises `Unsupported`."""
        given = modern(node, self.source.opset)
        inputs = [self._value(i) for i in given.inputs]
        if node.op == "Constant":
            return [FixedValue(constant_array(node.attributes), node.outputs[0])]
        if any(isinstance(value, Lost) for value in inputs):
            is_fixed = node.op == "Shape" or all(map(_is_fixed, inputs))
            if node.op not in _KNOWN and not is_fixed:
                raise Unsupported("")
            return [Lost(is_fixed) for _ in node.outputs]
        if node.op == "If":
            return self._if(node, inputs[0])
        first = inputs[0] if inputs else None
        if node.op == "Shape" and isinstance(first, Flow | FixedValue):
            stretch = slice(node.attributes.get("start", 0), node.attributes.get("end"))
            return [FixedValue(np.asarray(first.shape[stretch], np.int64))]
        if node.op == "CastLike" and isinstance(first, FixedValue):
            return [FixedValue(first.array.astype(np.float32))]
        if all(value is None or isinstance(value, FixedValue) for value in inputs):
            return self._computed(node)
        if node.op in _SAME and isinstance(first, Flow):
            if node.op == "Cast" and node.attributes.get("to") not in _FLOATS:
                raise Unsupported("to a type other than floats")
            return [first]
        if node.op in MOVES and isinstance(first, Flow):
            moved = MOVES[node.op](first, given, [array_of(v) for v in inputs])
            if moved is not None:
                return [moved]
        return self._translated(given, inputs)

    def _value(self, given: str | Array) -> Value | None:
        """The value of an input, None for one that is left out."""
        if not isinstance(given, str):
            return FixedValue(given)
        if not given:
            return None
        if given not in self.known:
            raise Unsupported(f"a value {given!r} that nothing computes")
        return self.known[given]

    def _if(self, node: NodeInFile, condition: Value | None) -> Sequence[Value]:
        if not isinstance(condition, FixedValue):
            raise Unsupported("a condition that depends on the input")
        branch: GraphInFile = node.attributes[
            "then_branch" if bool(condition.array.reshape(-1)[0]) else "else_branch"
        ]
        self.known |= {name: FixedValue(array, name) for name, array in branch.arrays.items()}
        self._walk(branch, _live(branch))
        return [self.known[name] for name in branch.outputs]

    def _computed(self, node: NodeInFile) -> Sequence[Value]:
        """The outputs of a node of constants. Raises `Unsupported`."""
        arrays = {
            name: value.array
            for name, value in zip(node.inputs, (self._value(i) for i in node.inputs), strict=True)
            if isinstance(value, FixedValue)
        }
        found = evaluated(node, arrays, self.source.opset)
        first = self._value(node.inputs[0]) if node.op in _RESHAPED else None
        if isinstance(first, FixedValue) and found[0].size == first.array.size:
            return [FixedValue(found[0], first.name)]
        if node.op == "Identity":  # so torch's exporter stores a parameter that another one equals
            return [FixedValue(found[0], node.outputs[0])]
        return [FixedValue(array) for array in found]

    def _translated(self, given: ModernNode, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """The outputs of a node by the table of ops. Raises `Unsupported`."""
        node = given.node
        inputs = [None if _is_no_bias(node, p, value) else value for p, value in enumerate(inputs)]
        flows = [value for value in inputs if isinstance(value, Flow)]
        seen = common_axes(flows)
        # Of the same axes for the file, one may have further ones of extent 1 here, which nothing joins.
        is_uneven = node.op == "Concat" and len({len(flow.type.shape) for flow in flows}) > 1
        if seen is None or is_uneven:
            has_batch = all(flow.shape[:1] == (1,) for flow in flows)
            flows = [self.ours(flow) if has_batch else self.with_batch_within(flow) for flow in flows]
            seen = flows[0].axes
            supply = iter(flows)
            inputs = [next(supply) if isinstance(value, Flow) else value for value in inputs]
        known = {
            position: np.asarray(value.array)
            for position, value in enumerate(inputs)
            if isinstance(value, FixedValue)
        }
        shapes = tuple(None if v is None or isinstance(v, Lost) else v.shape for v in inputs)
        asked = tuple(bool(name) for name in node.outputs)
        onnx_node = OnnxNode(given.attributes, shapes, asked, known, seen, self.source.opset)
        translations = translations_of(node.op, onnx_node)
        if any(isinstance(t.ops[0], AddAlong | MultiplyAlong) and t.ops[0].axis for t in translations):
            ours = [self.ours(v) if isinstance(v, Flow) and v.shape[:1] == (1,) else v for v in inputs]
            if any(now is not before for now, before in zip(ours, inputs, strict=True)):
                return self._translated(given, ours)  # the axis of the channels, where it can be
        read = {position for translation in translations for position in translation.inputs}
        if any(isinstance(inputs[position], FixedValue) for position in read):
            return self._translated(given, self._with_stored(inputs))
        made: list[Value] = []
        supply_of = iter(translations)
        for is_asked in asked:
            translation = next(supply_of, None) if is_asked else None
            made.append(Lost() if translation is None else self._made(node, translation, inputs))
        return made

    def _made(self, node: NodeInFile, translation: OnnxTranslation, inputs: Sequence[Value | None]) -> Flow:
        """The value of a translation, its nodes added. Raises `Unsupported`."""
        if translation.is_backwards:
            raise Unsupported("time that runs backwards")
        flows = []
        for position in translation.inputs:
            flow = inputs[position]
            if not isinstance(flow, Flow):
                raise Unsupported("a constant where a value is needed")
            if translation.takes:
                flow = self.seen_as(flow, translation.takes)
            elif translation.is_batched:
                flow = self.ours(flow)
            elif translation.has_batch_within:
                flow = self.with_batch_within(flow)
            flows.append(flow)
        kind = translation.ops[0].kind
        if len({flow.type for flow in flows}) > 1 and kind not in _OF_OTHER_TYPES:
            flows = [self.ours(flow) for flow in flows]
        stored = [value.name for value in inputs if isinstance(value, FixedValue) and value.name]
        made = self._chain(node, translation, flows, stored)
        if (translation.is_batched or translation.has_batch_within) and not translation.gives:
            return replace(made, axes=own_axes(made.type)[translation.has_batch_within :])
        return replace(made, axes=translation.gives or common_axes(flows) or made.axes)

    def _with_stored(self, inputs: Sequence[Value | None]) -> Sequence[Value | None]:
        """Inputs of an op whose axes are all in our order, stored arrays among them as values."""
        ours = [self.ours(value) if isinstance(value, Flow) else value for value in inputs]
        beside = max((v for v in ours if isinstance(v, Flow)), key=lambda flow: len(flow.axes))
        return [self.stored(v, beside) if isinstance(v, FixedValue) else v for v in ours]

    def _chain(
        self, node: NodeInFile, translation: OnnxTranslation, flows: Sequence[Flow], stored: Sequence[str]
    ) -> Flow:
        """The ops of a translation as nodes; the value of the last, by our own axes."""
        first, *others = translation.ops
        self.layers.append((first, stored))
        made = self.add(first, flows, node_name(node, stored), translation.params, stored)
        for op in others:
            made = self.add(op, [made], op.kind)
        return made


# Ops of a stored array after which it is that array still.
_RESHAPED = frozenset({"Expand", "Reshape", "Squeeze", "Unsqueeze"})

# Ops whose inputs may have other shapes.
_OF_OTHER_TYPES = {"add", "concat", "divide", "matmul", "maximum", "multiply", "subtract"}

# Ops that are read, where their inputs are known.
_KNOWN = {*ONNX_OPS, *ONNX_PARTS, *MOVES, *_SAME, "Constant", "If", "Shape"}


def _is_fixed(value: Value | None) -> bool:
    """True for a value that would be computed while the file is read."""
    return value is None or isinstance(value, FixedValue) or (isinstance(value, Lost) and value.is_fixed)


def _is_no_bias(node: NodeInFile, position: int, value: Value | None) -> bool:
    """True for zeros that the file computes in place of a bias, as torch's exporter does before it is
    optimised."""
    is_made = isinstance(value, FixedValue) and not value.name and not value.array.any()
    return is_made and position == 2 and node.op in ("Conv", "ConvTranspose")


def _live(graph: GraphInFile) -> set[str]:
    """The names of all values that the outputs need."""
    live = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.outputs):
            live |= read_by(node)
    return live


def _is_channels_last(graph: GraphInFile, name: str) -> bool:
    """True if an input is read by nothing but transpositions that bring the last axis to the front."""
    readers = [node for node in graph.nodes if name in node.inputs]
    return bool(readers) and all(
        node.op == "Transpose"
        and tuple(node.attributes.get("perm", ())) in ((0, 3, 1, 2), (0, 2, 1), (0, 4, 1, 2, 3))
        for node in readers
    )
