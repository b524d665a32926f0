"""Arrays in files: their names, shapes and dtypes are known from headers, their elements are read on use.

So nothing is read before its shape has been compared with what is wanted, and what a network does not need is
never read. A file must not change between one read and the next: a second one would mix two versions.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from archforge.data.opened_files import opened
from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["MOST_AXES", "FileVersion", "LazyArrays", "StoredArray", "are_sizes", "narrowed", "widened"]

MOST_AXES = 64  # those of NumPy
LARGEST = 1 << 62  # beyond any file, and within 64 bits


def are_sizes(numbers: Iterable[Any]) -> bool:
    """True for whole numbers that can be the sizes of axes, or bytes in a file."""
    return all(type(n) is int and 0 <= n < LARGEST for n in numbers)


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A file as it was when its header was read. `what` it is, for messages: `npz file of weights`."""

    path: Path
    what: str
    identity: tuple[int, int, int]

    @classmethod
    def of(cls, file: BinaryIO, path: Path, what: str) -> FileVersion:
        """The version that `file` is open at."""
        return cls(path.absolute(), what, _identity(file))

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.identity[1]

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the same version once more. Raises E0601 if the file has changed or is gone."""
        with opened(self.path, self.what, is_known=True) as file:
            if _identity(file) != self.identity:
                message = f"{self.path} has changed since its header was read"
                fail("E0601", message, help="begin again, with the file as it is now")
            yield file


def _identity(file: BinaryIO) -> tuple[int, int, int]:
    """Inode, size in bytes and time of the last change in nanoseconds."""
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True, eq=False)
class StoredArray:
    """An array in a file. `numpy.asarray` reads it; the rest costs nothing.

    dtype: that of its elements once read. stored_as: the name of their dtype in the file. read: takes the
    opened file.
    """

    file: FileVersion
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored_as: str
    read: Callable[[BinaryIO], Array]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def changed(self, shape: tuple[int, ...], change: Callable[[Array], Array]) -> StoredArray:
        """An array of this shape and the same dtype, that `change` makes of this one when it is read."""
        return replace(self, shape=shape, read=partial(_changed, self.read, change))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The elements. Raises E0601 if the file has changed since, or is damaged."""
        with self.file.opened() as file:
            array = self.read(file)
        return array.astype(array.dtype if dtype is None else dtype, copy=bool(copy))


def _changed(read: Callable[[BinaryIO], Array], change: Callable[[Array], Array], file: BinaryIO) -> Array:
    return np.ascontiguousarray(change(read(file)))


LazyArrays = Mapping[str, Array | StoredArray]


def widened(bits: Array) -> Array:
    """The float32 of the same values as bfloat16, the upper half of a float32, of which `bits` are uint16."""
    wide: Array = (bits.astype(np.uint32) << 16).view(np.float32)
    return wide


def narrowed(array: Array) -> Array:
    """The bits, uint16, of the nearest bfloat16 to each float32, of two the even one. NaN stays NaN."""
    bits = np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)
    half: Array = ((bits + (bits >> 16 & 1) + 0x7FFF) >> 16).astype(np.uint16)
    return half
