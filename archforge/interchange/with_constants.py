"""Sums and products of a value with constants, as ops of ours or what a normaliser makes one of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archforge.interchange.flows import Flow
from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.translation import bound_op, number, require
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array, Op

__all__ = ["along", "axis_of", "with_constants"]


def axis_of(flow: Flow, axis: int) -> int:
    """An axis of the file as ours is counted, the batch left out. Raises `Unsupported` for the batch's."""
    require(-len(flow.axes) <= axis < len(flow.axes), f"axis {axis} of an array of {len(flow.axes)}")
    ours = flow.axes[axis]
    if not ours:
        raise Unsupported("an axis that is the batch's, or was not there")
    return ours - 1


def along(x: Flow, constants: Array) -> tuple[int, Array] | None:
    """The only axis of ours along which constants vary, aligned at the last axis of the file, and their
    numbers; None if they are one number. Raises `Unsupported` for several axes."""
    first = len(x.axes) - constants.ndim
    varies = [axis + first for axis, extent in enumerate(constants.shape) if extent > 1]
    if not varies:
        return None
    require(len(varies) == 1 and first >= 0, "constants along several axes")
    return axis_of(x, varies[0]), constants.reshape(-1)


def with_constants(add: Callable[..., Flow], x: Flow, constants: Array, *, is_product: bool) -> Flow:
    """The product or sum of a value and constants. add: makes a node of an op, a value and parameters. Raises
    `Unsupported`."""
    found = along(x, constants)
    if found is None:
        value = number(constants)
        op: Op = bound_op("scale", factor=value) if is_product else bound_op("offset", number=value)
        return add(op, x)
    axis, numbers = found
    require(len(numbers) == x.type.shape[axis], "constants of another extent")
    op = MultiplyAlong(axis=axis) if is_product else AddAlong(axis=axis)
    params: dict[str, Any] = {"": numbers}
    return add(op, x, **params)
