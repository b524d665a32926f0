"""Weights of TensorFlow.js: `model.json` says which arrays there are, the files beside it hold their bytes.

Source: https://github.com/tensorflow/tfjs, tfjs-core/src/io. Arrays are those of Keras's layers; one that is
quantised is a whole number times `scale` and `min` more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from archforge.data.frameworks.keras import KerasContent
from archforge.data.frameworks.keras_layers import named_as_here
from archforge.data.opened_files import opened
from archforge.data.stored_arrays import FileVersion, StoredArray, are_sizes
from archforge.json_text import read_json
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.paths import is_name

__all__ = ["read_tfjs", "tfjs_content"]

LONGEST = 1 << 26  # bytes of the description
WHAT = "file of TensorFlow.js's weights"
_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "|u1", "bool": "|b1"}


class _Piece(NamedTuple):
    """Bytes of one file."""

    file: FileVersion
    begin: int
    size: int


def read_tfjs(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays that a `model.json` lists, by layer, in the layouts of archforge. Raises ValueError, and
    E0601 for a file beside it that is missing."""
    return named_as_here(tfjs_content(file, path).layers, {})


def tfjs_content(file: BinaryIO, path: Path) -> KerasContent:
    """The model of a `model.json`, which is Keras's, its arrays not yet read. Raises as `read_tfjs`."""
    model = read_json(file, LONGEST)
    manifest = model.get("weightsManifest") if isinstance(model, dict) else None
    if not isinstance(manifest, list) or not manifest:
        raise ValueError("it has no `weightsManifest`")
    layers: dict[str, dict[str, StoredArray]] = {}
    for group in manifest:
        shards = [_shard(path, name) for name in group["paths"]]
        begin = 0
        for entry in group["weights"]:
            name, size, array = _array(entry, begin, shards)
            begin += size
            scope, _, part = name.rpartition("/")
            if layers.setdefault(scope.replace("/", "."), {}).setdefault(part, array) is not array:
                raise ValueError(f"`{name}` is there twice")
        if begin != sum(shard.size for shard in shards):
            raise ValueError(f"it describes {begin} bytes of {', '.join(group['paths'])}, which have others")
    topology = model.get("modelTopology")
    topology = topology if isinstance(topology, dict) else {}
    described = topology.get("model_config", topology or None)
    return KerasContent(described, str(topology.get("keras_version") or ""), dict(layers))


def _shard(path: Path, name: Any) -> FileVersion:
    if not is_name(name):
        raise ValueError(f"its weights are said to be in {name!r}, which is no name of a file beside it")
    beside = path.with_name(name)
    with opened(beside, WHAT, is_known=True) as file:
        return FileVersion.of(file, beside, WHAT)


def _array(entry: Any, begin: int, shards: list[FileVersion]) -> tuple[str, int, StoredArray]:
    """Name, number of bytes and array of an entry, whose bytes begin at one of those of all shards
    together."""
    name, shape, wide = entry["name"], tuple(entry["shape"]), entry["dtype"]
    how = entry.get("quantization") or {}
    held = how.get("dtype", wide)
    if not isinstance(name, str) or not are_sizes(shape):
        raise ValueError("one of its arrays has no name or no shape")
    if held not in _DTYPES or wide not in _DTYPES:
        raise ValueError(f"`{name}` is {held}, which is not read")
    dtype = np.dtype(_DTYPES[held])
    size = math.prod(shape) * dtype.itemsize
    pieces = list(_pieces(begin, size, shards))
    if sum(piece.size for piece in pieces) != size:
        raise ValueError(f"`{name}` ends behind the last of its files")
    first = pieces[0].file if pieces else shards[0]
    scale = (float(how["scale"]), float(how["min"])) if "scale" in how else None
    result = np.dtype(_DTYPES[wide])
    read = partial(_read, pieces, shape, dtype, result, scale)
    return name, size, StoredArray(first, shape, result, held, read)


def _pieces(begin: int, size: int, shards: list[FileVersion]) -> Iterator[_Piece]:
    start = 0
    for shard in shards:
        first, last = max(begin, start), min(begin + size, start + shard.size)
        if first < last:
            yield _Piece(shard, first - start, last - first)
        start += shard.size


def _read(
    pieces: list[_Piece],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    result: np.dtype[Any],
    scale: tuple[float, float] | None,
    _: BinaryIO,
) -> Array:
    content = bytearray()
    for piece in pieces:
        with piece.file.opened() as file:
            file.seek(piece.begin)
            content += file.read(piece.size)
    array: Array = np.frombuffer(content, dtype).reshape(shape)
    if scale is None:
        return array.astype(result, copy=False)
    wide: Array = array * result.type(scale[0]) + result.type(scale[1])
    return wide
