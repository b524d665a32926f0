"""Pictures turned left to right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archforge.datasets.base import AnyArray, Transform
from archforge.ops.base import Rate

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["HorizontalFlip"]


class HorizontalFlip(Transform):
    """A picture is turned left to right with a probability. Source:
    torchvision.transforms.RandomHorizontalFlip.

    Attributes:
    p: the probability.
    """

    word = "horizontal_flip"
    elsewhere = ("RandomHorizontalFlip", "flip", "hflip", "RandomFlip")

    p: Rate = 0.5

    def apply(
        self, picture: AnyArray, mask: AnyArray | None, size: tuple[int, int], draw: Generator
    ) -> tuple[AnyArray, AnyArray | None]:
        if draw.random() >= self.p:
            return picture, mask
        return picture[..., ::-1], None if mask is None else mask[:, ::-1]
