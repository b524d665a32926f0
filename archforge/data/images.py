"""Pictures on disk as inputs of a network: read by Pillow, the extra `images`, scaled, cut and made numbers.

What a picture means is the same for every format: it is turned as its EXIF data says, of several frames the
first one counts, transparency is left out and shows the colours below it, and 16 bits a channel become the
upper 8. A picture of more than 8 bits whose range no format says (32-bit integers and floats) is refused.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from archforge.data.opened_files import refuse_other_kinds
from archforge.data.preprocessing import Preprocessing
from archforge.errors import DiagnosticError, fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "image_reader",
    "in_mode",
    "opened_picture",
    "pillow",
    "scaled_centre",
    "upright",
]

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
# Of Pillow's formats; its others are read by rarer code, or start other programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
MODES = {1: "L", 3: "RGB"}  # Pillow's, by channels
# Pillow's modes of at most 8 bits a channel, which its `convert` makes grey or colours.
CONVERTIBLE = frozenset(
    ("1", "L", "P", "RGB", "LA", "La", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
)
MAX_PIXELS = 100_000_000  # of a picture; 300 MB as colours
# Above so many pixels of the whole scaled picture only the part that is kept is scaled.
MAX_SCALED = 2**24
REACH = 4  # pixels on each side that a filter looks at, at most; lanczos has 3

_opening = threading.Lock()  # which warnings are shown is one setting of the process


def image_reader(shape: tuple[int, ...], preprocessing: Preprocessing | None) -> Callable[[Path], Array]:
    """A function that reads a picture as float32[C, H, W] for a network's input `shape`.

    Without preprocessing it has its own size and pixels of 0 to 255. Raises E0601 where Pillow is not
    installed, E0607 for an input that is no picture. The function itself raises E0601 for a file that it
    cannot read.
    """
    pillow()
    if len(shape) != 3 or shape[0] not in MODES:
        fail("E0607", "the network's input is no picture of 1 or 3 channels", help="give it .npy files")
    mode = MODES[shape[0]]

    def read(path: Path) -> Array:
        with opened_picture(path) as file:
            image = in_mode(upright(file), mode)
            if preprocessing:
                image = scaled_centre(image, (shape[1], shape[2]), preprocessing)
            pixels: Array = np.asarray(image, np.float32)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if preprocessing:
            values = preprocessing.pixel_values(shape[0])
            ordered = pixels[..., ::-1] if values.bgr else pixels
            pixels = (ordered / values.scale - values.mean) / values.std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)

    return read


def pillow() -> Any:
    """Pillow's module `Image`. Raises E0601 where it is not installed."""
    try:
        return import_module("PIL.Image")
    except ImportError:
        fail(
            "E0601",
            "pictures need Pillow, which is not installed",
            help="pip install 'archforge-zoo[images]'",
        )


@contextmanager
def opened_picture(path: Path) -> Iterator[Any]:
    """A picture of Pillow's whose header is read and whose size is known to be allowed. Raises E0601, also
    for what Pillow raises meanwhile."""
    refuse_other_kinds(path, "picture")
    try:
        with _opened(path) as file:
            _check(file, path)
            yield file
    except DiagnosticError:
        raise
    # Pillow's plugins raise what their formats bring up.
    except Exception as error:  # noqa: BLE001
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        fail("E0601", f"cannot read {path}: {reason.splitlines()[0].lower()}")


def _opened(path: Path) -> Any:
    """The file with its header read. Its size is checked later, so Pillow's warning of it is not shown."""
    image = pillow()
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", image.DecompressionBombWarning)
        return image.open(path, formats=FORMATS)


def upright(image: Any) -> Any:
    """The picture turned as its EXIF data says."""
    return import_module("PIL.ImageOps").exif_transpose(image)


def _check(image: Any, path: Path) -> None:
    """Raises E0601 for a picture that is empty, too large, or whose pixels have no known range."""
    if not image.width or not image.height:
        fail("E0601", f"{path} has no pixels: it is {image.height}x{image.width}")
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.height}x{image.width}"
        fail(
            "E0601",
            f"{path} is {size}, and pictures have at most {MAX_PIXELS:,} pixels",
            help="scale it down",
        )
    if image.mode not in CONVERTIBLE and not image.mode.startswith("I;16"):
        fail(
            "E0601",
            f"{path} has pixels of mode `{image.mode}`, not made grey or coloured without a guess",
            help="save it with 8 or 16 bits a channel, or give the network's input as an .npy file",
        )


def in_mode(image: Any, mode: str) -> Any:
    """The picture in grey, `L`, or in colour, `RGB`, with 8 bits a channel."""
    if image.mode.startswith("I;16"):  # Pillow would clip
        image = pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # which Pillow would warn of leaving out
    return image.convert(mode)


def scaled_centre(image: Any, size: tuple[int, int], preprocessing: Preprocessing) -> Any:
    """The centre of a picture of Pillow's, (height, width), scaled as the recipe says."""
    height, width = size
    tall, wide = preprocessing.resized((image.height, image.width), size)
    # Rounded as torchvision's CenterCrop does.
    left, top = round((wide - width) / 2), round((tall - height) / 2)
    filter = pillow().Resampling[preprocessing.interpolation.upper()]
    if wide * tall <= MAX_SCALED:
        return image.resize((wide, tall), filter).crop((left, top, left + width, top + height))
    # The part that is kept and what its filter reaches, so that its place is a small number: Pillow rounds
    # places to 24 bits.
    x, y = image.width / wide, image.height / tall  # pixels of the picture in one of the scaled one
    x_reach, y_reach = (math.ceil(REACH * max(scale, 1)) for scale in (x, y))
    first = (max(math.floor(left * x) - x_reach, 0), max(math.floor(top * y) - y_reach, 0))
    last = (
        min(math.ceil((left + width) * x) + x_reach, image.width),
        min(math.ceil((top + height) * y) + y_reach, image.height),
    )
    box = (
        left * x - first[0],
        top * y - first[1],
        (left + width) * x - first[0],
        (top + height) * y - first[1],
    )
    return image.crop((*first, *last)).resize((width, height), filter, box)
