"""Values that names of a file stand for while it is read, and the ops that only see one in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from archforge.interchange.flows import FixedValue, Flow, Lost, viewed
from archforge.interchange.onnx.nodes import reshaped
from archforge.interchange.onnx.versions import ModernNode
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array

__all__ = ["MOVES", "Value", "array_of"]


Value = FixedValue | Flow | Lost


def array_of(value: Value | None) -> Array | None:
    """The array of a value that depends on no input; None for any other."""
    return value.array if isinstance(value, FixedValue) else None


def _transposed(flow: Flow, node: ModernNode, arrays: Sequence[Array | None]) -> Flow:
    order = node.attributes.get("perm") or range(len(flow.axes))[::-1]
    return replace(flow, axes=tuple(flow.axes[axis] for axis in order))


def _squeezed(flow: Flow, node: ModernNode, arrays: Sequence[Array | None]) -> Flow:
    given = arrays[1] if len(arrays) > 1 else None
    shape = flow.shape
    gone = (
        {int(a) % len(shape) for a in given}
        if given is not None
        else {a for a, n in enumerate(shape) if n == 1 and flow.axes[a] != 0}
    )
    if any(shape[axis] != 1 for axis in gone):
        raise Unsupported("an axis of an extent other than 1")
    return replace(flow, axes=tuple(axis for place, axis in enumerate(flow.axes) if place not in gone))


def _unsqueezed(flow: Flow, node: ModernNode, arrays: Sequence[Array | None]) -> Flow:
    given = arrays[1] if len(arrays) > 1 else None
    if given is None:
        raise Unsupported("axes that another node computes")
    rank = len(flow.axes) + len(given)
    added = {int(axis) % rank for axis in given}
    supply = iter(flow.axes)
    return replace(flow, axes=tuple(None if place in added else next(supply) for place in range(rank)))


def _reshaped(flow: Flow, node: ModernNode, arrays: Sequence[Array | None]) -> Flow | None:
    """Another view where only axes of extent 1 come or go, and the order is not ours already; else None."""
    given = arrays[1]
    if given is None or flow.is_ours:
        return None
    return viewed(flow, reshaped(flow.shape, given, node.attributes))


def _expanded(flow: Flow, node: ModernNode, arrays: Sequence[Array | None]) -> Flow:
    given = arrays[1]
    if given is None or not _is_left_by(given, flow.shape):
        raise Unsupported("a value that is repeated")
    return flow


def _is_left_by(given: Array, shape: tuple[int, ...]) -> bool:
    """True for extents that repeat no element of a value of that shape."""
    return len(given) == len(shape) and all(n in (1, m) for n, m in zip(given, shape, strict=True))


MOVES: Mapping[str, Callable[[Flow, ModernNode, Sequence[Array | None]], Flow | None]] = {
    "Expand": _expanded,
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
