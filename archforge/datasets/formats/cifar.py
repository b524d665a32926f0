"""CIFAR's binary files: records of a label, or two, and the pixels of a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from archforge.atomic_files import reason_of
from archforge.data.opened_files import opened
from archforge.datasets.arrays import ArraySamples, Rows
from archforge.datasets.base import AnyArray, Data, Format, Samples
from archforge.errors import fail
from archforge.ops.lazy_numpy import np
from archforge.paths import is_file, is_folder

__all__ = ["Cifar"]

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
PYTHON = re.compile(r"data_batch_\d|test_batch|train|test|batches\.meta|meta")
BINARY = (
    "the binary version of CIFAR, files that end in .bin; or in Python, if you trust these pickles: load "
    "them there, and numpy.savez('cifar.npz', x_train=..., y_train=..., x_test=..., y_test=...)"
)


class Kind(NamedTuple):
    """A kind of files: the patterns of its files to train on and of those held back, the classes of each of
    its labels, and the files of their names."""

    train: str
    held_back: str
    classes: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return len(self.classes) + PIXELS


KINDS = (
    Kind("data_batch_*.bin", "test_batch.bin", (10,), ("batches.meta.txt",)),
    Kind("train.bin", "test.bin", (20, 100), ("coarse_label_names.txt", "fine_label_names.txt")),
)


class Cifar(Format):
    """The binary version of CIFAR-10, `data_batch_1.bin` and so on with `test_batch.bin`, or of CIFAR-100,
    `train.bin` with `test.bin`, in a folder; or one file of records of CIFAR-10. Source:
    www.cs.toronto.edu/~kriz/cifar.html.

    Attributes:
    labels: the classes of CIFAR-100, its 100 fine or 20 coarse ones.
    """

    word = "cifar"
    elsewhere = ("CIFAR10", "CIFAR100")

    labels: Literal["fine", "coarse"] = "fine"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if is_folder(path):
            return any(any(path.glob(kind.train)) for kind in KINDS) or _is_python_version(path)
        return is_file(path) and path.suffix == ".bin" and _kind(path) is not None

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        if not is_folder(path):
            return Data(self._samples([path], _kind(path) or KINDS[0]))
        for kind in KINDS:
            train, held_back = (sorted(path.glob(pattern)) for pattern in (kind.train, kind.held_back))
            if train:
                return Data(self._samples(train, kind), self._samples(held_back, kind) if held_back else None)
        if _is_python_version(path):
            message = f"{path} holds the Python version of CIFAR: pickles, which are never executed here"
            fail("E0601", message, help=BINARY)
        fail("E0601", f"{path} holds no files of CIFAR", help="data_batch_1.bin, or train.bin")

    def _samples(self, files: Sequence[Path], kind: Kind) -> Samples:
        name = str(files[0] if len(files) == 1 else files[0].parent / kind.train)
        place = len(kind.classes) - 1 if self.labels == "fine" else 0
        counts = [_size(file, kind) // kind.record for file in files]
        number = sum(counts)
        records = cache(lambda: _records(files, counts, kind))
        x = Rows(name, (number, *SHAPE), np.dtype(np.uint8), lambda: _pixels(records(), len(kind.classes)))
        y = Rows(name, (number,), np.dtype(np.int64), lambda: records()[:, place].astype(np.int64))
        return ArraySamples(name, x, y, _names(files[0].parent / kind.names[place], kind.classes[place]))


def _kind(path: Path) -> Kind | None:
    """The kind of a single file, by its size."""
    size = path.stat().st_size
    return next((kind for kind in KINDS if size and size % kind.record == 0), None)


def _is_python_version(folder: Path) -> bool:
    files = {file.name for file in folder.iterdir()}
    return bool(files & {"batches.meta", "meta"}) and any(PYTHON.fullmatch(name) for name in files)


def _size(path: Path, kind: Kind) -> int:
    """Bytes of a file of records. Raises E0601 for one that does not end with a record."""
    try:
        size = path.stat().st_size
    except OSError as error:
        fail("E0601", f"cannot read {path}: {reason_of(error)}")
    if not size or size % kind.record:
        with opened(path, "file of CIFAR"):  # which knows other kinds of files
            pass
        message = f"{path} has {size:,} bytes, no multiple of the {kind.record:,} of a record of CIFAR"
        fail("E0601", message, help="it may be cut short, or of another kind")
    return size


def _records(files: Sequence[Path], counts: Sequence[int], kind: Kind) -> AnyArray:
    """The records of files, uint8[N, record]. Raises E0601 for a file that has changed, and wrong labels."""
    found = np.empty((sum(counts), kind.record), np.uint8)
    first = 0
    for path, count in zip(files, counts, strict=True):
        part = found[first : first + count]
        with opened(path, "file of CIFAR", is_known=True) as file:
            if file.readinto(part.reshape(-1)) != part.nbytes or file.read(1):  # type: ignore[attr-defined]
                raise ValueError("it has changed since its size was read")
        for place, classes in enumerate(kind.classes):
            wrong = np.flatnonzero(part[:, place] >= classes)
            if wrong.size:
                label = part[wrong[0], place]
                message = (
                    f"record {wrong[0]} of {path} has the label {label}, and there are {classes} classes"
                )
                fail("E0601", message, help="it may be of another kind")
        first += count
    return found


def _pixels(records: AnyArray, first: int) -> AnyArray:
    """The pictures in records, uint8[N, 3, 32, 32], which are not copied."""
    strides = (records.strides[0], 32 * 32, 32, 1)
    return np.lib.stride_tricks.as_strided(records[:, first:], (len(records), *SHAPE), strides)


def _names(path: Path, count: int) -> tuple[str, ...]:
    """The names of classes in a file beside the pictures, if it is there and has as many."""
    with suppress(OSError, UnicodeDecodeError):
        names = tuple(path.read_text("utf-8").split())
        if len(names) == count:
            return names
    return ()
