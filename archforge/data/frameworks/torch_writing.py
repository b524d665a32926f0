"""Files of torch.save, written without torch: a state dict in the zip archive that torch makes since 1.6.

`torch.load` with `weights_only=True` takes them, and a module of these names loads them with `strict=True`.
Source: torch/serialization.py, and torch/_utils.py for `_rebuild_tensor_v2`; opcodes of pickle's protocol 2.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

from archforge.data.frameworks import COUNTER
from archforge.data.stored_arrays import LazyArrays, StoredArray
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["with_counters", "write_torch"]

FOLDER = "archive"  # that all members are in
VERSION = 2  # of torchvision.models.MNASNet; the second has a stem as wide as the rest
VARIANCE = ".running_var"  # the last array of a batch norm before its counter
STORAGES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage",
    "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage",
    "bool": "BoolStorage",
}  # fmt: skip


def write_torch(file: BinaryIO, arrays: LazyArrays) -> None:
    """Write arrays by name as a state dict, the same bytes each time, with counters of batches. Raises
    ValueError for a dtype that torch has no storage for."""
    held = dict(with_counters(arrays))
    for name, array in held.items():
        if array.dtype.name not in STORAGES:
            raise ValueError(f"`{name}` is {array.dtype}, which torch has no storage for")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _pickled(held))
        _add(archive, "byteorder", b"little")
        for index, given in enumerate(held.values()):
            array = np.asarray(given)
            _add(archive, f"data/{index}", array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    with archive.open(zipfile.ZipInfo(f"{FOLDER}/{name}"), "w", force_zip64=True) as member:
        member.write(content)


def with_counters(arrays: LazyArrays) -> Iterator[tuple[str, Array | StoredArray]]:
    """The arrays, and behind those of a batch norm its counter of batches, which torch has: 0."""
    for name, array in arrays.items():
        yield name, array
        counter = name.removesuffix(VARIANCE) + COUNTER
        if name.endswith(VARIANCE) and counter not in arrays:
            yield counter, np.zeros((), np.int64)


# A pickle, opcode by opcode: Python's own pickler would need the functions that it names.


def _pickled(arrays: LazyArrays) -> bytes:
    """The pickle of an ordered dict of tensors, each the whole of the storage with its number."""
    items = b"".join(
        _text(name) + _tensor(index, array) for index, (name, array) in enumerate(arrays.items())
    )
    state = _EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    return pickle.PROTO + b"\x02" + state + _attributes() + pickle.STOP


def _attributes() -> bytes:
    """The attribute of a state dict that says in which version of its class each module is. torchvision's
    MNASNet alone, the whole module, refuses to load without one."""
    version = pickle.EMPTY_DICT + _text("version") + _int(VERSION) + pickle.SETITEM
    metadata = _EMPTY_DICT + _text("") + version + pickle.SETITEM
    return pickle.EMPTY_DICT + _text("_metadata") + metadata + pickle.SETITEM + pickle.BUILD


def _tensor(index: int, array: Array | StoredArray) -> bytes:
    """A call of `_rebuild_tensor_v2`: storage, offset, shape, strides in elements, requires_grad, hooks."""
    size = math.prod(array.shape)
    kind = _name("torch", STORAGES[array.dtype.name])
    storage = _tuple(_text("storage"), kind, _text(str(index)), _text("cpu"), _int(size)) + pickle.BINPERSID
    strides = [*accumulate(array.shape[:0:-1], lambda a, b: a * b, initial=1)][::-1] if array.shape else []
    sizes = [_tuple(*map(_int, numbers)) for numbers in (array.shape, strides)]
    given = _tuple(storage, _int(0), *sizes, pickle.NEWFALSE, _EMPTY_DICT)
    return _name("torch._utils", "_rebuild_tensor_v2") + given + pickle.REDUCE


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE


def _int(number: int) -> bytes:
    return pickle.LONG1 + b"\x08" + number.to_bytes(8, "little", signed=True)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return pickle.BINUNICODE + len(encoded).to_bytes(4, "little") + encoded


_EMPTY_DICT = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
