"""The first half of reading a file of TensorFlow Lite: it is opened, and its graph is plain Python.

Files come from anybody: no offset, size or number in one is believed.
"""

from __future__ import annotations

import math
import mmap
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from archforge.data.opened_files import opened
from archforge.errors import fail
from archforge.interchange.draft import Extent
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["MAGIC", "TensorInFile", "TfliteOp", "TfliteSource", "open_tflite"]

MAGIC = b"TFL3"  # at byte 4
MOST_TENSORS = 1 << 17  # also of ops; the largest networks have some thousands
MOST_AXES = 8

# What numbers a tensor holds, by the numbers of `TensorType`.
_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8",
    10: "float64",
}  # fmt: skip
_FLOATS = ("float32", "float16", "float64")


class Quantization(NamedTuple):
    """Numbers that whole numbers stand for: (q - zero) * scale, along an axis where there are several."""

    scales: Array
    zeros: Array
    axis: int


@dataclass(frozen=True, slots=True, eq=False)
class TensorInFile:
    """A tensor: its name, which no other one has, its shape, its extents where some are open, its dtype, and
    the array that is stored of it."""

    name: str
    shape: tuple[int, ...]
    extents: tuple[Extent, ...]
    dtype: str
    array: Array | None
    quantization: Quantization | None

    @property
    def is_float(self) -> bool:
        return self.dtype in _FLOATS


@dataclass(frozen=True, slots=True, eq=False)
class TfliteOp:
    """An op: numbers of the tensors that it reads, -1 for one that is left out, and of those that it makes.
    option: gives an attribute by its name in the schema."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    option: Callable[[str], Any]


@dataclass(frozen=True, slots=True, eq=False)
class TfliteSource:
    """A file: the digest of its bytes, its tensors and ops in order, its inputs and outputs."""

    path: Path
    sha256: str
    tensors: tuple[TensorInFile, ...]
    ops: tuple[TfliteOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def open_tflite(path: Path) -> TfliteSource:
    """The content of a file. Raises E0601 where it is none of TensorFlow Lite or lies, and E0801 where the
    package that knows its schema is missing."""
    try:
        schema: Any = import_module("tflite")
    except ImportError:
        message = "files of TensorFlow Lite need the package tflite, which is not installed"
        fail("E0801", message, help="pip install 'archforge-zoo[tflite]'")
    with opened(path, "file of TensorFlow Lite", is_known=True) as file:
        if os.fstat(file.fileno()).st_size < 8:
            raise ValueError("it has less than 8 bytes")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if content[4:8] != MAGIC:
            raise ValueError("it does not begin as one")
        return _TfliteReader(schema, content).source(path)


class _TfliteReader:
    """Turns the tables of one file into plain values. Whatever it raises is of `MALFORMED`."""

    def __init__(self, schema: Any, content: mmap.mmap) -> None:
        self.schema, self.content = schema, content
        self.model = schema.Model.GetRootAsModel(content, 0)
        self.words = _words(schema.BuiltinOperator)
        self.classes = _words(schema.BuiltinOptions)

    def source(self, path: Path) -> TfliteSource:
        if self.model.SubgraphsLength() != 1:
            fail("E0801", f"{path} has {self.model.SubgraphsLength()} graphs, and one can be read")
        graph = self.model.Subgraphs(0)
        for count in (graph.TensorsLength(), graph.OperatorsLength(), self.model.BuffersLength()):
            if count > min(MOST_TENSORS, len(self.content) // 4):
                raise ValueError(f"it says that it has {count:,} of what its bytes cannot hold")
        names = Counter[str]()
        tensors = tuple(self.tensor(graph.Tensors(i), i, names) for i in range(graph.TensorsLength()))
        ops = tuple(self.op(graph.Operators(i), len(tensors)) for i in range(graph.OperatorsLength()))
        inputs, outputs = (self.numbers(graph, part, len(tensors), least=0) for part in ("Inputs", "Outputs"))
        digest = sha256(self.content).hexdigest()
        return TfliteSource(path, digest, tensors, ops, inputs, outputs)

    def numbers(self, table: Any, part: str, tensors: int, *, least: int = -1) -> tuple[int, ...]:
        """Numbers of tensors in a table. Raises ValueError for one that is not there."""
        found = tuple(_array(table, part).tolist())
        if any(not least <= number < tensors for number in found):
            raise ValueError(f"it has {tensors} tensors, and speaks of {list(found)[:8]}")
        return found

    def tensor(self, table: Any, place: int, names: Counter[str]) -> TensorInFile:
        name = (table.Name() or b"").decode(errors="replace") or f"tensor {place}"
        names[name] += 1
        name = name if names[name] == 1 else f"{name} (tensor {place})"
        shape = tuple(_array(table, "Shape").tolist())
        if min(shape, default=1) < 0 or len(shape) > MOST_AXES:
            raise ValueError(f"the shape of {name!r} is {shape}")
        signature = tuple(_array(table, "ShapeSignature").tolist()) or shape
        if len(signature) != len(shape):
            raise ValueError(f"the shape of {name!r} is {shape}, or {signature}")
        extents = tuple(None if n < 0 else n for n in signature)
        dtype = _DTYPES.get(table.Type(), f"numbers of type {table.Type()}")
        array = None
        if table.Sparsity() is None:
            array = self.stored(table.Buffer(), name, shape, dtype)
        return TensorInFile(
            name, shape, extents, dtype, array, _quantization(table.Quantization(), shape, name)
        )

    def stored(self, number: int, name: str, shape: tuple[int, ...], dtype: str) -> Array | None:
        """The array in a buffer; None for an empty one. Raises ValueError."""
        if not 0 <= number < self.model.BuffersLength():
            raise ValueError(f"the buffer {number} of {name!r} is not there")
        buffer = self.model.Buffers(number)
        if buffer.Offset() > 1:  # behind the tables, where a file is larger than 2 GiB
            begin, size = buffer.Offset(), buffer.Size()
            if begin + size > len(self.content):
                raise ValueError(f"the buffer of {name!r} ends behind the file")
            data: Array = np.frombuffer(self.content, np.uint8, size, begin)
        else:
            data = _array(buffer, "Data", "uint8")
        if not data.size:
            return None
        if dtype not in _DTYPES.values():
            raise ValueError(f"the tensor {name!r} holds {dtype}")
        stored = np.dtype(dtype).newbyteorder("<")
        if data.size != math.prod(shape) * stored.itemsize:
            raise ValueError(f"the tensor {name!r} of {shape} has {data.size:,} bytes")
        return data.view(stored).reshape(shape)

    def op(self, table: Any, tensors: int) -> TfliteOp:
        if table.OpcodeIndex() >= self.model.OperatorCodesLength():
            raise ValueError(f"the kind {table.OpcodeIndex()} of an op is not there")
        code = self.model.OperatorCodes(table.OpcodeIndex())
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        word = self.words.get(number, f"op {number}")
        if word == "CUSTOM":
            word = f"CUSTOM {(code.CustomCode() or b'').decode(errors='replace')}"
        inputs, outputs = (self.numbers(table, part, tensors) for part in ("Inputs", "Outputs"))
        if not outputs or min(outputs) < 0:
            raise ValueError(f"an op {word} gives the tensors {list(outputs)[:8]}")
        return TfliteOp(word, inputs, outputs, self.options(table))

    def options(self, table: Any) -> Callable[[str], Any]:
        found, kind = table.BuiltinOptions(), self.classes.get(table.BuiltinOptionsType(), "NONE")
        if found is None or kind == "NONE":
            return _no_options
        options = getattr(self.schema, kind)()
        options.Init(found.Bytes, found.Pos)

        def option(name: str) -> Any:
            if not hasattr(options, name):
                raise ValueError(f"{kind} instead of `{name}`")
            return getattr(options, name)()

        return option


def _no_options(name: str) -> int:
    """The value of an attribute of an op that has none: the runtime takes nothing for it."""
    return 0


def _words(enumeration: Any) -> Mapping[int, str]:
    return {number: word for word, number in vars(enumeration).items() if isinstance(number, int)}


def _array(table: Any, part: str, dtype: str = "int32") -> Array:
    """A vector of numbers in a table, empty where there is none. Raises what NumPy does where it is longer
    than the file."""
    found = getattr(table, f"{part}AsNumpy")()
    return np.zeros(0, dtype) if isinstance(found, int) else np.asarray(found)


def _quantization(table: Any, shape: tuple[int, ...], name: str) -> Quantization | None:
    """Rule of what whole numbers stand for; None where a tensor says nothing. Raises ValueError."""
    if table is None or not table.ScaleLength():
        return None
    scales, zeros = _array(table, "Scale", "float32"), _array(table, "ZeroPoint", "int64")
    axis, several = table.QuantizedDimension(), len(scales) > 1
    if len(zeros) not in (0, len(scales)) or (
        several and (not 0 <= axis < len(shape) or shape[axis] != len(scales))
    ):
        raise ValueError(f"the tensor {name!r} of {shape} has {len(scales)} scales, {len(zeros)} zero points")
    return Quantization(scales, zeros if len(zeros) else np.zeros_like(scales), axis)
