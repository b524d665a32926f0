"""NumPy's formats: .npy, one array behind a header, and .npz, a zip archive of such files.

Source: numpy.lib.format and the zip format. The sizes that headers promise are compared with those of the
file before anything is read. Python objects, which NumPy would unpickle, are never read.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

from archforge.data.opened_files import DEFLATED
from archforge.data.stored_arrays import FileVersion, StoredArray, widened
from archforge.data.zip_members import content_at
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["read_npy", "read_npz"]

LONGEST = 10_000  # bytes of a header; NumPy's own limit for files that are not trusted
ENDING = ".npy"


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """A header of the .npy format, which is `length` bytes long."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    length: int

    @classmethod
    def read(cls, file: IO[bytes]) -> NpyHeader:
        """The header that a file begins with. Raises ValueError, and what NumPy raises for others."""
        head = io.BytesIO(file.read(LONGEST))
        major, _ = np.lib.format.read_magic(head)
        if major not in (1, 2, 3):
            raise ValueError(f"its version of the format is {major}")
        # Version 3 is 2 with names in UTF-8, which only records have.
        reader = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = reader(head)
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"its shape is {shape}")
        return cls(shape, is_fortran, dtype, head.tell())

    @property
    def end(self) -> int:
        """Bytes of header and elements together."""
        return self.length + math.prod(self.shape) * self.dtype.itemsize

    def array(self, file: Any) -> Array:
        """The array behind the header. Raises ValueError for fewer bytes than it promises."""
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects, and pickles are never executed")
        file.read(self.length)
        flat = np.empty(math.prod(self.shape), self.dtype)
        rest: Any = memoryview(flat.view(np.uint8)) if flat.nbytes else b""  # type: ignore[arg-type]
        while rest:
            count = file.readinto(rest)
            if not count:
                raise ValueError(f"{len(rest)} bytes of it are missing")
            rest = rest[count:]
        array: Array = flat.reshape(self.shape, order="F" if self.is_fortran else "C")
        return widened(array.view(np.uint16)) if self._is_bfloat16 else array

    def stored(self, file: FileVersion, read: partial[Array]) -> StoredArray:
        """The array as one of a file, which `read` reads."""
        if self._is_bfloat16:
            return StoredArray(file, self.shape, np.dtype(np.float32), "bfloat16", read)
        return StoredArray(file, self.shape, self.dtype, str(self.dtype), read)

    @property
    def _is_bfloat16(self) -> bool:
        """True for two bytes without a name, which is how NumPy writes bfloat16 and nothing else."""
        return self.dtype.kind == "V" and self.dtype.itemsize == 2 and self.dtype.names is None


def read_npy(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The one array of an .npy file, by an empty name. Raises ValueError and what NumPy raises."""
    header, version = NpyHeader.read(file), FileVersion.of(file, path, what)
    if not header.dtype.hasobject and header.end > version.size:
        raise ValueError(f"its header describes {header.end} bytes, the file has {version.size}")
    return {"": header.stored(version, partial(_read_whole, header))}


def _read_whole(header: NpyHeader, file: BinaryIO) -> Array:
    return header.array(file)


def read_npz(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays of an .npz file by name. Raises ValueError, and what zipfile and NumPy raise."""
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no zip archive")
    version = FileVersion.of(file, path, what)
    found: dict[str, StoredArray] = {}
    with zipfile.ZipFile(file) as archive:
        for member in _members(archive):
            name = member.filename.removesuffix(ENDING)
            if name in found:
                raise ValueError(f"two of its arrays are called `{name}`")
            _check_sizes(member, version.size)
            with archive.open(member) as content:
                header = NpyHeader.read(content)
            if not header.dtype.hasobject and header.end != member.file_size:
                raise ValueError(
                    f"`{name}` takes {member.file_size} bytes, its header describes {header.end}"
                )
            found[name] = header.stored(version, partial(_read_member, header, member))
    return found


def _members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The members that are no folders. Raises ValueError for one that is no array."""
    for member in archive.infolist():
        if member.is_dir():
            continue
        if not member.filename.endswith(ENDING):
            raise ValueError(f"its member `{member.filename}` is no {ENDING} file")
        yield member


def _check_sizes(member: zipfile.ZipInfo, file_size: int) -> None:
    """Raises ValueError for a member whose sizes cannot be, before memory is made for them."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"`{member.filename}` is compressed as NumPy never does")
    most = member.compress_size * (1 if member.compress_type == zipfile.ZIP_STORED else DEFLATED)
    if member.file_size > most or member.compress_size > file_size:
        raise ValueError(f"`{member.filename}` is said to take {member.file_size} bytes")


def _read_member(header: NpyHeader, member: zipfile.ZipInfo, file: BinaryIO) -> Array:
    """An array of an .npz file."""
    content_at(file, member)
    with zipfile.ZipExtFile(file, "r", member) as content:
        array = header.array(content)
        content.read(1)  # so that the checksum is compared
        return array
