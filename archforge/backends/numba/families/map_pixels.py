"""Pixels of a map in memory, all of them or those of a phase: the place of the first one, and the strides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archforge.backends.numba.runtime.tape import BufferPlace, TapeValue

__all__ = ["MapPixels", "Phase"]


@dataclass(frozen=True, slots=True)
class Phase:
    """Pixels of a map `stride` apart from the one at `first` on: (rows, columns) of each."""

    first: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MapPixels:
    """The place of a map's first pixel, and bytes from an image, a plane, a row and a pixel to the next.

    A plane is a block of channels, or one channel of an input that does not lie in blocks.
    """

    first: BufferPlace
    image: int
    plane: int
    row: int
    pixel: int

    @classmethod
    def of(cls, value: TapeValue) -> MapPixels:
        """The pixels of a value, in the rows of its map."""
        return cls.in_rows(value, value.map_size[1])

    @classmethod
    def in_rows(cls, value: TapeValue, width: int) -> MapPixels:
        """The pixels of a value, in rows of so many whatever its map is."""
        return cls(value.place, value.image, value.plane, width * value.pixel, value.pixel)

    @classmethod
    def in_one_row(cls, value: TapeValue) -> MapPixels:
        """The pixels of a value, all in one row."""
        return cls.in_rows(value, value.pixels)

    @classmethod
    def of_images(cls, value: TapeValue) -> MapPixels:
        """The images of a value that has one pixel, as the pixels of a single row."""
        return cls(value.place, value.image, value.plane, value.tape.batch * value.image, value.image)

    def at(self, phase: Phase) -> MapPixels:
        """The pixels of a phase."""
        first = self.first + phase.first[0] * self.row + phase.first[1] * self.pixel
        return replace(self, first=first, row=phase.stride[0] * self.row, pixel=phase.stride[1] * self.pixel)

    def fields(self, name: str, *strides: str) -> dict[str, Any]:
        """Fields of a record: the first pixel as `name`, and each of the strides as `name_stride`."""
        return {name: self.first, **{f"{name}_{stride}": getattr(self, stride) for stride in strides}}
