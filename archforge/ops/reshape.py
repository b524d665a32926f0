"""Reshaping: equal elements in equal order under another shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import WHOLE, Reach, ShapeError, TensorType
from archforge.ops.base import Array, Backward, Example, Gradients, Op

__all__ = ["Reshape"]


class Reshape(Op):
    """The batch axis stays; one extent may be -1 and takes what is left.

    Attributes:
        shape: extents of the output, the batch left out; -1 takes what is left
    """

    op = "reshape"
    is_idempotent = True

    shape: Annotated[
        tuple[int, ...],
        Field(min_length=1, description="a list of positive whole numbers, one of which may be -1"),
    ]

    examples = (
        Example({"shape": (4, 3)}, ((2, 6),)),
        Example({"shape": (3, -1)}, ((2, 3, 4),)),
        Example({"shape": (2, 3, 2)}, ((12,),)),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        known = [n for n in self.shape if n != -1]
        if len(known) < len(self.shape) - 1 or min(known, default=1) < 1:
            raise ShapeError(
                "a shape holds positive whole numbers, and -1 at most once", "shape", code="E0404"
            )
        size = math.prod(known)
        free, rest = divmod(x.size, size)
        if rest or (free != 1 and -1 not in self.shape):
            raise ShapeError(
                f"the shape must hold the {x.size} elements of {x}",
                "shape",
                label=f"{x.size} % {size} = {rest}" if rest else f"{' * '.join(map(str, known))} = {size}",
                code="E0404",
            )
        return TensorType(tuple(free if n == -1 else n for n in self.shape))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(self.infer(*inputs).shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x.reshape(len(x), *self.shape)

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy.reshape(back.inputs[0].shape),))
