"""The message of a file without its large arrays, which stay where they lie in the file.

protobuf makes a copy of all that it parses, and another of each array that is asked for. So the bytes that it
is given have a reference in place of each large array, in ONNX's own form for arrays in files beside:
`location` is the SHA-256 of the whole file, which no file can hold itself. Source: onnx/onnx.proto.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum, auto

from archforge.data.frameworks.onnx import ELEMENTS, PLAIN_FIELDS, RAW_DATA
from archforge.data.frameworks.protobuf import Message, MessageField
from archforge.ops.lazy_numpy import np

__all__ = ["light_message"]

LARGE = 1 << 12  # bytes; smaller arrays are left where they are
MAX_DEPTH = 100  # of messages within messages; protobuf refuses more


class _MessageKind(Enum):
    """Messages on the way to arrays."""

    MODEL = auto()
    FUNCTION = auto()
    GRAPH = auto()
    NODE = auto()
    ATTRIBUTE = auto()
    TENSOR = auto()


# The fields that hold such messages, by their numbers. Graphs within nodes keep their arrays.
_WITHIN: Mapping[_MessageKind, Mapping[int, _MessageKind]] = {
    _MessageKind.MODEL: {7: _MessageKind.GRAPH, 25: _MessageKind.FUNCTION},
    _MessageKind.FUNCTION: {7: _MessageKind.NODE},
    _MessageKind.GRAPH: {1: _MessageKind.NODE, 5: _MessageKind.TENSOR},
    _MessageKind.NODE: {5: _MessageKind.ATTRIBUTE},
    _MessageKind.ATTRIBUTE: {5: _MessageKind.TENSOR},
}
# Fields of a tensor.
_DIMS, _DATA_TYPE, _SEGMENT, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 3, 13, 14
_ELEMENTS = frozenset({4, 5, 6, 7, RAW_DATA, 10, 11})
_CONVERTED = frozenset({"bool", "bfloat16"})  # when read, from what lies in the file


def light_message(content: bytes, location: str) -> bytes:
    """The message of a file with a reference to `location` in place of each large array. Raises ValueError
    for bytes that are no message."""
    parts, _ = _Lightener(content, location).parts(_MessageKind.MODEL, Message(content, 0, len(content)), 0)
    return b"".join(parts)


class _Lightener:
    """Goes through the messages of one file."""

    def __init__(self, content: bytes, location: str) -> None:
        self.content, self.location = memoryview(content), location

    def parts(self, kind: _MessageKind, message: Message, depth: int) -> tuple[list[bytes | memoryview], int]:
        """The pieces of a message, and how many bytes they have."""
        fields = list(message.fields())
        if kind is _MessageKind.TENSOR:
            held = self._elements(message, fields)
            if held is not None:
                return self._referring(message, fields, held)
        parts: list[bytes | memoryview] = []
        size, begin, kept = 0, message.begin, message.begin
        for field in fields:
            inner = _WITHIN.get(kind, {}).get(field.number)
            if inner is not None and field.size > LARGE and depth < MAX_DEPTH:
                within, length = self.parts(inner, message.inside(field), depth + 1)
                head = _bytes_head(field.number, length)
                parts += [self.content[kept:begin], head, *within]
                size += begin - kept + len(head) + length
                kept = field.end
            begin = field.end
        parts.append(self.content[kept : message.end])
        return parts, size + message.end - kept

    def _elements(self, tensor: Message, fields: list[MessageField]) -> MessageField | None:
        """The field with the elements of a tensor, if they can stay in the file: if they are all that the
        shape says, in one piece."""
        dims: list[int] = []
        code, held = 0, []
        for field in fields:
            if field.number in (_EXTERNAL_DATA, _DATA_LOCATION, _SEGMENT):
                return None
            if field.number == _DIMS:
                dims += tensor.numbers(field)
            elif field.number == _DATA_TYPE:
                code = field.value
            elif field.number in _ELEMENTS:
                held.append(field)
        elements = ELEMENTS.get(code)
        if len(held) != 1 or held[0].size <= LARGE or elements is None or elements.name in _CONVERTED:
            return None
        is_plain = held[0].number == RAW_DATA or PLAIN_FIELDS.get(held[0].number) == code
        size = math.prod(dims) * np.dtype(elements.code).itemsize
        return held[0] if is_plain and size == held[0].size else None

    def _referring(
        self, tensor: Message, fields: list[MessageField], held: MessageField
    ) -> tuple[list[bytes | memoryview], int]:
        """A tensor with a reference to its elements in place of them."""
        parts: list[bytes | memoryview] = []
        begin = tensor.begin
        for field in fields:
            if field is not held:
                parts.append(self.content[begin : field.end])
            begin = field.end
        entries = {"location": self.location, "offset": str(held.begin), "length": str(held.size)}
        for key, value in entries.items():
            entry = _text(1, key) + _text(2, value)
            parts += [_bytes_head(_EXTERNAL_DATA, len(entry)), entry]
        parts.append(_number(_DATA_LOCATION << 3) + _number(1))
        return parts, sum(map(len, parts))


def _number(value: int) -> bytes:
    """A whole number in base 128."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _bytes_head(number: int, size: int) -> bytes:
    """Number and length, which stand before the bytes of a field."""
    return _number(number << 3 | 2) + _number(size)


def _text(number: int, text: str) -> bytes:
    return _bytes_head(number, len(text)) + text.encode()
