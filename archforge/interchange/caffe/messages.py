"""Messages of a file of Caffe, from its text or its bytes, with the place of each field."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from archforge.data.frameworks.protobuf import Message, MessageField
from archforge.errors import Span
from archforge.interchange.caffe.schema import CaffeField, Schema
from archforge.interchange.translation import number

__all__ = ["CaffeEntry", "CaffeMessage", "decoded"]

MAX_DEPTH = 8  # of messages within messages; those of caffe.proto go four deep
_SIGN = 1 << 63


class CaffeEntry(NamedTuple):
    """A value of a field, and its place in a text."""

    value: Any
    span: Span | None


@dataclass(frozen=True, slots=True, eq=False)
class CaffeMessage:
    """A message. entries: the values of its fields in order. unknown: messages within that the schema does
    not have, which belong to layers of other versions of Caffe."""

    entries: Mapping[str, tuple[CaffeEntry, ...]]
    span: Span | None = None
    unknown: tuple[CaffeEntry, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def all(self, name: str) -> tuple[Any, ...]:
        """The values of a field."""
        return tuple(entry.value for entry in self.entries.get(name, ()))

    def one(self, name: str, default: Any) -> Any:
        """The last value of a field, `default` where it is left out."""
        found = self.entries.get(name)
        return found[-1].value if found else default

    def inside(self, name: str) -> CaffeMessage:
        """The message that a field holds, an empty one where it is left out."""
        found: CaffeMessage = self.one(name, CaffeMessage({}))
        return found

    def place(self, name: str) -> Span | None:
        """Place of the last value of a field, or else of the message."""
        found = self.entries.get(name)
        return found[-1].span if found else self.span


def decoded(message: Message, schema: Schema, depth: int = 0) -> CaffeMessage:
    """A message from its bytes. Raises ValueError for what is none."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it has messages within messages, more than {MAX_DEPTH} deep")
    names = {field.number: name for name, field in schema.fields.items() if field.number}
    entries: dict[str, list[CaffeEntry]] = {}
    unknown: list[CaffeEntry] = []
    for field in message.fields():
        name = names.get(field.number)
        if name is None:
            unknown.append(CaffeEntry(f"field {field.number}", None))
            continue
        values = _values(message, field, schema.fields[name], depth)
        entries.setdefault(name, []).extend(CaffeEntry(value, None) for value in values)
    return CaffeMessage({name: tuple(found) for name, found in entries.items()}, None, tuple(unknown))


def _values(message: Message, field: MessageField, known: CaffeField, depth: int) -> Iterator[Any]:
    """The values that a field holds: one, or many that are packed."""
    kind = known.kind
    if isinstance(kind, Schema):
        yield decoded(message.inside(field), kind, depth + 1)
    elif kind == "any":
        yield None
    elif kind == "text":
        yield message.text(field)
    elif kind == "float":
        if field.size % 4:
            raise ValueError(f"it has a number of {field.size} bytes at byte {field.begin}")
        content = message.file[field.begin : field.end]
        yield from (number(value) for (value,) in struct.iter_unpack("<f", content))
    else:
        for value in message.numbers(field):
            if kind == "bool":
                yield bool(value)
            elif kind == "int":
                yield value - 2 * _SIGN if value >= _SIGN else value
            else:
                words = {at: word for word, at in kind.items()} if isinstance(kind, Mapping) else {}
                yield words.get(value, str(value))
