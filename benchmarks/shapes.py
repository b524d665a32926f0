"""Pictures of discs, squares and triangles with their masks, as folders that `archforge train unet` reads.

    python benchmarks/shapes.py --out data/shapes

Each picture has one to four shapes of a colour each on a ground whose colour changes from corner to corner,
thin lines that belong to no shape, and noise. The mask is 255 on shapes and 0 elsewhere. A picture depends on
its split and its number alone: nothing is downloaded, and every run writes the same pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
LEAST_CONTRAST = 60  # between a shape's colour and what is under its middle, summed over red, green and blue
SPLITS = {"train": 1000, "val": 100}


def shapes(split: str, number: int) -> tuple[Image.Image, Image.Image]:
    """A picture in colour and its mask, both SIZE x SIZE."""
    rng = np.random.default_rng([sorted(SPLITS).index(split), number])
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    picture = Image.fromarray(corners).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    mask = Image.new("L", (SIZE, SIZE))
    for _ in range(rng.integers(1, 5)):
        middle = rng.uniform(16, SIZE - 16, 2)
        ground = np.array(picture.getpixel(tuple(middle.astype(int).tolist())))
        colour = rng.integers(0, 256, 3)
        while abs(colour - ground).sum() < LEAST_CONTRAST:
            colour = rng.integers(0, 256, 3)
        points = _outline(rng, *middle.tolist())
        ImageDraw.Draw(picture).polygon(points, fill=tuple(colour.tolist()))
        ImageDraw.Draw(mask).polygon(points, fill=255)
    for _ in range(rng.integers(0, 4)):
        ends = [tuple(end) for end in rng.integers(0, SIZE, (2, 2)).tolist()]
        ImageDraw.Draw(picture).line(ends, fill=tuple(rng.integers(0, 256, 3).tolist()))
    noisy = np.asarray(picture) + rng.normal(0, 12, (SIZE, SIZE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), mask


def _outline(rng: Any, x: float, y: float) -> list[tuple[float, float]]:
    """The corners of a disc (36 of them), a square or a triangle around (x, y), turned by any angle."""
    corners = rng.choice([36, 4, 3])
    radius, turn = rng.uniform(12, 32), rng.uniform(0, 2 * np.pi)
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    return [(x + radius * np.cos(a), y + radius * np.sin(a)) for a in angles.tolist()]


def main() -> None:
    """Write the folders `images` and `masks` of each split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("shapes"), help="the folder of both splits")
    out = parser.parse_args().out
    for split, count in SPLITS.items():
        for kind in ("images", "masks"):
            (out / split / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture, mask = shapes(split, number)
            picture.save(out / split / "images" / f"{number:03}.png")
            mask.save(out / split / "masks" / f"{number:03}.png")
        print(out / split, f"{count} pictures of {SIZE}x{SIZE}")


if __name__ == "__main__":
    main()
