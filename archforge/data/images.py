"""Pictures on disk as inputs of a network: read by Pillow, the extra `images`, cut and scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["IMAGE_SUFFIXES", "PREPROCESSINGS", "Preprocessing", "image_reader"]

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
CROPPED = 224 / 256  # of the shorter side, as torchvision and timm evaluate
MODES = {1: "L", 3: "RGB"}  # Pillow's, by channels


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preprocessing of pictures for a network: (pixel / 255 - mean) / std of each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def describe(self, size: tuple[int, int]) -> str:
        height, width = size
        steps = [
            f"shorter side to {round(min(size) / CROPPED)}",
            f"centre {height}x{width}",
            "values 0 to 1",
        ]
        if any(self.mean) or self.std != (1.0,) * len(self.std):
            steps.append(f"less {' '.join(map(str, self.mean))}, over {' '.join(map(str, self.std))}")
        return ", ".join(steps)


# Sources: torchvision.transforms._presets.ImageClassification; IMAGENET_INCEPTION_MEAN and _STD of timm.
PREPROCESSINGS: dict[str, Preprocessing | None] = {
    "imagenet": Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": Preprocessing((0.5,) * 3, (0.5,) * 3),
    "unit": Preprocessing((0.0,), (1.0,)),
    "none": None,  # pixels as they are, 0 to 255, the picture in its own size
}


def image_reader(shape: tuple[int, ...], preprocessing: Preprocessing | None) -> Callable[[Path], Array]:
    """A function that reads a picture as float32[C, H, W] for a network's input `shape`.

    Raises E0601 where Pillow is not installed, E0607 for an input that is no picture. The function itself
    raises E0601 for a file that it cannot read.
    """
    try:
        pillow, ops = import_module("PIL.Image"), import_module("PIL.ImageOps")
    except ImportError:
        fail(
            "E0601",
            "pictures need Pillow, which is not installed",
            help="pip install 'archforge-zoo[images]'",
        )
    if len(shape) != 3 or shape[0] not in MODES:
        fail("E0607", "the network's input is no picture of 1 or 3 channels", help="give it .npy files")

    def read(path: Path) -> Array:
        try:
            with pillow.open(path) as file:
                image = _in_mode(pillow, ops.exif_transpose(file), MODES[shape[0]])
                if preprocessing:
                    image = _cut(image, (shape[1], shape[2]), pillow.Resampling.BILINEAR)
                pixels: Array = np.asarray(image, np.float32)
        # Pillow's plugins raise what their formats bring up, bombs included.
        except Exception as error:  # noqa: BLE001
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            fail("E0601", f"cannot read {path}: {reason.splitlines()[0].lower()}")
        if preprocessing:
            pixels = (pixels / 255 - preprocessing.mean) / preprocessing.std
        by_channel = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(by_channel, np.float32)

    return read


def _in_mode(pillow: Any, image: Any, mode: str) -> Any:
    """The picture in grey or in colour, with 8 bits a channel."""
    if image.mode.startswith("I;16"):  # Pillow would clip
        image = pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert(mode)


def _cut(image: Any, size: tuple[int, int], filter: Any) -> Any:
    """The centre of the picture, (height, width), scaled so that the usual margin is left around it."""
    height, width = size
    # Rounded as torchvision's Resize and CenterCrop do.
    if image.height * width <= image.width * height:
        tall = round(height / CROPPED)
        wide = int(tall * image.width / image.height)
    else:
        wide = round(width / CROPPED)
        tall = int(wide * image.height / image.width)
    left, top = round((wide - width) / 2), round((tall - height) / 2)
    return image.resize((wide, tall), filter).crop((left, top, left + width, top + height))
