"""Memory-mapped files: bytes are read on first access, and their memory can be released.

Nothing that stays may lie in a map: it changes with the file, and ends the process where that is cut short.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, BinaryIO

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["forget", "mapped", "unmapped"]


def mapped(file: BinaryIO, begin: int, size: int) -> NDArray[np.uint8]:
    """The `size` bytes of a file from `begin` on, uint8[size], at least one, which cannot be written to."""
    page = begin // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    region = mmap.mmap(file.fileno(), begin - page + size, access=mmap.ACCESS_READ, offset=page)
    return np.frombuffer(region, np.uint8)[begin - page :]


def unmapped(array: Array) -> Array:
    """The array itself, or a copy if its elements lie in a mapped file."""
    owner, _ = _owner(array)
    return array.copy() if isinstance(owner, mmap.mmap) else array


def forget(array: Array) -> None:
    """Release the memory of contiguous elements that lie in a mapped file; they are read again on the next
    access. Does nothing for any other array, or where the system cannot."""
    owner, whole = _owner(array)
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED") or not array.size:
        return
    begin = array.ctypes.data - np.asarray(whole).ctypes.data
    page = begin // mmap.PAGESIZE * mmap.PAGESIZE
    owner.madvise(mmap.MADV_DONTNEED, page, begin - page + array.nbytes)


def _owner(array: Array) -> tuple[object, object]:
    """The owner of an array's memory, and the view of all that it owns."""
    owner: object = array
    whole: object = array
    while isinstance(owner, np.ndarray | memoryview):
        owner, whole = (owner.obj if isinstance(owner, memoryview) else owner.base), owner
    return owner, whole
