"""Weights in the files of other frameworks: what the small stored ones hold, and files of torch.save written
byte by byte, also such as torch would never write."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archforge.ops.base import Array

__all__ = ["FOLDER", "TORCH", "Call", "Storage", "Word", "dumped", "tensor", "torch_row", "torch_zip"]

FOLDER = Path(__file__).parent / "data" / "weight_files"

_BASE = np.arange(24.0, dtype=np.float32).reshape(4, 6)
_MAP = np.arange(48.0).reshape(2, 3, 4, 2)

# Arrays of torch.pth and torch_row.pth by name.
TORCH: Mapping[str, Array] = {
    "state_dict.conv.weight": _MAP,
    "state_dict.conv.bias": np.array([0.5, -1.5]),
    "state_dict.channels_last": _MAP,
    "state_dict.base": _BASE,
    "state_dict.tied": _BASE,
    "state_dict.transposed": _BASE.T,
    "state_dict.row": _BASE[2],
    "state_dict.every_second": _BASE[:, 1::2],
    "state_dict.expanded": np.broadcast_to(np.array([[7.0], [8.0]]), (2, 3)),
    "state_dict.scalar": np.array(2.5),
    "state_dict.empty": np.zeros((0, 3)),
    "state_dict.bn.num_batches_tracked": np.array(12),
    **{
        f"state_dict.of.{dtype}": np.array([0, 1, 2], dtype)
        for dtype in ("float16", "int32", "int16", "int8", "uint8", "complex64", "complex128")
    },
    "state_dict.of.bool": np.array([True, False, True]),
    "state_dict.of.bfloat16": np.array([1.5, -2.0], np.float32),
    "optimizer.state.0.exp_avg": np.ones(2),
    "optimizer.momenta.0": np.array([3.0]),
    "optimizer.momenta.1.0": np.array([4.0]),
}


# Pickles
# -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """Global of a pickle, by its full name."""

    name: str


@dataclass(frozen=True)
class Call:
    """Call of a global with arguments."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Storage:
    """Persistent id of a storage."""

    key: str
    count: Any
    word: str = "torch.FloatStorage"
    rest: tuple[Any, ...] = ()


def tensor(storage: Storage, shape: Any, strides: Any, offset: Any = 0, *more: Any) -> Call:
    """The call that makes a tensor of torch."""
    return Call(
        "torch._utils._rebuild_tensor_v2",
        (storage, offset, shape, strides, False, Call("collections.OrderedDict", ()), *more),
    )


def dumped(value: Any) -> bytes:
    """The pickle of a value that may hold words, calls and storages; nothing of it is imported or called."""
    return b"\x80\x02" + _code(value) + b"."


def _code(value: Any) -> bytes:
    match value:
        case Word(name):
            module, _, word = name.rpartition(".")
            return f"c{module}\n{word}\n".encode()
        case Call(name, arguments):
            return _code(Word(name)) + _code(arguments) + b"R"
        case Storage(key, count, word, rest):
            return _code(("storage", Word(word), key, "cpu", count, *rest)) + b"Q"
        case tuple():
            return b"(" + b"".join(map(_code, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_code, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_code(part) for item in value.items() for part in item) + b"u"
        case _:
            return pickle.dumps(value, 2)[2:-1]


def torch_zip(data: bytes, storages: Mapping[str, bytes], more: Mapping[str, bytes] | None = None) -> bytes:
    """An archive as torch.save writes it, of a pickle and storages; `more` members come behind."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
        for name, content in (more or {}).items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def torch_row(data: bytes, storages: Mapping[str, tuple[int, bytes]]) -> bytes:
    """A file of torch.save in the older format: storages with the numbers of elements that stand before
    them."""
    head = b"".join(
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    rest = b"".join(struct.pack("<q", count) + content for count, content in storages.values())
    return head + data + pickle.dumps(list(storages), 2) + rest
