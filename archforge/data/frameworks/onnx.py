"""Initialisers of an ONNX model, in the order in which its nodes use them, without the library of that name.

Source: onnx/onnx.proto. Names are the model's own. The matrix of a `MatMul`, or of a `Gemm` that does not
transpose it, is transposed: here a linear layer has its outputs first.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

from archforge.data.frameworks.protobuf import Message, MessageField, opened_message
from archforge.data.mapped_arrays import Elements, mapped_array
from archforge.data.opened_files import opened
from archforge.data.stored_arrays import MOST_AXES, FileVersion, StoredArray, are_sizes
from archforge.ops.lazy_numpy import np
from archforge.paths import within

__all__ = ["ELEMENTS", "PLAIN_FIELDS", "RAW_DATA", "read_onnx"]

GRAPH, NODE, INITIALIZER = 7, 1, 5
RAW_DATA = 9

# Of TensorProto.DataType.
ELEMENTS = {
    1: Elements("float32", "<f4"), 2: Elements("uint8", "|u1"), 3: Elements("int8", "|i1"),
    4: Elements("uint16", "<u2"), 5: Elements("int16", "<i2"), 6: Elements("int32", "<i4"),
    7: Elements("int64", "<i8"), 9: Elements("bool", "|b1"), 10: Elements("float16", "<f2"),
    11: Elements("float64", "<f8"), 12: Elements("uint32", "<u4"), 13: Elements("uint64", "<u8"),
    14: Elements("complex64", "<c8"), 15: Elements("complex128", "<c16"), 16: Elements("bfloat16", "<u2"),
}  # fmt: skip
# Of the fields that hold numbers in place of raw bytes, those whose bytes are the numbers, each of one dtype.
PLAIN_FIELDS = {4: 1, 10: 11}


def read_onnx(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The initialisers of an ONNX model by name. Those in files of their own are read there, which must lie
    in the model's folder. Raises ValueError, and E0601 for such a file."""
    version = FileVersion.of(file, path, what)
    found: dict[str, StoredArray] = {}
    nodes: list[_Use] = []
    with opened_message(file) as model:
        for field in model.fields():
            for part in model.inside(field).fields() if field.number == GRAPH else ():
                message = model.inside(part)
                if part.number == INITIALIZER:
                    name, array = _initializer(message, version)
                    if found.setdefault(name, array) is not array:
                        raise ValueError(f"two of its initialisers are called `{name}`")
                elif part.number == NODE:
                    nodes.append(_use(message))
    if not found:
        raise ValueError("it has no initialisers")
    used: dict[str, bool] = {}  # by name, whether the first node that reads it has a matrix with inputs first
    for node in nodes:
        if node.kind == "Identity" and node.inputs[:1] and node.inputs[0] in found:
            # torch writes equal arrays once.
            found |= dict.fromkeys(node.outputs, found[node.inputs[0]])
            continue
        for position, name in enumerate(node.inputs):
            used.setdefault(name, node.is_turned and position == 1)
    order = [*(n for n in used if n in found), *(n for n in found if n not in used)]
    return {n: _turned(found[n]) if used.get(n) else found[n] for n in order}


def _turned(array: StoredArray) -> StoredArray:
    return array.changed(array.shape[::-1], np.transpose) if len(array.shape) == 2 else array


class _Use(NamedTuple):
    """Node as far as it says something of initialisers. is_turned: its second input is a matrix with inputs
    first."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_turned: bool


def _use(node: Message) -> _Use:
    names: dict[int, list[str]] = {1: [], 2: []}
    kind, transposes = "", False
    for field in node.fields():
        if field.number in names:
            names[field.number].append(node.text(field))
        elif field.number == 4:
            kind = node.text(field)
        elif field.number == 5:
            attribute = node.inside(field)
            fields = {f.number: f for f in attribute.fields()}
            if 1 in fields and attribute.text(fields[1]) == "transB" and 3 in fields:
                transposes = bool(fields[3].value)
    is_turned = kind == "MatMul" or (kind == "Gemm" and not transposes)
    return _Use(kind, tuple(names[1]), tuple(names[2]), is_turned)


def _initializer(tensor: Message, version: FileVersion) -> tuple[str, StoredArray]:
    dims: list[int] = []
    code, name = 0, ""
    held: list[MessageField] = []
    places: dict[str, str] = {}
    for field in tensor.fields():
        match field.number:
            case 1:
                dims += tensor.numbers(field)
            case 2:
                code = field.value
            case 8:
                name = tensor.text(field)
            case 13:
                entry = tensor.inside(field)
                pair = {f.number: entry.text(f) for f in entry.fields()}
                places[pair.get(1, "")] = pair.get(2, "")
            case 4 | 5 | 7 | 9 | 10 | 11:
                held.append(field)
    if len(dims) > MOST_AXES or not are_sizes(dims):
        raise ValueError(f"`{name}` has the shape {dims[:4]}")
    shape = tuple(dims)
    elements = ELEMENTS.get(code, Elements(f"of the number {code}", ""))
    if places:
        return name, _external(name, shape, elements, places, version)
    if len(held) > 1:
        raise ValueError(f"the numbers of `{name}` are in {len(held)} pieces")
    field = held[0] if held else MessageField(RAW_DATA, 0, 0, 0)
    if field.number != RAW_DATA and PLAIN_FIELDS.get(field.number) != code:
        elements = Elements(f"{elements.name}, packed", "")
    elif elements.code and math.prod(shape) * np.dtype(elements.code).itemsize != field.size:
        raise ValueError(f"`{name}` has {field.size} bytes, too many or too few for {shape}")
    return name, mapped_array(version, name, shape, elements, field.begin)


def _external(
    name: str, shape: tuple[int, ...], elements: Elements, places: dict[str, str], version: FileVersion
) -> StoredArray:
    """An array in a file of its own, beside the model."""
    folder, location = version.path.parent, places.get("location", "")
    if within(folder, location) is None:
        raise ValueError(f"`{name}` is said to be in {location!r}, which is out of its folder")
    beside = folder / location
    begin = int(places.get("offset") or 0)
    with opened(beside, "file of ONNX's weights", is_known=True) as file:
        other = FileVersion.of(file, beside, "file of ONNX's weights")
    size = math.prod(shape) * (np.dtype(elements.code).itemsize if elements.code else 0)
    if begin < 0 or begin + size > other.size or int(places.get("length") or size) != size:
        raise ValueError(f"`{name}` takes {size} bytes from {begin} on, {beside.name} has {other.size}")
    return mapped_array(other, name, shape, elements, begin)
