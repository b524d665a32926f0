"""Caffe's `.caffemodel`: the blobs of each layer, as `LAYER.weight`, `LAYER.bias` and the names of a batch
norm.

Source: src/caffe/proto/caffe.proto. Kernels have the order of axes that they have here. A batch norm of Caffe
keeps its mean and variance times a factor, its third blob, by which they are divided; its gamma and beta are
a layer `Scale` of its own.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from archforge.data.frameworks.protobuf import Message, MessageField, opened_message
from archforge.data.mapped_arrays import Elements, mapped_array
from archforge.data.stored_arrays import FileVersion, StoredArray
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["read_caffe"]

FLOAT, DOUBLE = Elements("float32", "<f4"), Elements("float64", "<f8")
MOST_AXES = 32  # Caffe's own limit


class _LayerFields(NamedTuple):
    """Numbers of the fields of a layer, in one of the two forms that layers have had."""

    name: int
    type: int
    blobs: int


_LAYERS = {2: _LayerFields(4, 5, 6), 100: _LayerFields(1, 2, 7)}  # the fields of the network that hold layers
_OLD_INNER_PRODUCT = 14  # of V1LayerParameter.LayerType
_NORM = ("running_mean", "running_var")
_NAMES = ("weight", "bias")


def read_caffe(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays of a caffemodel by layer and meaning, in the order of the layers. Raises ValueError."""
    version = FileVersion.of(file, path, what)
    found: dict[str, StoredArray] = {}
    with opened_message(file) as network:
        for field in network.fields():
            if field.number in _LAYERS:
                name, arrays = _layer(network.inside(field), _LAYERS[field.number], version, file)
                for part, array in arrays.items():
                    if found.setdefault(f"{name}.{part}", array) is not array:
                        raise ValueError(f"two of its layers are called `{name}`")
    if not found:
        raise ValueError("it has no layer with blobs")
    return found


def _layer(
    layer: Message, numbers: _LayerFields, version: FileVersion, file: BinaryIO
) -> tuple[str, dict[str, StoredArray]]:
    name, is_norm, is_matrix = "", False, False
    blobs: list[StoredArray] = []
    for field in layer.fields():
        if field.number == numbers.name:
            name = layer.text(field)
        elif field.number == numbers.type and field.value:
            is_matrix = field.value == _OLD_INNER_PRODUCT
        elif field.number == numbers.type:
            kind = layer.text(field)
            is_norm, is_matrix = kind == "BatchNorm", kind == "InnerProduct"
        elif field.number == numbers.blobs:
            blobs.append(_blob(layer.inside(field), f"{name}.{len(blobs)}", version))
    if is_norm and len(blobs) == 3:
        factor = float(blobs.pop().read(file).reshape(-1)[0])
        blobs = [blob.changed(blob.shape, partial(_divided, factor)) for blob in blobs]
    names = _NORM if is_norm else _NAMES
    parts = [*names, *(f"blob{i}" for i in range(len(names), len(blobs)))]
    axes = {"weight": 2 if is_matrix else 4}
    return name, {p: _plain(blob, axes.get(p, 1)) for p, blob in zip(parts, blobs, strict=False)}


def _divided(factor: float, array: Array) -> Array:
    return array * np.asarray(1 / factor if factor else 0.0, array.dtype)


def _plain(blob: StoredArray, axes: int) -> StoredArray:
    """The blob without the axes of one that the older form puts before those of vectors and matrices."""
    if len(blob.shape) != 4 or math.prod(blob.shape[:-axes]) != 1:
        return blob
    shape = blob.shape[-axes:]
    return blob.changed(shape, partial(_reshaped, shape))


def _reshaped(shape: tuple[int, ...], array: Array) -> Array:
    return array.reshape(shape)


def _blob(blob: Message, name: str, version: FileVersion) -> StoredArray:
    """One blob. Its shape is a message of its own, or in the older form four fields."""
    old = {1: 0, 2: 0, 3: 0, 4: 0}
    shape: tuple[int, ...] | None = None
    data: list[tuple[MessageField, Elements]] = []
    for field in blob.fields():
        if field.number in old:
            old[field.number] = field.value
        elif field.number == 7:
            sizes = blob.inside(field)
            shape = tuple(n for f in sizes.fields() if f.number == 1 for n in sizes.numbers(f))
        elif field.number in (5, 8):
            data.append((field, FLOAT if field.number == 5 else DOUBLE))
    dims = tuple(old.values()) if shape is None else shape
    if len(dims) > MOST_AXES or len(data) > 1:
        raise ValueError(f"the blob `{name}` has {len(dims)} axes, and its numbers in {len(data)} pieces")
    held, elements = data[0] if data else (MessageField(0, 0, 0, 0), FLOAT)
    if math.prod(dims) * elements.dtype.itemsize != held.size:
        raise ValueError(f"the blob `{name}` has {held.size} bytes, too many or too few for {dims}")
    return mapped_array(version, name, dims, elements, held.begin)
