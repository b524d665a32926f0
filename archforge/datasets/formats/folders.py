"""Pictures in folders, one for each class."""

from __future__ import annotations

from pathlib import Path

from archforge.data.images import IMAGE_SUFFIXES, pillow
from archforge.datasets.base import AnyArray, Data, Format, Pair, Stored, Targets
from archforge.datasets.picture_files import (
    PictureFiles,
    are_masked,
    folders_of,
    pictures_within,
    split_folders,
)
from archforge.errors import Diagnostic, did_you_mean, fail, fail_all, listed
from archforge.ops.lazy_numpy import np
from archforge.paths import as_text, is_folder

__all__ = ["Folders"]


class Folders(Format):
    """Pictures by class: a folder for each class, in which all pictures count, those of folders within it
    too. The classes are numbered in the order of their names. Where the folders lie in one called `train`,
    those of `val`, `valid`, `validation` or `test` beside it are held back. Pictures are read in colour, in
    grey for a network of one channel. Source: torchvision.datasets.ImageFolder.

    Attributes:
    held_back: the folder that is held back, where there are several.
    """

    word = "folders"
    elsewhere = ("ImageFolder", "image_folder", "directory")

    held_back: str = ""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if not is_folder(path):
            return False
        return not are_masked(path) and any(_has_pictures(folder) for folder in folders_of(path))

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        pillow()
        train, held_back = split_folders(path, self.held_back)
        samples = _samples(train or path)
        return Data(samples, _samples(held_back, samples.classes) if held_back else None)


class ClassFolders:
    """Pictures with the classes that their folders stand for."""

    stored: Stored = "pictures"
    targets: Targets = "class"
    target_shape = ()

    def __init__(self, root: Path, classes: tuple[str, ...], files: PictureFiles, labels: AnyArray) -> None:
        self.root, self.classes, self.files, self.labels = root, classes, files, labels

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def shape(self) -> tuple[int, ...] | None:
        return (3, *self.files.size) if self.files.size else None

    @property
    def digest(self) -> str:
        return self.files.digest(self.root)

    def __len__(self) -> int:
        return len(self.files.paths)

    def take(self, indices: AnyArray) -> Pair:
        return Pair([self.files.colours(int(i)) for i in indices], self.labels[indices])

    def examine(self) -> None:
        """Read the headers of the pictures."""
        _ = self.files.sizes


def _samples(root: Path, classes: tuple[str, ...] = ()) -> ClassFolders:
    """The pictures of a folder, whose folders are the given classes or some of them, or the classes."""
    loose = [path.name for path in root.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if loose:
        message = f"{root} has pictures beside the folders of classes: {listed(loose, 80)}"
        fail("E0601", message, help="each picture lies in the folder of its class")
    found = {folder.name: pictures_within(folder) for folder in folders_of(root)}
    fail_all(
        Diagnostic("E0601", f"the class {root / name} has no picture", help=f"files that end in {_endings()}")
        for name, files in found.items()
        if not files
    )
    if not found:
        fail("E0601", f"{root} has no folders of classes", help=f"{root}/CLASS/PICTURE.png")
    known = classes or tuple(map(as_text, found))
    for name in found:
        if as_text(name) not in known:
            message = f"{root / name} is no class that is trained on"
            fail("E0601", message, help=did_you_mean(name, known, what="classes"))
    labels = [np.full(len(files), known.index(as_text(name)), np.int64) for name, files in found.items()]
    files = tuple(path for paths in found.values() for path in paths)
    return ClassFolders(root, known, PictureFiles(files), np.concatenate(labels))


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))


def _endings() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))
