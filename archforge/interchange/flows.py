"""Values of ours as a file of another format sees them: the same numbers under axes of another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archforge.ir import TensorType
from archforge.ops.base import Array

__all__ = ["Axes", "FixedValue", "Flow", "Lost", "channels_last", "common_axes", "own_axes", "viewed"]

# For each axis that the file has, that of our array, where the batch is axis 0; None for one of extent 1 that
# ours does not have.
Axes = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A value of ours as the file sees it: `axes` has for each of its axes that of ours."""

    value: str
    type: TensorType
    axes: Axes

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.extent(axis) for axis in self.axes)

    def extent(self, axis: int | None) -> int:
        """The extent along one of our axes; the batch is one image."""
        return self.type.shape[axis - 1] if axis else 1

    @property
    def is_ours(self) -> bool:
        return self.axes == own_axes(self.type)


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


def own_axes(type_: TensorType) -> tuple[int, ...]:
    """Our axes of a value in their own order, the batch first."""
    return tuple(range(len(type_.shape) + 1))


def channels_last(axes: int) -> tuple[int, ...]:
    """The axes of a map of ours as a file sees it that has the channels last. axes: of one image."""
    return (0, *range(2, axes + 1), 1)


def common_axes(flows: Sequence[Flow]) -> Axes | None:
    """The axes by which all values are seen, aligned at the last one; None if they differ."""
    rank = max(len(flow.axes) for flow in flows)
    joint: list[int | None] = [None] * rank
    for flow in flows:
        for place, axis in enumerate(flow.axes, rank - len(flow.axes)):
            if axis is not None and joint[place] not in (None, axis):
                return None
            joint[place] = joint[place] if axis is None else axis
    named = [axis for axis in joint if axis is not None]
    return tuple(joint) if len(named) == len(set(named)) else None


def viewed(flow: Flow, shape: tuple[int, ...]) -> Flow | None:
    """View of a value under another shape, where only axes of extent 1 come or go; None where it takes an
    op."""
    old = flow.shape
    stays = flow.axes[:1] == (0,) and shape[:1] == (1,)  # the batch of one image, in front
    if not stays or [n for n in shape if n != 1] != [n for n in old if n != 1]:
        return None
    wide = iter([axis for axis, n in zip(flow.axes, old, strict=True) if n != 1])
    return replace(flow, axes=(0, *(next(wide) if n != 1 else None for n in shape[1:])))
