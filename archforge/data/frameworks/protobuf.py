"""Messages of Protocol Buffers, read from their bytes: no more of the format than weights need.

Source: https://protobuf.dev/programming-guides/encoding. A message is a row of fields, each a number, and a
whole number, some bytes or another message. So arrays are found in a large file without reading them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

__all__ = ["Message", "MessageField", "opened_message"]

LONGEST_NUMBER = 10  # bytes
LONGEST_TEXT = 1 << 16  # bytes of a name
MOST_FIELDS = 1 << 22  # of one message


class MessageField(NamedTuple):
    """Field of a message. value: its whole number, 0 where it has bytes. begin, end: of its bytes, in the
    file."""

    number: int
    value: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Number of its bytes."""
        return self.end - self.begin


class Message(NamedTuple):
    """Bytes of a file that are a message."""

    file: mmap.mmap | bytes
    begin: int
    end: int

    def fields(self) -> Iterator[MessageField]:
        """The fields in order. Raises ValueError for bytes that are no message."""
        place = self.begin
        for _ in range(MOST_FIELDS):
            if place == self.end:
                return
            tag, place = self._number(place)
            number, kind = tag >> 3, tag & 7
            value = 0
            if kind == 0:
                begin = place
                value, place = self._number(place)
            elif kind == 2:
                length, begin = self._number(place)
                place = begin + length
            elif kind in (1, 5):
                begin, place = place, place + (8 if kind == 1 else 4)
            else:
                raise ValueError(f"it has a field of the kind {kind} at byte {place}")
            if not number or place > self.end:
                raise ValueError(f"its field {number} ends at byte {place}, what it is in at {self.end}")
            yield MessageField(number, value, begin, place)
        raise ValueError(f"a message in it has more than {MOST_FIELDS:,} fields")

    def inside(self, field: MessageField) -> Message:
        """The message that a field holds."""
        return Message(self.file, field.begin, field.end)

    def text(self, field: MessageField) -> str:
        """The text that a field holds. Raises ValueError for one that is too long, or not UTF-8."""
        if field.size > LONGEST_TEXT:
            raise ValueError(f"it has a name of {field.size} bytes")
        return self.file[field.begin : field.end].decode()

    def numbers(self, field: MessageField) -> list[int]:
        """The whole numbers that a field holds: its own, or the many that are packed into its bytes."""
        if not field.size or field.value:
            return [field.value]
        found: list[int] = []
        place = field.begin
        while place < field.end:
            value, place = self._number(place)
            found.append(value)
        return found

    def _number(self, place: int) -> tuple[int, int]:
        """The whole number that begins at a byte, and the byte behind it."""
        value = 0
        for shift in range(LONGEST_NUMBER):
            if place >= self.end:
                raise ValueError("it ends within a number")
            byte = self.file[place]
            place += 1
            value |= (byte & 127) << 7 * shift
            if byte < 128:
                return value, place
        raise ValueError(f"it has a number of more than {LONGEST_NUMBER} bytes at byte {place}")


@contextmanager
def opened_message(file: BinaryIO) -> Iterator[Message]:
    """The message that a file is."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield Message(content, 0, len(content))
