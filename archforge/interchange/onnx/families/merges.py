"""Merges of several values: element by element, and one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate
from archforge.interchange.onnx.writing import OnnxUse, Write
from archforge.interchange.translation import bound_op, number, require
from archforge.ops.lazy_numpy import np

__all__ = ["PARTS", "READ", "WRITTEN"]


def _merge(kind: str) -> Translate:
    """An op of any number of inputs, or of one and a constant."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        if 0 < len(node.constants) < len(node.inputs) == 2:
            if node.axes is not None and _is_stored_value(kind, node):
                return [OnnxTranslation((bound_op(kind),), (0, 1))]
            return [_with_constant(kind, node)]
        positions = tuple(range(len(node.inputs)))
        require(kind == "multiply" or _of_one_rank(node, positions), "values of other numbers of axes")
        return [OnnxTranslation((bound_op(kind),), positions)]

    return translate


def _of_one_rank(node: OnnxNode, positions: Sequence[int]) -> bool:
    """True if ONNX, which aligns values at their last axes, repeats them as our merges do."""
    return len({len(node.shape(p)) for p in positions}) == 1


def _is_stored_value(kind: str, node: OnnxNode) -> bool:
    """True for a constant that varies along several axes, or along one and of which the value is taken."""
    ((position, array),) = node.constants.items()
    wide = sum(n > 1 for n in array.shape)
    return wide > 1 or (wide == 1 and position == 0 and kind == "subtract")


def _div(node: OnnxNode) -> list[OnnxTranslation]:
    if not node.constants:
        require(_of_one_rank(node, (0, 1)), "values of other numbers of axes")
        return [OnnxTranslation((bound_op("divide"),), (0, 1))]
    return [_with_constant("divide", node)]


def _max(node: OnnxNode) -> list[OnnxTranslation]:
    if not node.constants:
        positions = tuple(range(len(node.inputs)))
        require(_of_one_rank(node, positions), "values of other numbers of axes")
        return [OnnxTranslation((bound_op("maximum"),), positions)]
    require(len(node.inputs) == 2 and len(node.constants) == 1, "a constant among more than two values")
    ((position, bound),) = node.constants.items()
    require(bound.size == 1, "bounds of single elements")
    low = number(bound)
    op = bound_op("clip", min=low) if low else bound_op("relu")
    return [OnnxTranslation((op,), (1 - position,))]


def _with_constant(kind: str, node: OnnxNode) -> OnnxTranslation:
    """Arithmetic of one value with a number, or with numbers along an axis."""
    (position,) = node.constants
    array = np.asarray(node.constants[position])
    value = 1 - position
    of_value = replace(node, inputs=(node.inputs[value],))
    require(np.broadcast_shapes(of_value.x, array.shape) == of_value.x, "a constant that repeats a value")
    require(value == 0 or kind != "divide", "a constant over a value")
    along = of_value.along(array)
    is_sum = kind in ("add", "subtract")
    is_less = value == 1 and kind == "subtract"  # constant - value
    turned = (bound_op("scale", factor=-1),) if is_less else ()
    if along is None:
        given = number(array)
        if is_sum:
            op = bound_op("offset", number=given if is_less or kind == "add" else -given)
            return OnnxTranslation((*turned, op), (value,))
        return OnnxTranslation(
            (bound_op("scale", factor=given if kind == "multiply" else 1 / given),), (value,)
        )
    axis, numbers = along
    if kind in ("subtract", "divide"):
        numbers = -numbers if is_sum else 1 / numbers
    op = AddAlong(axis=axis) if is_sum else MultiplyAlong(axis=axis)
    return OnnxTranslation((op,), (value,), {"": numbers})


def _concat(node: OnnxNode) -> list[OnnxTranslation]:
    positions = tuple(range(len(node.inputs)))
    return [OnnxTranslation((bound_op("concat", axis=node.axis(node.attributes.get("axis", 1))),), positions)]


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
    return use.node("Concat", *use.inputs, axis=use.axis)


READ: Mapping[str, OnnxOp] = {
    "Add": OnnxOp("add", _merge("add")),
    "Concat": OnnxOp("concat", _concat),
    "Mul": OnnxOp("multiply", _merge("multiply")),
    "Sub": OnnxOp("subtract", _merge("subtract")),
    "Sum": OnnxOp("add", _merge("add")),
}

PARTS: Mapping[str, Translate] = {"Div": _div, "Max": _max}

WRITTEN: Mapping[str, Write] = {
    "add": _chain("Add", variadic="Sum"),
    "concat": _concat_written,
    "divide": _chain("Div"),
    "maximum": _chain("Max", variadic="Max"),
    "multiply": _chain("Mul"),
    "subtract": _chain("Sub"),
}
