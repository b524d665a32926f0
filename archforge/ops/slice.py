"""A stretch of one axis; several of them split a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import ShapeError, TensorType
from archforge.ops.base import Array, Axis, Backward, Example, Gradients, Op, resolve_axis
from archforge.ops.lazy_numpy import np

__all__ = ["Slice"]


MAX_PARTS = 16  # beyond that many, `start` and `end` say more


class Slice(Op):
    """The entries of `axis` from `start` up to `end`, excluded; negative numbers count from the end.

    Attributes:
        start: first entry that is taken, from 0
        end: entry before which the slice ends
        axis: axis that is cut
    """

    op = "slice"

    start: Annotated[int, Field(description="a whole number; a negative one counts from the end")] = 0
    end: Annotated[
        int | None,
        Field(description="a whole number, a negative one counting from the end, or null for the end"),
    ] = None
    axis: Axis = 0

    examples = (
        Example({"start": 2}, ((5, 3, 4),), "the other channels"),
        Example({"end": 2}, ((5, 3, 4),), "the first channels"),
        Example({"start": -3, "end": -1, "axis": 1}, ((2, 5),)),
        Example({"start": 1, "end": 3, "axis": -1}, ((2, 3, 4),)),
    )

    def stretch(self, x: TensorType) -> tuple[int, slice]:
        """The axis, from 0, and the stretch of it. Raises `ShapeError` if it is not inside `x`."""
        axis = resolve_axis(self.axis, x)
        size = x.shape[axis]
        start, end = (n + size if n < 0 else n for n in (self.start, size if self.end is None else self.end))
        if not 0 <= start < end <= size:
            raise ShapeError(
                f"the slice must lie within the {size} entries of axis {axis} of {x}",
                "end" if 0 <= start < size else "start",
                label=f"from {start} to {end}",
                help=f"a smaller slice, or {'a larger input' if axis else 'more channels'}",
                mended_by="larger" if axis else "",
                code="E0404",
            )
        return axis, slice(start, end)

    def part(self, x: TensorType) -> tuple[int, int] | None:
        """(index, number) of equal parts of the axis, where the slice is one of no more than `MAX_PARTS`."""
        axis, stretch = self.stretch(x)
        length = stretch.stop - stretch.start
        parts, rest = divmod(x.shape[axis], length)
        if rest or stretch.start % length or not 1 < parts <= MAX_PARTS:
            return None
        return stretch.start // length, parts

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        axis, stretch = self.stretch(x)
        return TensorType((*x.shape[:axis], stretch.stop - stretch.start, *x.shape[axis + 1 :]))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        axis, stretch = self.stretch(TensorType(x.shape[1:]))
        return x[(slice(None),) * (axis + 1) + (stretch,)]

    def gradient(self, back: Backward) -> Gradients:
        shape = back.inputs[0].shape
        axis, stretch = self.stretch(TensorType(shape[1:]))
        dx = np.zeros(shape, back.dy.dtype)
        dx[(slice(None),) * (axis + 1) + (stretch,)] = back.dy
        return Gradients((dx,))
