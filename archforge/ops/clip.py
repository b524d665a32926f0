"""Values kept between two bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import ShapeError, TensorType
from archforge.ops.base import INPUTS, Array, Backward, Example, Gradients, Op, Real
from archforge.ops.lazy_numpy import np

__all__ = ["Clamp"]

Bound = Annotated[Real | None, Field(description="a number, or null")]


class Clamp(Op):
    """min(max(x, least), most); NaN stays. Its gradient passes at a bound itself. Source: torch.clamp.

    Attributes:
        min: the least value; null for none
        max: the greatest value; null for none
    """

    op = "clip"
    is_idempotent = True
    gradient_reads = INPUTS

    min: Bound = None
    max: Bound = None

    examples = (
        Example({"min": -0.5, "max": 0.25}, ((3, 4, 5),)),
        Example({"max": 0.5}, ((7,),)),
        Example({"min": 0.125}, ((2, 3, 3),)),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        if self.min is None and self.max is None:
            raise ShapeError("a clip has a bound, or two", help="{clip: {min: 0, max: 6}}", code="E0404")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ShapeError(f"`min` is {self.min:g}, above `max` of {self.max:g}", "min", code="E0404")
        return inputs[0]

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return np.clip(inputs[0], self.min, self.max)

    def gradient(self, back: Backward) -> Gradients:
        (x,) = back.inputs
        return Gradients((back.dy * (x == self.reference({}, x)),))
