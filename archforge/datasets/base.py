"""Samples, splits, and formats of data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from archforge.data.preprocessing import Interpolation
from archforge.ops.base import Flag
from archforge.parts import Part

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]  # of bytes, whole numbers or floats
else:
    AnyArray = Any

__all__ = [
    "AnyArray",
    "Data",
    "DataSettings",
    "Format",
    "Normalise",
    "Pair",
    "Samples",
    "Stored",
    "Targets",
    "Transform",
]

# `class`: the number of a class, int64[N]. `classes`: one for each place, int64[N, *places], as masks and
# texts have them. `values`: float32[N, *shape].
Targets = Literal["class", "classes", "values"]
# `pictures`: uint8[3, H, W] of files, made grey for a network of one channel. `pixels`: uint8[*shape], from 0
# to 255. `values`: float32[*shape].
Stored = Literal["pictures", "pixels", "values"]


class Pair(NamedTuple):
    """Inputs and their targets, one of each sample: arrays whose first axis counts them, or lists of arrays
    where their shapes differ."""

    x: Any
    y: Any


class Samples(Protocol):
    """Samples by number, read when they are asked for; threads may ask together."""

    @property
    def name(self) -> str:
        """A name for messages: a file, a folder, or words."""
        ...

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of an input, channels first; None where they differ."""
        ...

    @property
    def stored(self) -> Stored:
        """The kind of inputs."""
        ...

    @property
    def targets(self) -> Targets:
        """The kind of targets."""
        ...

    @property
    def target_shape(self) -> tuple[int, ...] | None:
        """The shape of a target; None where they differ."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by their numbers; empty where the data have none."""
        ...

    @property
    def labels(self) -> AnyArray | None:
        """The class of each sample, int64[len]; None where targets are no classes of whole samples."""
        ...

    @property
    def digest(self) -> str:
        """A hash of what tells that samples are the same: their bytes, or the names and sizes of files."""
        ...

    def __len__(self) -> int: ...

    def take(self, indices: AnyArray) -> Pair:
        """The samples of these numbers, as they are stored. Raises E0601 where one cannot be read."""
        ...

    def examine(self) -> None:
        """Look at what can be seen of all samples without reading them whole. Raises E0601."""
        ...


class Data(NamedTuple):
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

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        """The samples of a file or folder, for a network whose input has this shape. Raises E0601 with what
        is wrong and a way out."""
        raise NotImplementedError


class Transform(Part):
    """A change of a sample, drawn anew each time: of a picture [C, H, W] of bytes or floats, before it is
    normalised, and, where targets are masks, of the mask int64[H, W], which gets the same draw.

    gives_size: pictures of any size end as large as the network's input, so that nothing scales them before.
    """

    what = "augmentation"
    package = "archforge.datasets.transforms"
    gives_size: ClassVar[bool] = False

    def apply(
        self, picture: AnyArray, mask: AnyArray | None, size: tuple[int, int], draw: Generator
    ) -> tuple[AnyArray, AnyArray | None]:
        """The changed picture and mask. size: height and width of the network's input."""
        raise NotImplementedError


# As in a profile's `preprocess`, larger ones are no numbers of pixels, and float32 has smaller ones as 0.
Mean = Annotated[float, Field(ge=-1e6, le=1e6, description="a number from -1e6 to 1e6")]
Deviation = Annotated[float, Field(ge=1e-6, le=1e6, description="a number from 1e-6 to 1e6")]


class Normalise(BaseModel):
    """The numbers that a network takes for pixels from 0 to 1, or for values: (x - mean) / std.

    Attributes:
    mean: what is subtracted, from all channels or from each.
    std: what it is divided by, for all channels or for each.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    mean: Mean | tuple[Mean, ...] = 0.0
    std: Deviation | tuple[Deviation, ...] = 1.0


class DataSettings(BaseModel):
    """The format of data and what is done to samples.

    Attributes:
    format: the format; where none is given, it is told by what lies there.
    resize: how pictures become as large as the input: `exact` scales both sides, each by itself, `shorter`
      the shorter side, of which the middle is cut. Where none is given it is the profile's `preprocess`, and
      where that has none, pictures of other sizes are refused.
    interpolation: the filter of `resize`; masks are always scaled by the nearest.
    normalise: the numbers for pixels. Where none are given they are as in `archforge run`: those of the
      profile's `preprocess`, else those of ImageNet for colours, and 0 to 1 for others. Values that are
      floats already are left as they are.
    convert_channels: grey pictures are given to each channel of a network for colours, and colours are made
      grey for a network of one channel; otherwise they are refused.
    augment: changes of the samples that are trained on, in order.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    format: Format | None = None
    resize: Annotated[Literal["exact", "shorter"], Field(description="`exact` or `shorter`")] | None = None
    interpolation: Interpolation | None = None
    normalise: Normalise | None = None
    convert_channels: Flag = False
    augment: tuple[Transform, ...] = ()
