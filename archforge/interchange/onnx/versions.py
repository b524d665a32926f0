"""Nodes of older versions of ONNX's ops in the form of opset 22: what was an attribute and is an input now,
and what was meant before where nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archforge.interchange.onnx.opened import NodeInFile
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["ModernNode", "modern"]


@dataclass(frozen=True, slots=True)
class ModernNode:
    """A node whose inputs are names, or arrays where the file has them as attributes."""

    node: NodeInFile
    inputs: tuple[str | Array, ...]
    attributes: Mapping[str, Any]


# Attributes that are inputs now, from the second on, with their dtypes.
_REDUCTION = (("axes", "int64"),)
_INPUTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Clip": (("min", "float32"), ("max", "float32")),
    "Dropout": (("ratio", "float32"),),
    "Pad": (("pads", "int64"), ("value", "float32")),
    "Reshape": (("shape", "int64"),),
    "Slice": (("starts", "int64"), ("ends", "int64"), ("axes", "int64")),
    "Split": (("split", "int64"),),
    "Squeeze": (("axes", "int64"),),
    "Unsqueeze": (("axes", "int64"),),
    "Upsample": (("scales", "float32"),),
    **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean"), _REDUCTION),
}


def modern(node: NodeInFile, opset: int) -> ModernNode:
    """The node in today's form. Raises `Unsupported` for what has none."""
    attributes = dict(node.attributes)
    inputs: tuple[str | Array, ...] = node.inputs
    if len(inputs) == 1 and any(name in attributes for name, _ in _INPUTS.get(node.op, ())):
        given = [(attributes.pop(name, None), dtype) for name, dtype in _INPUTS[node.op]]
        inputs = (*inputs, *("" if value is None else np.asarray(value, dtype) for value, dtype in given))
    if node.op == "Resize" and opset < 11:
        inputs = (inputs[0], "", *inputs[1:])
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if node.op == "Dropout" and not attributes.pop("is_test", 1):
        raise Unsupported("training mode")
    if node.op == "BatchNormalization":
        if not attributes.pop("spatial", 1):
            raise Unsupported("statistics for each element")
        attributes.pop("is_test", None)
        attributes.pop("consumed_inputs", None)
    return ModernNode(node, inputs, attributes)
