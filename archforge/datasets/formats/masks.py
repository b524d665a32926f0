"""Pictures with masks: the class of each pixel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from archforge.data.images import pillow
from archforge.datasets.base import AnyArray, Data, Format, Pair, Stored, Targets
from archforge.datasets.picture_files import (
    IMAGES,
    MASKS,
    PictureFiles,
    are_masked,
    pictures_within,
    place_of,
    split_folders,
    within,
)
from archforge.errors import fail, listed
from archforge.ir import by_x
from archforge.ops.lazy_numpy import np
from archforge.paths import is_folder

__all__ = ["Masks"]

# Words in which the names of a picture and of its mask may differ.
OF_MASKS = frozenset(("mask", "masks", "seg", "segmentation", "label", "labels", "gt", "trimap", "l"))
MaskValue = Annotated[int, Field(ge=0, le=65535, description="a whole number from 0 to 65535")]
OF_PICTURES = frozenset(("image", "img", "picture", "im"))


class Masks(Format):
    """Pictures with masks of the same size, grey or with a palette: a folder `images` with a folder `masks`,
    or one folder of both. Pairs have the same name but for its ending and for words such as `image`, `img`,
    `mask`, `seg`, `label` and `gt`: `a.jpg` and `a_mask.png`, `img_1.png` and `gt_1.png`. Where the folders
    lie in one called `train`, those of `val`, `valid`, `validation` or `test` beside it are held back. A mask
    is turned, cut and scaled as its picture is, by the nearest.

    Attributes:
    values: the values of a mask that stand for each class, in their order: `[0, 255]` makes 255 class 1,
      `[[2, 3], 1]` makes 2 and 3 class 0, and 1 class 1; a mask with another value is refused. Empty, values
      are numbers of classes.
    images: the folder of the pictures; empty for the usual names.
    masks: the folder of the masks; empty for the usual names.
    held_back: the folder that is held back, where there are several.
    """

    word = "masks"
    elsewhere = ("segmentation",)

    values: tuple[MaskValue | tuple[MaskValue, ...], ...] = ()
    images: str = ""
    masks: str = ""
    held_back: str = ""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return is_folder(path) and (are_masked(path) or _is_folder_of_both(path))

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        pillow()
        table = self._table()
        train, held_back = split_folders(path, self.held_back)
        return Data(
            self._samples(train or path, table), self._samples(held_back, table) if held_back else None
        )

    def _table(self) -> dict[int, int]:
        """The class of each value; empty where values are classes. Raises E0609 for one of two classes."""
        table: dict[int, int] = {}
        for number, values in enumerate(self.values):
            for value in values if isinstance(values, tuple) else (values,):
                if table.setdefault(value, number) != number:
                    message = f"the mask value {value} stands for two classes, {table[value]} and {number}"
                    fail("E0609", message, help="each value once in `values`")
        return table

    def _samples(self, root: Path, table: dict[int, int]) -> MaskedPictures:
        images = within(root, self.images) if self.images else place_of(root, IMAGES) or root
        masks = within(root, self.masks) if self.masks else place_of(root, MASKS) or root
        for folder in (images, masks):
            if not is_folder(folder):
                fail("E0601", f"there is no folder {folder}")
        if images == masks:
            files = pictures_within(root)
            found = [[p for p in files if _is_mask(p) == is_mask] for is_mask in (False, True)]
        else:
            found = [pictures_within(images), pictures_within(masks)]
        by_key = [_by_key(files) for files in found]
        missing = [
            [path for key, path in one.items() if key not in other] for one, other in (by_key, by_key[::-1])
        ]
        for what, files in zip(("mask", "picture"), missing, strict=True):
            if files:
                names = listed((path.name for path in files), 80)
                message = f"there is no {what} for {len(files):,} of the files in {root}: {names}"
                fail("E0601", message, help="a pair is called alike: a.jpg and a.png, or a_mask.png")
        if not by_key[0]:
            fail("E0601", f"{root} has no pictures with masks", help=f"{root}/images and {root}/masks")
        keys = list(by_key[0])
        pictures, targets = (PictureFiles(tuple(one[key] for key in keys)) for one in by_key)
        return MaskedPictures(root, pictures, targets, table, tuple(map(_name, self.values)))


class MaskedPictures:
    """Pictures with masks. table: the class of each value; empty where values are classes."""

    stored: Stored = "pictures"
    targets: Targets = "classes"
    labels = None

    def __init__(
        self,
        root: Path,
        pictures: PictureFiles,
        masks: PictureFiles,
        table: dict[int, int],
        classes: tuple[str, ...],
    ) -> None:
        self.root, self.pictures, self.masks = root, pictures, masks
        self.table, self.classes = table, classes

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def shape(self) -> tuple[int, ...] | None:
        return (3, *self.pictures.size) if self.pictures.size else None

    @property
    def target_shape(self) -> tuple[int, ...] | None:
        return self.masks.size

    @property
    def digest(self) -> str:
        return self.pictures.digest(self.root) + self.masks.digest(self.root)

    def __len__(self) -> int:
        return len(self.pictures.paths)

    def take(self, indices: AnyArray) -> Pair:
        x = [self.pictures.colours(int(i)) for i in indices]
        y = [self._mask(int(i)) for i in indices]
        for index, picture, mask in zip(indices, x, y, strict=True):
            self._refuse_sizes(int(index), picture.shape[1:], mask.shape)
        return Pair(x, y)

    def examine(self) -> None:
        """Compare the sizes in the headers of pictures and masks."""
        for index, size in self.pictures.sizes.items():
            self._refuse_sizes(index, size, self.masks.sizes[index])

    def _mask(self, index: int) -> AnyArray:
        values = self.masks.numbers(index)
        if not self.table:
            return values
        classes = np.full(max(int(values.max()), *self.table) + 1, -1)
        classes[list(self.table)] = list(self.table.values())
        mask: AnyArray = classes[values]
        if mask.min() < 0:
            value = int(values[mask < 0][0])
            help = f"values, with {value} in the list of a class; JPEG changes the values of masks"
            fail(
                "E0601",
                f"{self.masks.paths[index]} has the value {value}, which stands for no class",
                help=help,
            )
        return mask

    def _refuse_sizes(self, index: int, picture: tuple[int, ...], mask: tuple[int, ...]) -> None:
        if tuple(picture) != tuple(mask):
            files = self.pictures.paths[index], self.masks.paths[index]
            fail("E0601", f"{files[0]} is {by_x(picture)}, and its mask {files[1]} is {by_x(mask)}")


def _words(path: Path) -> list[str]:
    return re.split(r"[_\-. ]", path.stem.lower())


def _is_mask(path: Path) -> bool:
    return not OF_MASKS.isdisjoint(_words(path))


def _is_folder_of_both(path: Path) -> bool:
    files = pictures_within(path) if not any(entry.is_dir() for entry in path.iterdir()) else []
    return any(map(_is_mask, files)) and not all(map(_is_mask, files))


def _by_key(files: list[Path]) -> dict[str, Path]:
    """Files by the words of their names that a picture and its mask share. Raises E0601 for two of one."""
    found: dict[str, Path] = {}
    for path in files:
        key = "_".join(word for word in _words(path) if word not in OF_MASKS | OF_PICTURES)
        if found.setdefault(key, path) != path:
            fail("E0601", f"{found[key]} and {path} are of one name, and a picture has one mask")
    return found


def _name(values: int | tuple[int, ...]) -> str:
    return "+".join(map(str, values)) if isinstance(values, tuple) else str(values)
