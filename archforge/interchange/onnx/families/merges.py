"""Merges of several values: element by element, and one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate, bound_op, require
from archforge.interchange.onnx.writing import OnnxUse, Write
from archforge.ops.base import Array

__all__ = ["READ", "WRITTEN"]


def _merge(kind: str) -> Translate:
    """An op of any number of inputs."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        positions = tuple(range(len(node.inputs)))
        equal = all(node.shape(p) == node.x for p in positions)
        require(equal or kind == "multiply", "broadcasting, which ours leaves to `multiply`")
        axes = len(node.x)

        def aligned(x: Array) -> Array:
            """ONNX aligns at the last axis, which axes of extent 1 in front say as well."""
            return x.reshape((1,) * (axes - x.ndim) + x.shape)

        return [OnnxTranslation((bound_op(kind),), positions, arrange=aligned)]

    return translate


def _concat(node: OnnxNode) -> list[OnnxTranslation]:
    positions = tuple(range(len(node.inputs)))
    return [OnnxTranslation((bound_op("concat", axis=node.attributes.get("axis", 1)),), positions)]


def _aligned(use: OnnxUse) -> list[str]:
    """The values that a merge reads, with an axis of extent 1 behind for each that one lacks."""
    axes = max(len(t.shape) for t in use.types) + 1
    aligned = []
    for x, type_ in zip(use.inputs, use.types, strict=True):
        rank = len(type_.shape) + 1
        added = use.whole("axes", range(rank, axes)) if rank < axes else ""
        aligned.append(use.node("Unsqueeze", x, added) if added else x)
    return aligned


def _chain(onnx_op: str, variadic: str = "") -> Write:
    """A merge of two values by `onnx_op`, of any other number by `variadic`, or by one node after another."""

    def write(use: OnnxUse) -> str:
        first, *others = _aligned(use)
        if variadic and len(others) != 1:
            return use.node(variadic, first, *others)
        for other in others:
            first = use.node(onnx_op, first, other)
        return first

    return write


def _concat_written(use: OnnxUse) -> str:
    return use.node("Concat", *use.inputs, axis=use.op.axis % (use.rank - 1) + 1)


READ: Mapping[str, OnnxOp] = {
    "Add": OnnxOp("add", _merge("add")),
    "Concat": OnnxOp("concat", _concat),
    "Mul": OnnxOp("multiply", _merge("multiply")),
    "Sub": OnnxOp("subtract", _merge("subtract")),
    "Sum": OnnxOp("add", _merge("add")),
}

WRITTEN: Mapping[str, Write] = {
    "add": _chain("Add", variadic="Sum"),
    "concat": _concat_written,
    "multiply": _chain("Mul"),
    "subtract": _chain("Sub"),
}
