"""Flattening to one axis of features."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import WHOLE, Reach, TensorType
from archforge.ops.base import Array, Backward, Example, Gradients, Op

__all__ = ["Flatten"]


class Flatten(Op):
    """All elements of an image in one axis, the last axis running fastest."""

    op = "flatten"
    is_idempotent = True
    examples = (Example({}, ((2, 3, 4),)), Example({}, ((5,),)), Example({}, ((2, 3, 2, 2),)))

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType((inputs[0].size,))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(self.infer(*inputs).shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x.reshape(len(x), -1)

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy.reshape(back.inputs[0].shape),))
