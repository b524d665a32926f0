"""docs/pictures: the pictures of docs/pictures.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from archforge import driver
from archforge.export.svg import drawn
from archforge.export.target import DrawingOptions, Level

__all__ = ["PICTURES"]


def _picture(spec: str, profile: str | None = None, level: Level = Level.BLOCK) -> str:
    return drawn(driver.load(spec, profile), DrawingOptions(level)).text


# By the name of the file.
PICTURES: Mapping[str, Callable[[], str]] = {
    "inception_a.svg": partial(_picture, "inception_v3:a", level=Level.LAYER),
    "resnet_50.svg": partial(_picture, "resnet_50", "torchvision"),
    "unet.svg": partial(_picture, "unet"),
}
