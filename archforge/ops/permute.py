"""Axes in another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Reach, ShapeError, TensorType
from archforge.ops.base import Array, Backward, Count, Example, Gradients, Op

__all__ = ["Permute"]


class Permute(Op):
    """Axis i of the output is axis order[i] of the input; the batch axis is not counted and stays.

    Attributes:
        order: axis of the input that becomes each axis of the output
    """

    op = "permute"

    order: Annotated[
        tuple[Count, ...], Field(description="a list that names each axis once: 0 is the channels")
    ]

    examples = (
        Example({"order": (1, 2, 0)}, ((2, 3, 4),), "channels last"),
        Example({"order": (2, 0, 1)}, ((3, 4, 2),), "channels first"),
        Example({"order": (1, 0)}, ((5, 3),)),
    )

    @property
    def is_idle(self) -> bool:
        return self.order == tuple(range(len(self.order)))

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        axes = len(x.shape)
        if sorted(self.order) != list(range(axes)):
            raise ShapeError(
                f"`order` must name each axis of {x} once",
                "order",
                help=f"some order of {', '.join(map(str, range(axes)))}",
                code="E0404",
            )
        return TensorType(tuple(x.shape[a] for a in self.order))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return tuple(Reach(1, axis=axis) for axis in self.order)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x.transpose(0, *(a + 1 for a in self.order))

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy.transpose(0, *(self.order.index(a) + 1 for a in range(len(self.order)))),))
