"""Digits that come with archforge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archforge.data.npy import read_npz
from archforge.data.opened_files import opened
from archforge.datasets.arrays import ArraySamples, Rows, target_rows
from archforge.datasets.base import AnyArray, Data, Format
from archforge.ops.lazy_numpy import np

__all__ = ["DIGITS", "DIGITS_RECIPE", "Digits"]

DIGITS = Path(__file__).parents[1] / "digits.npz"
SIDE = 8  # pixels
LEVELS = 16  # the largest count of a pixel

# The settings of a run on these digits, in the form of a spec's section `train`.
DIGITS_RECIPE: Mapping[str, Any] = {
    "data": {
        "format": "digits",
        "normalise": {"mean": 0.3, "std": 0.37},  # of the 8x8 pixels, which are between 0 and 1
        "convert_channels": True,
        "augment": [{"padded_crop": 2}],
    },
    "loss": "cross_entropy",
    "optimizer": {"sgd": {"lr": 0.02, "momentum": 0.9}},
    "schedule": [{"cosine": {"by": "updates"}}],
    "batch": 16,
    "epochs": 12,
    "validation": 0.2,
    "stratify": True,
}


class Digits(Format):
    """The 1,797 handwritten digits that are learned where no data are given: 8x8 counts from 0 to 16, here as
    pixels, each of which is made a square, as large as the network's input has room for, with a border of
    zeros. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, its part for testing,
    UCI Machine Learning Repository, 1998, doi:10.24432/C50P49, licence CC BY 4.0."""

    word = "digits"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return False

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        with opened(DIGITS, "file of digits") as file:
            arrays = read_npz(file, DIGITS, "file of digits")
        height, width = _room(shape)
        x = Rows.of(arrays["x"], "the digits")
        x = x.changed((len(x), height, width), x.dtype, lambda found: _enlarged(found, (height, width)))
        y = target_rows(arrays["y"], "their classes")
        return Data(ArraySamples("archforge's set of 1,797 digits", x, y, tuple("0123456789")))


def _room(shape: tuple[int, ...]) -> tuple[int, int]:
    """The height and width that an input of this shape has for a picture, 8x8 where it is for none."""
    sides = shape[1:] if len(shape) == 3 else (math.isqrt(shape[0]),) * 2 if len(shape) == 1 else ()
    return (sides[0], sides[1]) if sides and min(sides) >= SIDE else (SIDE, SIDE)


def _enlarged(counts: AnyArray, size: tuple[int, int]) -> AnyArray:
    """Counts uint8[N, 8, 8] as pixels uint8[N, *size]."""
    factor = min(size) // SIDE
    pixels = np.round(counts * (255 / LEVELS)).astype(np.uint8)
    large = np.repeat(np.repeat(pixels, factor, 1), factor, 2)
    borders = [(n - factor * SIDE) // 2 for n in size]
    result = np.zeros((len(counts), *size), np.uint8)
    top, left = borders
    result[:, top : top + large.shape[1], left : left + large.shape[2]] = large
    return result
