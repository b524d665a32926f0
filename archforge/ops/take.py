"""Entries of an axis by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import WHOLE, Reach, ShapeError, TensorType
from archforge.ops.base import (
    Array,
    Axis,
    Backward,
    Count,
    Example,
    Gradients,
    Op,
    array_axis,
    resolve_axis,
)
from archforge.ops.lazy_numpy import np

__all__ = ["Take"]


class Take(Op):
    """The entries of `axis` with these numbers, each as often as its number stands there.

    A list gives one axis in the place of the old one, a list of equally long lists two: a trained number for
    each distance of two of n places, of float[N, n], is `[[abs(a - b) for b in range(n)] for a in range(n)]`
    of axis 0. Source: numpy.take, torch.index_select, ONNX Gather.

    Attributes:
        indices: numbers of the entries, from 0
        axis: axis whose entries are taken
    """

    op = "take"

    indices: Annotated[
        tuple[Count | tuple[Count, ...], ...],
        Field(min_length=1, description="a list of whole numbers, 0 or more, or a list of such lists"),
    ]
    axis: Axis = 0

    examples = (
        Example({"indices": (2, 0, 0)}, ((3, 4),), "again and in another order"),
        Example({"indices": ((0, 1, 2), (1, 0, 1)), "axis": 1}, ((2, 3),), "two axes of one"),
        Example({"indices": ((0, 1), (1, 0)), "axis": -1}, ((2, 4, 2),), "a map"),
        Example({"indices": ((3, 1),)}, ((4,),), "one row"),
    )

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents of `indices`, which the axis becomes. Raises `ShapeError` for uneven rows."""
        lengths = {len(row) if isinstance(row, tuple) else 0 for row in self.indices}
        if any(isinstance(row, tuple) for row in self.indices):
            if len(lengths) > 1 or lengths == {0}:
                raise ShapeError(
                    "`indices` holds numbers, or equally long lists of them, none of them empty",
                    "indices",
                    code="E0404",
                )
            return (len(self.indices), *lengths)
        return (len(self.indices),)

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        axis, made = resolve_axis(self.axis, x), self.shape
        largest, size = max(_flat(self.indices)), x.shape[axis]
        if largest >= size:
            raise ShapeError(
                f"axis {axis} of {x} has the entries 0 to {size - 1}, `indices` asks for {largest}",
                "indices",
                mended_by="larger" if axis else "",
                code="E0404",
            )
        return TensorType((*x.shape[:axis], *made, *x.shape[axis + 1 :]))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        axis, more = resolve_axis(self.axis, x), len(self.shape)
        after = (Reach(1, axis=number) for number in range(axis + 1, len(x.shape)))
        before = (Reach(1, axis=number) for number in range(axis))
        return (*before, *(WHOLE._replace(axis=axis),) * more, *after)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x.take(self.indices, array_axis(self.axis, x))

    def gradient(self, back: Backward) -> Gradients:
        """Each entry gets the sum of those that were taken of it."""
        (x,), dy = back.inputs, back.dy
        axis = array_axis(self.axis, x)
        rows = dy.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
        dx = np.zeros(x.shape, dy.dtype)
        np.add.at(dx.swapaxes(0, axis), [*_flat(self.indices)], rows.swapaxes(0, axis))
        return Gradients((dx,))


def _flat(indices: Iterable[int | tuple[int, ...]]) -> Iterable[int]:
    """All numbers, row by row."""
    for entry in indices:
        yield from (entry,) if isinstance(entry, int) else entry
