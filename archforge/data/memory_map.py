"""Memory-mapped files: bytes are read on first access, and their memory can be released."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, BinaryIO

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["forget", "mapped"]


def mapped(file: BinaryIO) -> NDArray[np.uint8]:
    """The bytes of a file that is not empty, uint8[size], which cannot be written to."""
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def forget(array: Array) -> None:
    """Release the memory of contiguous elements that lie in a mapped file; they are read again on the next
    access. Does nothing for any other array, or where the system cannot."""
    owner: object = array
    while isinstance(owner, np.ndarray | memoryview):
        owner, whole = (owner.obj if isinstance(owner, memoryview) else owner.base), owner
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED") or not array.size:
        return
    begin = array.ctypes.data - np.asarray(whole).ctypes.data
    page = begin // mmap.PAGESIZE * mmap.PAGESIZE
    owner.madvise(mmap.MADV_DONTNEED, page, begin - page + array.nbytes)
