"""Pictures and masks in memory, scaled and made grey by the same code as pictures from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from archforge.data.images import pillow, scaled_centre
from archforge.data.preprocessing import Preprocessing
from archforge.datasets.base import AnyArray
from archforge.ops.lazy_numpy import np

__all__ = ["as_grey", "cut_and_scaled", "scaled"]

# ITU-R BT.601 in 16 bits, with which Pillow makes colours grey.
LUMA = (19595, 38470, 7471)


def as_grey(picture: AnyArray) -> AnyArray:
    """A picture [3, H, W] of bytes or floats as [1, H, W]."""
    if picture.dtype != np.uint8:
        weights = np.array(LUMA, picture.dtype) / picture.dtype.type(1 << 16)
        return np.tensordot(weights, picture, 1)[None]
    weighted = sum(channel.astype(np.uint32) * luma for channel, luma in zip(picture, LUMA, strict=True))
    return ((weighted + (1 << 15)) >> 16).astype(np.uint8)[None]  # type: ignore[no-any-return]


def scaled(
    picture: AnyArray, mask: AnyArray | None, size: tuple[int, int], recipe: Preprocessing
) -> tuple[AnyArray, AnyArray | None]:
    """The centre of a picture [C, H, W] and of its mask, scaled as the recipe says: the mask by nearest."""
    nearest = replace(recipe, interpolation="nearest")
    return (
        _each(picture, lambda image: scaled_centre(image, size, recipe)),
        None if mask is None else _mask(mask, lambda image: scaled_centre(image, size, nearest)),
    )


def cut_and_scaled(
    picture: AnyArray,
    mask: AnyArray | None,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    interpolation: str,
) -> tuple[AnyArray, AnyArray | None]:
    """The part of a picture [C, H, W] and of its mask that `box` says, (top, left, height, width), scaled to
    `size`, the mask by the nearest."""
    top, left, height, width = box
    filters = pillow().Resampling

    def at(image: Any, name: str) -> Any:
        return image.resize((size[1], size[0]), filters[name.upper()])

    cut = picture[:, top : top + height, left : left + width]
    part = None if mask is None else mask[top : top + height, left : left + width]
    return (
        _each(cut, lambda image: at(image, interpolation)),
        None if part is None else _mask(part, lambda image: at(image, "nearest")),
    )


def _each(picture: AnyArray, change: Callable[[Any], Any]) -> AnyArray:
    """The picture whose channels, as Pillow's pictures, are changed: all at once where they are colours."""
    image = pillow()
    if picture.dtype == np.uint8 and len(picture) == 3:
        colours = np.asarray(change(image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))))
        return colours.transpose(2, 0, 1)
    return np.stack([np.asarray(change(image.fromarray(np.ascontiguousarray(c)))) for c in picture])


def _mask(mask: AnyArray, change: Callable[[Any], Any]) -> AnyArray:
    changed = change(pillow().fromarray(mask.astype(np.int32)))
    return np.asarray(changed).astype(np.int64)
