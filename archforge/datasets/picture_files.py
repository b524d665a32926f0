"""Files of pictures and masks as samples, read when they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from archforge.data.images import IMAGE_SUFFIXES, in_mode, opened_picture, upright
from archforge.datasets.base import AnyArray
from archforge.errors import did_you_mean, fail, listed
from archforge.ops.lazy_numpy import np
from archforge.paths import is_folder

__all__ = [
    "PictureFiles",
    "are_masked",
    "folders_of",
    "pictures_within",
    "place_of",
    "split_folders",
    "within",
]

TRAIN = ("train", "training")
HELD_BACK = ("val", "valid", "validation", "test", "testing")
IMAGES = ("images", "image", "imgs", "img", "pictures", "x")
MASKS = ("masks", "mask", "annotations", "labels", "label", "segmentations", "trimaps", "gt", "y")
MOST_LOOKED_AT = 10_000  # files whose headers are read before a run, evenly chosen


class PictureFiles:
    """Files of pictures, in order."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths

    def colours(self, index: int) -> AnyArray:
        """A picture, uint8[3, H, W], grey ones with three equal channels. Raises E0601."""
        with opened_picture(self.paths[index]) as file:
            return np.asarray(in_mode(upright(file), "RGB")).transpose(2, 0, 1)

    def numbers(self, index: int) -> AnyArray:
        """A mask, int64[H, W]: its grey values, or the numbers of a palette of colours. Raises E0601."""
        path = self.paths[index]
        with opened_picture(path) as file:
            if file.mode not in ("1", "L", "P") and not file.mode.startswith("I;16"):
                help = "one number for each pixel: grey or with a palette, as PNG"
                fail("E0601", f"{path} is no mask: its pixels are {file.mode}", help=help)
            values = np.asarray(upright(file)).astype(np.int64)
            if file.mode != "P":
                return values
            palette = np.array(file.getpalette("RGB")).reshape(-1, 3)
            return palette[values, 0] if (palette == palette[:, :1]).all() else values

    @cached_property
    def sizes(self) -> Mapping[int, tuple[int, int]]:
        """Height and width of each picture by its number, or of some if there are many, from their headers
        alone. Raises E0601."""
        count = len(self.paths)
        some = {i * count // MOST_LOOKED_AT for i in range(MOST_LOOKED_AT)} if count > MOST_LOOKED_AT else ()
        return {index: self._size(index) for index in sorted(some) or range(count)}

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the pictures; None where they differ."""
        sizes = set(self.sizes.values())
        return sizes.pop() if len(sizes) == 1 else None

    def _size(self, index: int) -> tuple[int, int]:
        with opened_picture(self.paths[index]) as file:
            turned = file.getexif().get(ORIENTATION, 1) >= TURNED
            return (file.width, file.height) if turned else (file.height, file.width)

    def digest(self, root: Path) -> str:
        """A hash of their names within a folder and of their sizes."""
        hash = hashlib.sha256()
        for path in self.paths:
            name = os.fsencode(path.relative_to(root).as_posix())
            hash.update(b"%b\0%d\n" % (name, path.stat().st_size))
        return hash.hexdigest()


ORIENTATION = 0x0112  # EXIF's tag
TURNED = 5  # from here on width and height change places


def pictures_within(folder: Path) -> list[Path]:
    """The pictures of a folder and of those within it, by their names; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    visible = (p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return sorted(path for path in visible if not path.is_dir())  # a link to nothing is told when it is read


def folders_of(path: Path) -> list[Path]:
    """The folders in a folder by their names; hidden ones are left out."""
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def split_folders(path: Path, held_back: str = "") -> tuple[Path | None, Path | None]:
    """The folders to train on and held back, by their names; None where there is none. Raises E0601."""
    by_name = {folder.name.lower(): folder for folder in folders_of(path)}
    train = next((by_name[name] for name in TRAIN if name in by_name), None)
    if held_back:
        if not is_folder(within(path, held_back)):
            help = did_you_mean(held_back, [folder.name for folder in by_name.values()], what="folders")
            fail("E0601", f"{path} has no folder `{held_back}`", help=help)
        return train, path / held_back
    found = [by_name[name] for name in HELD_BACK if name in by_name]
    if train is None:
        if any(folders_of(folder) for folder in found):
            message = f"{path} has {listed(f.name for f in found)}, and no folder called train"
            fail("E0601", message, help="train beside it, or the path of the one to train on")
        return None, None
    if len(found) > 1:
        help = f"the setting `held_back` of the format: {found[0].name}"
        fail("E0601", f"{path} has {listed(f.name for f in found)}: one of them is held back", help=help)
    return train, found[0] if found else None


def within(folder: Path, name: str) -> Path:
    """The file or folder of this name within another. Raises E0609 for a name that leads out of it."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        fail("E0609", f"`{name}` leads out of {folder}", help="a name within the data")
    return folder / name


def place_of(root: Path, names: Sequence[str]) -> Path | None:
    """The folder within another that has one of the names, the first of them."""
    by_name = {folder.name.lower(): folder for folder in folders_of(root)}
    return next((by_name[name] for name in names if name in by_name), None)


def are_masked(path: Path) -> bool:
    """True if a folder, or the one in it to train on, has a folder of pictures and one of masks."""
    root = place_of(path, TRAIN) or path
    return place_of(root, IMAGES) is not None and place_of(root, MASKS) is not None
