"""Values that depend on no input: what a `Constant` says, and what nodes of constants compute."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.interchange.onnx.opened import NodeInFile
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["constant_array", "evaluated"]

# Constants of more elements are not computed from others: no shape is so large, and no weight of a network.
MAX_ELEMENTS = 2**28


def constant_array(attributes: Mapping[str, Any]) -> Array:
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


def evaluated(node: NodeInFile, arrays: Mapping[str, Array], opset: int) -> list[Array]:
    """The outputs of one node of constants, by onnx's reference evaluator, in the version of the file. Raises
    `Unsupported` where they cannot be computed."""
    is_large = sum(a.size for a in arrays.values()) > MAX_ELEMENTS
    if is_large and node.op not in ("Transpose", "Cast", "Identity"):
        raise Unsupported("constants of more elements than are computed")
    if node.op in ("Identity", "Dropout"):
        return [next(iter(arrays.values()))]
    helper: Any = import_module("onnx.helper")
    evaluator: Any = import_module("onnx.reference").ReferenceEvaluator
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs if name]
    try:
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in arrays.items()
        ]
        plain = helper.make_node(node.op, node.inputs, node.outputs, **_writable(node.attributes))
        graph = helper.make_graph([plain], "constants", values, outputs)
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
