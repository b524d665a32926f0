"""The file of an ONNX graph, written by the package onnx, which is an extra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from archforge.interchange.onnx.graph import OnnxGraph
from archforge.interchange.onnx.nodes import OPSET
from archforge.interchange.onnx.package import onnx_package
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["MAX_BYTES", "OnnxFile", "onnx_file"]

IR_VERSION = 10
BATCH = "batch"  # what the open extent is called
# A message of protobuf takes less than 2 GiB; the rest is for all that is no parameter.
MAX_BYTES = 2**31 - 2**25
# Where an array begins in a file of its own: at a page, so that it can be mapped.
PAGE = 4096


class OnnxFile(NamedTuple):
    """The bytes of a file, and those of the file with its parameters beside it, if there is one."""

    content: bytes
    data: Iterable[bytes] | None


def onnx_file(graph: OnnxGraph, metadata: Mapping[str, str], version: str, location: str = "") -> OnnxFile:
    """The file of a graph; the same graph gives the same bytes.

    metadata: what the file says of itself. version: of archforge. location: the name of a file beside it
    for the parameters; without, they are within. Raises E0705 where the package is missing.
    """
    onnx = onnx_package("E0705")
    helper = onnx.helper
    params, data = _params(onnx, graph.params, location)
    constants = [_within(onnx, name, array) for name, array in graph.constants.items()]
    nodes = [
        helper.make_node(n.onnx_op, n.inputs, [n.output], name=n.name, **n.attributes) for n in graph.nodes
    ]
    ends = [[_value(onnx, n, t) for n, t in end.items()] for end in (graph.inputs, graph.outputs)]
    model = helper.make_model(
        helper.make_graph(nodes, graph.name, *ends, initializer=[*params, *constants]),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="archforge",
        producer_version=version,
    )
    helper.set_model_props(model, dict(metadata))
    return OnnxFile(model.SerializeToString(deterministic=True), data)


def _value(onnx: Any, name: str, type_: TensorType) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [BATCH, *type_.shape])


def _params(
    onnx: Any, params: Mapping[str, Array], location: str
) -> tuple[list[Any], Iterator[bytes] | None]:
    """Tensors for the parameters, and the bytes of the file that they lie in."""
    if not location:
        return [_within(onnx, name, np.asarray(array, np.float32)) for name, array in params.items()], None
    tensors, offset = [], 0
    for name, array in params.items():
        tensor = _tensor(onnx, name, array.shape, "float32")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        length = 4 * array.size
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
        offset += length + -length % PAGE
    return tensors, _paged(params.values())


def _paged(arrays: Iterable[Array]) -> Iterator[bytes]:
    """The bytes of each array in float32, and zeros up to the next page."""
    for array in arrays:
        yield _bytes(np.asarray(array, np.float32))
        yield bytes(-4 * array.size % PAGE)


def _within(onnx: Any, name: str, array: Array) -> Any:
    tensor = _tensor(onnx, name, array.shape, array.dtype.name)
    tensor.raw_data = _bytes(array)
    return tensor


def _tensor(onnx: Any, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A tensor without its elements."""
    kind = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}[dtype]
    return onnx.TensorProto(name=name, dims=shape, data_type=kind)


def _bytes(array: Array) -> bytes:
    """The elements in ONNX's order, little-endian."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
