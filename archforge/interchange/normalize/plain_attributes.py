"""Attributes in the fewest words that mean the same: `kernel: 3` for 3 along each axis, `padding: 1` for 1 on
each side, an axis counted from the end where it is the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archforge.interchange.foreign import ForeignOp
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.interchange.translation import number
from archforge.ir import Node, Op, TensorType
from archforge.ops import op_class
from archforge.ops.window import Window

__all__ = ["RULE", "nearest_shift", "plain_op"]


def plain_op(op: Op, *types: TensorType) -> Op:
    """An op with its attributes in the fewest words that mean the same on inputs of these types."""
    if isinstance(op, ForeignOp):
        return op
    x, given = types[0], op.attributes()
    window: Window | None = op.window(x) if hasattr(op, "window") else None
    for name, value in given.items():
        if name in ("kernel", "dilation", "padding", "stride") and window is not None:
            value = _short(getattr(window, name))
        elif name in ("output_padding", "factor", "size", "sides") and isinstance(value, tuple):
            value = _short(value)
        elif name == "axis" and value is not None:
            value = _axes(value, len(x.shape))
        given[name] = value
    if op.kind == "linear" and op.attributes()["axis"] is not None and len(x.shape) < 3:
        given["axis"] = None if given["axis"] in (-1, len(x.shape) - 1) else given["axis"]
    if (
        "stride" in given
        and type(op).model_fields["stride"].default is None
        and given["stride"] == given["kernel"]
    ):
        given["stride"] = None
    if "count_include_pad" in given and window is not None and not any(map(any, window.margins(x.spatial))):
        given["count_include_pad"] = True
    if op.kind == "slice":
        axis = given["axis"] % len(x.shape)
        start, end = (given[end] for end in ("start", "end"))
        size = x.shape[axis]
        given["start"] = start + size if start < 0 else start
        end = size if end is None else end + size if end < 0 else end
        given["end"] = None if end == size else end
    if op.kind in ("offset", "scale"):
        given = {name: number(value) for name, value in given.items()}
    if op.kind == "roll":
        given["shift"] = nearest_shift(given["shift"], x.shape[given["axis"]])
    if op.kind == "reshape":
        given["shape"] = op.infer(*types).shape
        if len(given["shape"]) == 1:
            return op_class("flatten")()
    return type(op)(**given)


def nearest_shift(shift: int, extent: int) -> int:
    """The number of places, forwards or backwards, that moves entries of an axis round as `shift` does."""
    forwards = shift % extent
    return forwards if 2 * forwards <= extent else forwards - extent


def _short(values: tuple[Any, ...]) -> Any:
    """One number where all are equal; pairs of equal numbers as one each."""
    values = tuple(v[0] if isinstance(v, tuple) and v[0] == v[1] else v for v in values)
    return values[0] if len({*values}) == 1 and not isinstance(values[0], tuple) else values


def _axes(value: int | tuple[int, ...], rank: int) -> int | tuple[int, ...]:
    """The last axis as -1, unless it is the only one, and others from the front."""
    if isinstance(value, tuple):
        axes = tuple(sorted(axis % rank for axis in value))
        return _axes(axes[0], rank) if len(axes) == 1 else axes
    axis = value % rank
    return -1 if 0 < axis == rank - 1 else axis


def _apply(node: Node, sight: Sight) -> Replacement | None:
    op = plain_op(node.op, *sight.types(node))
    return None if op == node.op else Replacement(op, node.inputs, params_of=node.params_of)


def _examples() -> Iterator[ForeignGraph]:
    yield draft(
        step("conv", "conv", "x", out=4, kernel=(3, 3), padding=((1, 1), (1, 1)), stride=(1, 1)),
        step("pool", "avg_pool", "conv", kernel=(2, 2), stride=(2, 2), count_include_pad=False),
        step("part", "slice", "pool", start=-3, end=4, axis=-3),
        step("shape", "reshape", "part", shape=(3, -1)),
        step("softmax", "softmax", "shape", axis=1),
        step("round", "roll", "softmax", shift=9, axis=0),
    )


RULE = Rule("plain_attributes", 9, _apply, _examples)
