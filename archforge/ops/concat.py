"""Concatenation of branches."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import ShapeError, TensorType
from archforge.ops.base import (
    Array,
    Axis,
    Backward,
    Example,
    Gradients,
    Op,
    array_axis,
    mended_by,
    resolve_axis,
)
from archforge.ops.lazy_numpy import np

__all__ = ["Concat"]


class Concat(Op):
    """The branches one after the other along `axis`, the channels unless said otherwise.

    Attributes:
        axis: axis along which the branches are put one after the other
    """

    op = "concat"
    arity = None
    counts_as_layer = False

    axis: Axis = 0

    examples = (
        Example({}, ((2, 3, 4), (1, 3, 4), (3, 3, 4))),
        Example({}, ((5,), (2,))),
        Example({"axis": -1}, ((2, 3), (2, 1))),
        Example({}, ((2, 3, 4),), "a single branch"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        first = inputs[0]
        axis = resolve_axis(self.axis, first)
        for other in inputs[1:]:
            if _others(other, axis) != _others(first, axis):
                raise ShapeError(
                    f"the branches of `concat` must be equal outside axis {axis}, found {first} and {other}",
                    code="E0405",
                    mended_by=mended_by([first, other], axis),
                )
        total = sum(x.shape[axis] for x in inputs)
        return TensorType((*first.shape[:axis], total, *first.shape[axis + 1 :]))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.concatenate(inputs, array_axis(self.axis, inputs[0]))

    def gradient(self, back: Backward) -> Gradients:
        axis = array_axis(self.axis, back.dy)
        ends = np.cumsum([x.shape[axis] for x in back.inputs])
        return Gradients(tuple(np.split(back.dy, ends[:-1], axis)))


def _others(x: TensorType, axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return x.shape[:axis], x.shape[axis + 1 :]
