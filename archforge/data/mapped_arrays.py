"""Arrays whose elements lie in a file as they are: in C order, one behind the other."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from archforge.data.memory_map import mapped
from archforge.data.stored_arrays import FileVersion, StoredArray, widened
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["Elements", "mapped_array"]


class Elements(NamedTuple):
    """Dtype of elements in a file. name: for messages. code: NumPy's for what lies there, `<f4`; of bfloat16
    its bits, `<u2`; empty where NumPy has none."""

    name: str
    code: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of the elements once read: float32 for bfloat16, that of raw bytes where there is
        none."""
        return np.dtype(np.float32) if self.name == "bfloat16" else np.dtype(self.code or "V")

    def decoded(self, bits: Array) -> Array:
        """The numbers of which `bits` lay in the file; bfloat16 is widened."""
        return widened(np.asarray(bits, np.uint16, order="C")) if self.name == "bfloat16" else bits


def mapped_array(
    file: FileVersion, name: str, shape: tuple[int, ...], elements: Elements, begin: int
) -> StoredArray:
    """The array `name`, whose elements begin at a byte of the file. Reading it raises ValueError for a dtype
    that NumPy lacks."""
    read = partial(_read, name, shape, elements, begin)
    return StoredArray(file, shape, elements.dtype, elements.name, read)


def _read(name: str, shape: tuple[int, ...], elements: Elements, begin: int, file: BinaryIO) -> Array:
    if not elements.code:
        raise ValueError(f"`{name}` has the dtype {elements.name}, which NumPy cannot hold")
    dtype = np.dtype(elements.code)
    size = math.prod(shape) * dtype.itemsize
    if not size:
        return np.empty(shape, elements.dtype)
    return elements.decoded(mapped(file, begin, size).view(dtype).reshape(shape))
