"""Identities at inference: the identity itself and dropout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from archforge.ir import TensorType
from archforge.ops.base import Array, Backward, Example, Forward, Gradients, Op, Rate, require_rank
from archforge.ops.lazy_numpy import np

__all__ = ["ChannelDropout", "Dropout", "Identity"]


class Identity(Op):
    """The input, unchanged."""

    op = "identity"
    is_identity = True
    examples: ClassVar[tuple[Example, ...]] = (Example({}, ((2, 3, 4),)), Example({}, ((5,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return inputs[0]

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy,))


class Dropout(Identity):
    """Dropout: in training each element is zeroed with probability `rate`, and the others are scaled by
    1 / (1 - rate). Source: arXiv:1207.0580.

    Attributes:
        rate: probability with which an element is zeroed in training; inference does not depend on it
    """

    op = "dropout"

    rate: Rate = 0.5

    examples: ClassVar[tuple[Example, ...]] = (Example({}, ((5,),)), Example({"rate": 0.2}, ((2, 3, 4),)))

    @property
    def is_idle(self) -> bool:
        return self.rate == 0

    def train(self, params: Mapping[str, Array], *inputs: Array, draw: np.random.Generator) -> Forward:
        (x,) = inputs
        if not self.rate:
            return Forward(x, x.dtype.type(1))
        kept = draw.random(self.mask_shape(x.shape)) >= self.rate
        mask = kept.astype(x.dtype) / x.dtype.type(1 - self.rate if self.rate < 1 else 1)
        return Forward(x * mask, mask)

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of what is drawn for float[N, *] of a shape: an extent of 1 where elements fall together."""
        return shape

    def saved_elements(self, *inputs: TensorType) -> int:
        return math.prod(self.mask_shape((1, *inputs[0].shape))) if self.rate else 0

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy * back.saved,))


class ChannelDropout(Dropout):
    """Dropout of whole channels of a map. Source: arXiv:1411.4280, section 3.2; torch.nn.Dropout2d."""

    op = "channel_dropout"

    examples = (
        Example({}, ((2, 6),), "1-D"),
        Example({"rate": 0.2}, ((2, 3, 4),)),
        Example({}, ((2, 3, 2, 2),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`channel_dropout`")
        return x

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:2], *(1,) * (len(shape) - 2))
