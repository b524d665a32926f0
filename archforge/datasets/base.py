"""Samples, splits, and formats of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from archforge.ir import Array
from archforge.parts import Part

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Data", "DataSettings", "Format", "Pair", "Samples", "Transform"]


class Pair(NamedTuple):
    """An input as it is stored, and its target: uint8[C, H, W], uint8[H, W] or float[*shape], and the number
    of a class, a mask int[H, W], or an array float[*shape]."""

    x: Array
    y: Array


class Samples(Protocol):
    """Samples by number, read when they are asked for; threads may ask together."""

    @property
    def name(self) -> str:
        """A name for messages: a file, a folder, or words."""
        ...

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of an input; None where they differ."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by their numbers; empty where targets are no classes."""
        ...

    @property
    def labels(self) -> Array | None:
        """The class of each sample, int64[len]; None where targets are no classes of whole samples."""
        ...

    @property
    def digest(self) -> str:
        """A hash of the samples or of what tells that they are the same: sizes and times of files."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair:
        """A sample. Raises E0601 where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Data:
    """Samples to train on, and those held back, where the data say which."""

    train: Samples
    held_back: Samples | None = None


class Format(Part):
    """A way in which samples lie in files, with its settings."""

    what = "format"
    package = "archforge.datasets.formats"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """True if the file or folder looks like this format."""
        raise NotImplementedError

    def open(self, path: Path) -> Data:
        """The samples of a file or folder. Raises E0601 with what is wrong and a way out."""
        raise NotImplementedError


class Transform(Part):
    """A change of a sample, drawn anew each time: of a picture float32[C, H, W] of values from 0 to 1, before
    it is normalised, and, where targets are masks, of the mask int[H, W], which gets the same draw."""

    what = "augmentation"
    package = "archforge.datasets.transforms"

    def apply(self, picture: Array, mask: Array | None, draw: Generator) -> tuple[Array, Array | None]:
        """The changed picture and mask."""
        raise NotImplementedError


class DataSettings(BaseModel):
    """The format of data and what is done to samples.

    Attributes:
    format: the format; None to recognise it.
    augment: changes of the samples that are trained on, in order.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    format: Format | None = None
    augment: tuple[Transform, ...] = ()
