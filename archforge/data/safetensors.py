"""The safetensors format: 8 bytes of header length, a JSON header, the arrays' bytes end to end.

Source: https://github.com/huggingface/safetensors, section "Format". Written here because a network's
weights should not need another package, and because NumPy has no bfloat16, which this widens.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from archforge.data.memory_map import mapped
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_safetensors", "write_safetensors"]

HEADER_LIMIT = 100_000_000  # bytes; the limit of the reference implementation

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {code: name for name, code in _DTYPES.items() if name != "BF16"}


def read_safetensors(file: BinaryIO) -> dict[str, Array]:
    """Arrays by name, in the order of their data, mapped into memory; bfloat16 becomes float32.

    Raises ValueError if malformed.
    """
    size = os.fstat(file.fileno()).st_size
    header, start = _read_header(file, size)
    entries = sorted((_entry(name, fields) for name, fields in header.items()), key=lambda e: e[3])
    position = 0
    for name, _, _, (begin, end) in entries:
        if begin != position:
            raise ValueError(f"the data of `{name}` starts at byte {begin}, expected {position}")
        position = end
    if start + position != size:
        raise ValueError(f"the header describes {start + position} bytes, the file has {size}")
    data = mapped(file)[start:]
    return {name: _array(data[begin:end], dtype, shape) for name, dtype, shape, (begin, end) in entries}


def write_safetensors(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write arrays in their order. Raises ValueError for a dtype that the format lacks."""
    header: dict[str, Any] = {}
    position = 0
    for name, array in arrays.items():
        code = array.dtype.newbyteorder("<").str
        if code not in _NAMES:
            raise ValueError(f"`{name}` is {array.dtype}, which safetensors cannot hold")
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": _NAMES[code], "shape": list(array.shape), "data_offsets": offsets}
        position = offsets[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    file.write(struct.pack("<Q", len(text)) + text)
    for array in arrays.values():
        file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    prefix = file.read(8)
    if len(prefix) < 8:
        raise ValueError("it is shorter than a header")
    (length,) = struct.unpack("<Q", prefix)
    if length > min(size - 8, HEADER_LIMIT):
        raise ValueError(f"its header is said to take {length} bytes")
    header = json.loads(file.read(length).decode())
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    header.pop("__metadata__", None)
    return header, 8 + length


def _entry(name: str, fields: Any) -> tuple[str, str, tuple[int, ...], tuple[int, int]]:
    try:
        dtype, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"the header's entry of `{name}` is malformed") from error
    if dtype not in _DTYPES:
        raise ValueError(f"`{name}` has the dtype {dtype}, which NumPy cannot hold")
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"the header's entry of `{name}` is malformed")
    if end - begin != math.prod(shape) * int(_DTYPES[dtype][2:]):
        raise ValueError(f"`{name}` has {end - begin} bytes, too many or too few for {shape} of {dtype}")
    return name, dtype, shape, (begin, end)


def _array(data: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> Array:
    array: Array = data.view(_DTYPES[dtype]).reshape(shape)
    if dtype != "BF16":
        return array
    # bfloat16 is the upper half of a float32.
    widened: Array = (array.astype(np.uint32) << 16).view(np.float32)
    return widened
