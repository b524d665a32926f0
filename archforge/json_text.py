"""JSON in lines, so that two versions can be compared by `diff`, and read without a name twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO

__all__ = ["json_lines", "read_json", "unique"]


def json_lines(document: Mapping[str, Any]) -> str:
    """A JSON object with each entry of its lists of objects on one line.

    Keys keep their order, so that the text depends on nothing but the data.
    """
    entries = (f"  {_dump(key)}: {_entry(value)}" for key, value in document.items())
    return "{\n" + ",\n".join(entries) + "\n}\n"


def read_json(file: BinaryIO, most: int) -> Any:
    """The JSON that a file holds. Raises ValueError for more than `most` bytes, for an object with a name
    twice, and for what is no JSON."""
    text = file.read(most + 1)
    if len(text) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return json.loads(text.decode(), object_pairs_hook=unique)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of these pairs. Raises ValueError for a name that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"`{twice}` is there twice")
    return found


def _entry(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {_dump(item)}" for item in value) + "\n  ]"
    return _dump(value)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
