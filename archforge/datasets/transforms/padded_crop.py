"""Pictures moved by some pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archforge.datasets.base import AnyArray, Transform
from archforge.errors import fail
from archforge.ir import by_x
from archforge.ops.base import Count
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["PaddedCrop"]


class PaddedCrop(Transform):
    """A picture is given a border of zeros, of which and from anywhere in it a part as large as the network's
    input is cut: it moves by up to `padding` pixels. The border of a mask is of class 0. Source:
    torchvision.transforms.RandomCrop with `padding`.

    Attributes:
    padding: pixels of the border, on each side.
    """

    word = "padded_crop"
    elsewhere = ("RandomCrop", "random_crop")

    padding: Count = 4

    def apply(
        self, picture: AnyArray, mask: AnyArray | None, size: tuple[int, int], draw: Generator
    ) -> tuple[AnyArray, AnyArray | None]:
        room = [n + 2 * self.padding - wanted for n, wanted in zip(picture.shape[1:], size, strict=True)]
        if min(room) < 0:
            there, wanted = by_x(picture.shape[1:]), by_x(size)
            message = f"a picture of {there} with a border of {self.padding} holds no part of {wanted}"
            fail("E0607", message, help="--set train.data.resize=exact")
        # From the first row and column of the picture, which are negative in the border.
        top, left = (int(draw.integers(0, n, endpoint=True)) - self.padding for n in room)
        return _part(picture, top, left, size), None if mask is None else _part(mask, top, left, size)


def _part(array: AnyArray, top: int, left: int, size: tuple[int, int]) -> AnyArray:
    """The part [..., *size] of an array [..., H, W] from a row and a column on, zero where it has none."""
    part = np.zeros((*array.shape[:-2], *size), array.dtype)
    inside = array[..., max(top, 0) : max(top + size[0], 0), max(left, 0) : max(left + size[1], 0)]
    first = (max(-top, 0), max(-left, 0))
    part[..., first[0] : first[0] + inside.shape[-2], first[1] : first[1] + inside.shape[-1]] = inside
    return part
