"""Recipes of preprocessing: how a picture is scaled, cut and made numbers for a network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

__all__ = [
    "DEFAULT_CROP",
    "INTERPOLATIONS",
    "PIXEL_VALUES",
    "SHARE",
    "Interpolation",
    "PixelValues",
    "Preprocessing",
    "share_of",
]

# The filters, by the names of Pillow, torchvision and timm; all but `nearest` smooth what they shrink.
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)
# Sources: torchvision.transforms._presets.ImageClassification, 224 of 256; timm's DEFAULT_CROP_PCT.
DEFAULT_CROP = Fraction(7, 8)

SHARE = r"\d{1,6}(\.\d{1,9})?(/\d{1,6})?"  # short enough that no arithmetic with it takes long


def share_of(text: str) -> Fraction | None:
    """The share of a side that `text` says, as in 0.95 or 224/232; None unless it is above 0, at most 1."""
    if not re.fullmatch(SHARE, text, re.ASCII):
        return None
    above, below = (Fraction(part or 1) for part in text.partition("/")[::2])
    return above / below if 0 < above <= below else None


class PixelValues(NamedTuple):
    """The numbers that a network takes for pixels of 0 to 255: (pixel / scale - mean) / std of each channel.

    mean, std: for all channels or one for each, in the network's order. bgr: blue comes first.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 255.0
    bgr: bool = False

    def fits(self, channels: int) -> bool:
        """True if a picture of so many channels has a mean and a deviation for each of them."""
        return {len(self.mean), len(self.std)} <= {1, channels} and (channels == 3 or not self.bgr)

    def words(self) -> list[str]:
        """The steps in words."""
        steps = ["values 0 to 255" if self.scale == 1 else f"values over {self.scale:g}"]
        if self.scale == 255:
            steps = ["values 0 to 1"]
        if self.bgr:
            steps.append("blue first")
        if any(self.mean):
            steps.append(f"less {' '.join(f'{m:g}' for m in self.mean)}")
        if set(self.std) != {1.0}:
            steps.append(f"over {' '.join(f'{s:g}' for s in self.std)}")
        return steps


# Sources: torchvision.transforms._presets.ImageClassification; IMAGENET_INCEPTION_MEAN and _STD of timm;
# keras.applications.imagenet_utils.preprocess_input, mode "caffe", of networks trained in Caffe.
PIXEL_VALUES = {
    "imagenet": PixelValues((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": PixelValues((0.5,), (0.5,)),
    "caffe": PixelValues((103.939, 116.779, 123.68), scale=1.0, bgr=True),
    "unit": PixelValues(),
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """A recipe that makes a picture an input of any size (height, width) of a network.

    The picture is scaled so that the centre of the input's size is the share `crop_pct` of it: by default
    the shorter side, of which 7/8 are kept unless said otherwise; if `exact`, each side, which is kept whole.
    `values` is a name in `PIXEL_VALUES` or the numbers themselves; empty, it is `imagenet` for colours and
    `unit` for grey. `source` says who prescribes the recipe.
    """

    values: str | PixelValues = ""
    crop_pct: Fraction | None = None
    exact: bool = False
    interpolation: str = "bilinear"
    source: str = ""

    @property
    def kept(self) -> Fraction:
        """The share of the scaled picture that is kept, along a side that decides."""
        return self.crop_pct or (Fraction(1) if self.exact else DEFAULT_CROP)

    def pixel_values(self, channels: int) -> PixelValues:
        """The numbers for pixels of so many channels."""
        if isinstance(self.values, PixelValues):
            return self.values
        return PIXEL_VALUES[self.values or ("imagenet" if channels == 3 else "unit")]

    def resized(self, picture: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """The height and width that a picture is scaled to, before its centre of `size` is cut.

        Sources of the roundings: torchvision.transforms.functional, `_compute_resized_output_size`;
        timm.data.transforms_factory, `transforms_imagenet_eval`, and for inputs that are not square
        timm.data.transforms.ResizeKeepRatio.
        """
        target = (math.floor(size[0] / self.kept), math.floor(size[1] / self.kept))
        if self.exact:
            return target
        height, width = picture
        if target[0] != target[1]:
            ratio = min(height / target[0], width / target[1])
            return round(height / ratio), round(width / ratio)
        side = target[0]
        if height <= width:
            return side, int(side * width / height)
        return int(side * height / width), side

    def describe(self, shape: tuple[int, ...]) -> str:
        """The steps in words, for an input of this shape, channels first."""
        channels, height, width = shape
        return ", ".join([*self.scaling((height, width)), *self.pixel_values(channels).words()])

    def scaling(self, size: tuple[int, int]) -> list[str]:
        """The steps in words up to a picture of this height and width."""
        height, width = size
        tall, wide = (math.floor(n / self.kept) for n in (height, width))
        sides = f"{tall}x{wide}" if self.exact or tall != wide else f"shorter side {tall}"
        steps = [f"scaled to {sides}, {self.interpolation}"]
        if (self.exact, tall, wide) != (True, height, width):
            steps.append(f"centre {height}x{width}")
        return steps
