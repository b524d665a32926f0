"""Entries of an axis moved round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Reach, TensorType
from archforge.ops.base import (
    Array,
    Axis,
    Backward,
    Example,
    Gradients,
    Op,
    array_axis,
    resolve_axis,
    whole_along,
)
from archforge.ops.lazy_numpy import np

__all__ = ["Roll"]


class Roll(Op):
    """The entries of `axis`, each `shift` places further on; those that leave at one end come in at the
    other. Source: torch.roll.

    Attributes:
        shift: number of places that each entry moves, backwards where it is negative
        axis: axis whose entries move
    """

    op = "roll"

    shift: Annotated[int, Field(description="a whole number")]
    axis: Axis

    examples = (
        Example({"shift": 2, "axis": 0}, ((5,),)),
        Example({"shift": -1, "axis": 1}, ((2, 4, 3),), "the rows of a map"),
        Example({"shift": 7, "axis": -1}, ((2, 3),), "more than once round"),
    )

    @property
    def is_idle(self) -> bool:
        return self.shift == 0

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        resolve_axis(self.axis, x)
        return x

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return whole_along({resolve_axis(self.axis, x)}, x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return np.roll(x, self.shift, array_axis(self.axis, x))

    def gradient(self, back: Backward) -> Gradients:
        dy = back.dy
        return Gradients((np.roll(dy, -self.shift, array_axis(self.axis, dy)),))
