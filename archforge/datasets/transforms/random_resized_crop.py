"""Parts of pictures, scaled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from archforge.data.preprocessing import Interpolation
from archforge.datasets.base import AnyArray, Transform
from archforge.datasets.scaling import cut_and_scaled

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["RandomResizedCrop"]

TRIES = 10
Ratio = Annotated[float, Field(ge=0.001, le=1000, description="a number from 0.001 to 1000")]
PartOfArea = Annotated[float, Field(gt=0, le=1, description="a number above 0, at most 1")]


class RandomResizedCrop(Transform):
    """A part of a picture, of a drawn area and ratio of sides and from a drawn place, is scaled to the
    network's input; masks are by the nearest. It takes the place of `resize` in training. Where ten draws
    find no part that fits, it is the middle. Source: torchvision.transforms.RandomResizedCrop.

    Attributes:
    scale: the least and the largest share of the picture's area.
    ratio: the least and the largest ratio of width to height, whose logarithm is drawn evenly.
    interpolation: the filter.
    """

    word = "random_resized_crop"
    elsewhere = ("RandomResizedCrop", "resized_crop")
    gives_size = True

    scale: tuple[PartOfArea, PartOfArea] = (0.08, 1.0)
    ratio: tuple[Ratio, Ratio] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"

    def apply(
        self, picture: AnyArray, mask: AnyArray | None, size: tuple[int, int], draw: Generator
    ) -> tuple[AnyArray, AnyArray | None]:
        box = self.box((picture.shape[1], picture.shape[2]), draw)
        return cut_and_scaled(picture, mask, box, size, self.interpolation)

    def box(self, size: tuple[int, int], draw: Generator) -> tuple[int, int, int, int]:
        """The part of a picture of this size: top, left, height, width."""
        tall, wide = size
        low, high = (math.log(ratio) for ratio in self.ratio)
        for _ in range(TRIES):
            area = tall * wide * draw.uniform(*self.scale)
            ratio = math.exp(draw.uniform(low, high))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= wide and 0 < height <= tall:
                top, left = (int(draw.integers(0, n, endpoint=True)) for n in (tall - height, wide - width))
                return top, left, height, width
        ratio = min(max(wide / tall, min(self.ratio)), max(self.ratio))
        width, height = min(wide, round(tall * ratio)), min(tall, round(wide / ratio))
        return (tall - height) // 2, (wide - width) // 2, max(height, 1), max(width, 1)
