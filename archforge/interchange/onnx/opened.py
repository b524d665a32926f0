"""The first half of reading a file of ONNX: it is opened, and its nodes are plain Python.

Files come from anybody. Nothing outside of the file's folder is read, and no size is believed.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from archforge.data.opened_files import opened, reason_in
from archforge.errors import fail
from archforge.interchange.draft import Extent
from archforge.interchange.onnx.light import light_message
from archforge.interchange.onnx.package import onnx_package
from archforge.interchange.translation import number
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.paths import within

__all__ = [
    "GraphInFile",
    "NodeInFile",
    "OnnxSource",
    "inlined",
    "nodes_within",
    "open_onnx",
    "read_by",
]

MAX_FILE_BYTES = 2**31 - 1  # what a message of protobuf can take
MAX_DEPTH = 16  # of graphs within nodes
MAX_CALLS = 100  # of functions within functions, as onnx's own inliner takes
MOST_NODES = 1 << 16  # functions put in place; a graph of ours has at most 10,000


@dataclass(frozen=True, slots=True, eq=False)
class NodeInFile:
    """A node as the file has it. Graphs are among the attributes; names of left-out inputs are empty."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class GraphInFile:
    """A graph as the file has it: nodes in order, stored arrays by name, the extents of each input."""

    nodes: tuple[NodeInFile, ...]
    arrays: Mapping[str, Array]
    inputs: Mapping[str, tuple[Extent, ...] | None]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OnnxSource:
    """A file: the digest of its bytes, its graph, and the version of ONNX's ops. message: that of onnx's
    package, its functions put in place and its large arrays left out, which `graph` has."""

    path: Path
    sha256: str
    graph: GraphInFile
    opset: int
    message: Any


def open_onnx(path: str | Path) -> OnnxSource:
    """The content of a file. Raises E0801 where it is none of ONNX, leaves its folder, or lies about
    sizes."""
    path = Path(path)
    onnx = onnx_package("E0801")
    with opened(path, "file of ONNX", is_known=True) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            fail("E0801", f"{path} takes {size:,} bytes, and a file of ONNX less than 2 GiB")
        content = file.read()
    digest = sha256(content).hexdigest()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(light_message(content, digest))
    except Exception as error:  # noqa: BLE001  # protobuf's own class, which has several homes
        fail("E0801", f"{path} is no file of ONNX: {reason_in(error)}")
    if not model.graph.node and not model.graph.output:
        fail("E0801", f"{path} is no file of ONNX: it has no graph")
    _require_few_nodes(model, path)
    model = inlined(model, path)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    newest = onnx.defs.onnx_opset_version()
    if not 0 < opset <= newest:
        said = f"the version {opset}" if opset else "no version"
        fail("E0801", f"{path} says {said} of ONNX's ops, and 1 to {newest} are known")
    graph = _FileReader(onnx, path, content, digest).graph(model.graph)
    return OnnxSource(path, digest, graph, opset, model)


def _require_few_nodes(model: Any, path: Path) -> None:
    """Raises E0801 for more nodes than `MOST_NODES`, those of a function counted again at each call: of
    functions that call the next one twice each doubles them."""
    functions = {_called(f, f.name): f.node for f in model.functions}
    counts: dict[tuple[str, str, str], int] = {}

    def count(nodes: Any, depth: int) -> int:
        """The number of these nodes, with those of graphs within them and of the functions that they call."""
        if depth > MAX_CALLS:
            fail("E0801", f"{path} has functions that call each other, more than {MAX_CALLS} deep")
        total = len(nodes)
        for node in nodes:
            for attribute in node.attribute:
                graphs = [attribute.g] if attribute.HasField("g") else attribute.graphs
                total += sum(count(graph.node, depth + 1) for graph in graphs)
            called = _called(node, node.op_type)
            if called in functions:
                if called not in counts:
                    counts[called] = count(functions[called], depth + 1)
                total += counts[called]
        return total

    found = count(model.graph.node, 0)
    if found > MOST_NODES:
        what = "nodes and calls of functions, at each call anew" if functions else "nodes"
        fail("E0801", f"{path} has {found:,} {what}, and at most {MOST_NODES:,} are read")


def _called(proto: Any, name: str) -> tuple[str, str, str]:
    """The function that a node may call, or the key of one."""
    return "" if proto.domain == "ai.onnx" else proto.domain, name, proto.overload


def inlined(model: Any, path: Path) -> Any:
    """The model with the nodes of its functions in place of their calls. Raises E0801."""
    if not model.functions:
        return model
    try:
        return import_module("onnx.inliner").inline_local_functions(model)
    except Exception as error:  # noqa: BLE001  # whatever the package's C++ throws
        fail("E0801", f"the functions of {path} cannot be put in place: {reason_in(error)}")


class _FileReader:
    """Turns messages of one file into plain values."""

    def __init__(self, onnx: Any, path: Path, content: bytes, digest: str) -> None:
        self.onnx, self.path = onnx, path
        self.content, self.digest = content, digest

    def graph(self, proto: Any, depth: int = 0) -> GraphInFile:
        """A graph and those within its nodes."""
        if depth > MAX_DEPTH:
            fail("E0801", f"{self.path} has graphs within graphs, more than {MAX_DEPTH} deep")
        if proto.sparse_initializer:
            fail("E0801", f"{self.path} stores sparse arrays, which are not read")
        self._require_names(proto)
        arrays = {tensor.name: self.array(tensor) for tensor in proto.initializer}
        inputs = {v.name: self.extents(v) for v in proto.input if v.name not in arrays}
        nodes = tuple(self.node(node, depth) for node in proto.node)
        return GraphInFile(nodes, arrays, inputs, tuple(v.name for v in proto.output))

    def _require_names(self, proto: Any) -> None:
        """Raises E0801 for names that are no text, and for values that are there twice."""
        made = [name for node in proto.node for name in node.output if name]
        stored, given = ([value.name for value in values] for values in (proto.initializer, proto.input))
        texts = [t for n in proto.node for t in (n.op_type, n.domain, n.name, *n.input, *n.output)]
        ends = [value.name for value in proto.output]
        for name in (*texts, *stored, *given, *ends):
            if not isinstance(name, str):
                fail("E0801", f"{self.path} has a name that is not UTF-8: {name!r}")
        for names in (stored, given, ends, [*made, *{*stored, *given}]):
            twice = next((name for name, times in Counter(names).items() if times > 1), None)
            if twice is not None:
                fail("E0801", f"{self.path} has two values called {twice!r}")

    def node(self, proto: Any, depth: int) -> NodeInFile:
        op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}::{proto.op_type}"
        attributes = {a.name: self.attribute(a, depth) for a in proto.attribute}
        return NodeInFile(op, proto.name, tuple(proto.input), tuple(proto.output), attributes)

    def attribute(self, proto: Any, depth: int) -> Any:
        """Text as text, floats as the shortest numbers that are stored so, arrays as arrays."""
        kinds = self.onnx.AttributeProto
        if proto.type == kinds.GRAPH:
            return self.graph(proto.g, depth + 1)
        if proto.type == kinds.TENSOR:
            return self.array(proto.t)
        value = self.onnx.helper.get_attribute_value(proto)
        if proto.type == kinds.FLOAT:
            return number(value)
        if proto.type == kinds.STRING:
            return value.decode(errors="replace")
        if proto.type == kinds.STRINGS:
            return tuple(text.decode(errors="replace") for text in value)
        return tuple(value) if isinstance(value, Sequence) else value

    def extents(self, value: Any) -> tuple[Extent, ...] | None:
        kind = value.type.tensor_type
        if not kind.HasField("shape"):
            return None
        return tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param or None
            for d in kind.shape.dim
        )

    def array(self, tensor: Any) -> Array:
        """The elements of a stored array. Raises E0801."""
        where = f"array {tensor.name!r} of {self.path}"
        try:
            dtype = np.dtype(self.onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
        except (KeyError, TypeError):
            fail("E0801", f"the {where} has a type that is not known: {tensor.data_type}")
        shape = tuple(tensor.dims)
        if min(shape, default=1) < 0:
            fail("E0801", f"the {where} has a negative extent")
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            return self._beside(tensor, where, dtype, shape)
        try:
            array: Array = self.onnx.numpy_helper.to_array(tensor)
        except Exception as error:  # noqa: BLE001  # whatever elements that are too few or too many cause
            fail("E0801", f"the {where} cannot be read: {reason_in(error)}")
        return array

    def _beside(self, tensor: Any, where: str, dtype: Any, shape: tuple[int, ...]) -> Array:
        """The elements of an array that lies in the file itself, or in one beside, mapped, not read."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location, length = entries.get("location", ""), math.prod(shape) * dtype.itemsize
        if location == self.digest:
            stored: Array = np.frombuffer(
                self.content, dtype.newbyteorder("<"), math.prod(shape), int(entries["offset"])
            )
            return stored.reshape(shape)
        file = within(self.path.parent, location)
        if file is None or Path(location).is_absolute():
            fail("E0801", f"the {where} lies in {location!r}, outside of the file's folder")
        try:
            offset, said = int(entries.get("offset", 0)), int(entries.get("length", length))
        except ValueError:
            fail("E0801", f"the {where} has no numbers for its place in {location!r}")
        with opened(file, f"file beside {self.path.name}", is_known=True) as beside:
            size = os.fstat(beside.fileno()).st_size
        if offset < 0 or said != length or offset + length > size:
            message = f"the {where} takes {length:,} bytes, and {location!r} does not have them at {offset:,}"
            fail("E0801", message)
        if not length:
            return np.empty(shape, dtype)
        mapped: Array = np.memmap(file, dtype.newbyteorder("<"), "r", offset, shape)
        return mapped


def nodes_within(graph: GraphInFile) -> Iterator[NodeInFile]:
    """The nodes of a graph and of those within them."""
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, GraphInFile):
                yield from nodes_within(value)


def read_by(node: NodeInFile) -> set[str]:
    """The names of the values that a node and graphs within it read."""
    graphs = [value for value in node.attributes.values() if isinstance(value, GraphInFile)]
    inner = {name for graph in graphs for each in nodes_within(graph) for name in each.inputs}
    ends = {name for graph in graphs for name in graph.outputs}
    return ({*node.inputs} | inner | ends) - {""}
