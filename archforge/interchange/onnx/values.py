"""Values that names of a file stand for while it is read, and the ops that only see one in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from archforge.interchange.flows import Flow
from archforge.interchange.onnx.nodes import reshaped
from archforge.interchange.onnx.versions import ModernNode
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array

__all__ = ["MOVES", "FixedValue", "Lost", "Value", "array_of"]


@dataclass(frozen=True, slots=True, eq=False)
class FixedValue:
    """A value that does not depend on the inputs. name: of the stored array that it is, if it is one."""

    array: Array
    name: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """A value behind an op that cannot be said. is_fixed: it does not depend on what an input holds."""

    is_fixed: bool = False


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
    old = flow.shape
    new = reshaped(old, given, node.attributes)
    stays = flow.axes[:1] == (0,) and new[:1] == (1,)  # the batch of one image, in front
    if not stays or [n for n in new if n != 1] != [n for n in old if n != 1]:
        return None
    wide = iter([axis for axis, n in zip(flow.axes, old, strict=True) if n != 1])
    return replace(flow, axes=(0, *(next(wide) if n != 1 else None for n in new[1:])))


MOVES: Mapping[str, Callable[[Flow, ModernNode, Sequence[Array | None]], Flow | None]] = {
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
