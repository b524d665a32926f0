"""The safetensors format: 8 bytes of header length, a JSON header, the arrays' bytes end to end.

Source: https://github.com/huggingface/safetensors, section "Format". Written here because a network's
weights should not need another package, and because NumPy has no bfloat16, which this widens. An array of a
dtype that NumPy lacks can be there, but not be read.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from archforge.data.mapped_arrays import Elements, mapped_array
from archforge.data.stored_arrays import MOST_AXES, FileVersion, LazyArrays, StoredArray, are_sizes
from archforge.json_text import unique
from archforge.ops.lazy_numpy import np

__all__ = ["read_metadata", "read_safetensors", "write_safetensors"]

HEADER_LIMIT = 100_000_000  # bytes; the limit of the reference implementation
METADATA = "__metadata__"  # the name of the header's texts, which is no array's

# What lies in the file: of bfloat16 the bits.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {code: name for name, code in _DTYPES.items() if name != "BF16"}


def read_safetensors(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays of a file by name, in the order of their data; bfloat16 becomes float32.

    Raises ValueError if malformed.
    """
    version = FileVersion.of(file, path, what)
    size = version.size
    header, _, start = _read_header(file, size)
    entries = sorted((_entry(name, fields) for name, fields in header.items()), key=lambda e: e.begin)
    position = 0
    for entry in entries:
        if entry.begin != position:
            raise ValueError(f"the data of `{entry.name}` starts at byte {entry.begin}, expected {position}")
        position = entry.end
    if start + position != size:
        raise ValueError(f"the header describes {start + position} bytes, the file has {size}")
    return {entry.name: entry.stored(version, start) for entry in entries}


def read_metadata(file: BinaryIO) -> dict[str, str]:
    """The texts by name that the header holds besides the arrays. Raises ValueError if malformed."""
    _, texts, _ = _read_header(file, os.fstat(file.fileno()).st_size)
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f"its `{METADATA}` are no texts by name")
    return texts


def write_safetensors(
    file: BinaryIO, arrays: LazyArrays, texts: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write arrays in their order, and texts by name into the header. Raises ValueError for a dtype that the
    format lacks."""
    header: dict[str, Any] = {METADATA: dict(texts)} if texts else {}
    position = 0
    for name, array in arrays.items():
        code = array.dtype.newbyteorder("<").str
        if code not in _NAMES:
            raise ValueError(f"`{name}` is {array.dtype}, which safetensors cannot hold")
        offsets = [position, position + array.size * array.dtype.itemsize]
        header[name] = {"dtype": _NAMES[code], "shape": list(array.shape), "data_offsets": offsets}
        position = offsets[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    file.write(struct.pack("<Q", len(text)) + text)
    for given in arrays.values():
        array = np.asanyarray(given)
        file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], Any, int]:
    """The entries of the arrays, the texts, and the byte at which the data begin."""
    prefix = file.read(8)
    if len(prefix) < 8:
        raise ValueError("it is shorter than a header")
    (length,) = struct.unpack("<Q", prefix)
    if length > min(size - 8, HEADER_LIMIT):
        raise ValueError(f"its header is said to take {length} bytes")
    header = json.loads(file.read(length).decode(), object_pairs_hook=unique)
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    texts = header.pop(METADATA, {})
    return header, texts, 8 + length


class HeaderEntry(NamedTuple):
    """An array as the header describes it; `begin` and `end` count bytes from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def stored(self, file: FileVersion, start: int) -> StoredArray:
        """The array as one of a file whose header ends at `start`."""
        return mapped_array(file, self.name, self.shape, _elements(self.dtype), start + self.begin)


@lru_cache
def _elements(dtype: str) -> Elements:
    code = _DTYPES.get(dtype, "")
    if not code:
        return Elements(dtype, "")
    return Elements("bfloat16" if dtype == "BF16" else str(np.dtype(code)), code)


def _entry(name: str, fields: Any) -> HeaderEntry:
    try:
        dtype, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"the header's entry of `{name}` is malformed") from error
    if not isinstance(dtype, str) or not are_sizes((*shape, begin, end)):
        raise ValueError(f"the header's entry of `{name}` is malformed")
    if len(shape) > MOST_AXES:
        raise ValueError(f"`{name}` has {len(shape)} axes")
    size = math.prod(shape) * int(_DTYPES[dtype][2:]) if dtype in _DTYPES else max(end - begin, 0)
    if end - begin != size:
        raise ValueError(f"`{name}` has {end - begin} bytes, too many or too few for {shape} of {dtype}")
    return HeaderEntry(name, dtype, shape, begin, end)
