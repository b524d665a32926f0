"""A typed graph in ONNX's ops: nodes, the arrays that they read, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from archforge.interchange.onnx.ops import WRITTEN_OPS
from archforge.interchange.onnx.writing import NodeParts, OnnxUse, WrittenNode
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Node, TensorType, TypedGraph
from archforge.ops.base import Array

__all__ = ["CannotWrite", "OnnxGraph", "onnx_graph"]


@dataclass(frozen=True, slots=True, eq=False)
class OnnxGraph:
    """A graph of ONNX; the shapes of inputs and outputs are without their batch axis, which is open.

    values: the name of each of our values in the file. params: the arrays of the network, by the names in the
    file, in the dtype that they were given in. constants: what the ops need besides, float32 and int64.
    """

    name: str
    nodes: tuple[WrittenNode, ...]
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    values: Mapping[str, str]
    params: Mapping[str, Array]
    constants: Mapping[str, Array]


class CannotWrite(Exception):
    """Nodes that ONNX has no ops for, by the reason."""

    def __init__(self, reasons: Mapping[str, list[Node]]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def onnx_graph(typed: TypedGraph, arrays: Mapping[str, Array]) -> OnnxGraph:
    """The nodes that the outputs need, in ONNX's ops of opset 22.

    arrays: one for each parameter, by its full name. Inputs, outputs and parameters keep their names, which
    have to differ in a file: of two that are the same, the later one gets an ending. A value is called like
    its node, or like the output that it is. Raises `CannotWrite` with all that ONNX lacks.
    """
    names = _Names(typed)
    nodes: list[WrittenNode] = []
    constants: dict[str, Array] = {}
    reasons: dict[str, list[Node]] = {}
    needed = typed.needed_by(typed.outputs.values())
    for node in typed.nodes:
        if node.name in needed:
            try:
                parts = _written(typed, node, names, arrays)
            except Unsupported as reason:
                reasons.setdefault(str(reason), []).append(node)
                continue
            nodes += parts.nodes
            constants |= parts.constants
    if reasons:
        raise CannotWrite(reasons)
    nodes += [
        WrittenNode("Identity", written, (names.values[value],), written, {})
        for (name, value), written in zip(typed.outputs.items(), names.outputs, strict=True)
        if names.values[value] != written
    ]
    read = {name for node in nodes for name in node.inputs}
    return OnnxGraph(
        typed.graph.name,
        tuple(nodes),
        {names.values[name]: type_ for name, type_ in typed.inputs.items()},
        {
            written: typed.types[value]
            for written, value in zip(names.outputs, typed.outputs.values(), strict=True)
        },
        names.values,
        {written: arrays[name] for name, written in names.params.items() if written in read},
        constants,
    )


class _Names:
    """The names in the file of values, outputs and parameters, all different."""

    def __init__(self, typed: TypedGraph) -> None:
        self._taken: set[str] = set()
        self.values = {name: self._take(name, "value") for name in typed.inputs}
        self.outputs = tuple(self._take(name, "output") for name in typed.outputs)
        self.params = {name: self._take(name, "parameter") for name in typed.params()}
        for written, value in zip(self.outputs, typed.outputs.values(), strict=True):
            self.values.setdefault(value, written)
        for node in typed.nodes:
            if node.name not in self.values:
                self.values[node.name] = self._take(node.name, "value")

    def _take(self, name: str, ending: str) -> str:
        while name in self._taken:
            name = f"{name}/{ending}"
        self._taken.add(name)
        return name


def _written(typed: TypedGraph, node: Node, names: _Names, arrays: Mapping[str, Array]) -> NodeParts:
    """The parts that one node becomes, its value under the name that others read. Raises `Unsupported`."""
    op, types = node.op, typed.input_types(node)
    kind = op.kind if op.is_identity or not op.passes_through(*types) else "identity"
    if kind not in WRITTEN_OPS:
        raise Unsupported(f"`{kind}`")
    own = {name: node.param_name(name) for name in op.params(*types)}
    use = OnnxUse(
        node.name,
        op,
        types,
        typed.types[node.name],
        tuple(names.values[value] for value in node.inputs),
        {name: names.params[full] for name, full in own.items()},
        {name: arrays[full] for name, full in own.items()},
    )
    made = WRITTEN_OPS[kind](use)
    parts = use.parts
    if not parts.nodes or parts.nodes[-1].output != made:
        made = use.node("Identity", made)
    parts.nodes[-1] = replace(parts.nodes[-1], name=node.name, output=names.values[node.name])
    return parts
