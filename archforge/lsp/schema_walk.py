"""The JSON Schema of a spec at a place: what may be written there, and what it means.

The schema is the home of both, for every editor; the server adds the place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archforge.lsp.cursor import ITEM
from archforge.spec.schema.values import Json

__all__ = ["constants", "described", "entries", "fragments"]

_PARTS = ("allOf", "anyOf", "oneOf")
_BRANCHES = ("then", "else")


def fragments(schema: Json, path: Sequence[str]) -> list[Json]:
    """The parts of a schema that judge the value behind a path of keys."""
    found: list[Any] = [schema]
    for key in path:
        found = [inner for part in _whole(found, schema) for inner in _below(part, key)]
    return _whole(found, schema)


def entries(parts: Sequence[Json]) -> dict[str, Json]:
    """The keys that a value may have, with the schema behind each."""
    return {
        key: rule for part in parts for key, rule in part.get("properties", {}).items() if rule is not False
    }


def constants(parts: Sequence[Json]) -> list[Any]:
    """The values that are named one by one."""
    named = [value for part in parts for value in part.get("enum", ())]
    return [*named, *(flag for part in parts if "boolean" in _types(part) for flag in (True, False))]


def described(parts: Sequence[Json]) -> str:
    """The first description of a value."""
    return next((part["description"] for part in parts if "description" in part), "")


def _types(part: Json) -> Sequence[str]:
    kinds = part.get("type", ())
    return [kinds] if isinstance(kinds, str) else kinds


def _below(part: Json, key: str) -> Iterator[Json]:
    """The schemas behind a key, or of an item, that one part has."""
    if key == ITEM:
        items = part.get("items", [])
        yield from items if isinstance(items, list) else [items]
    elif key in part.get("properties", {}):
        yield part["properties"][key]
    elif isinstance(part.get("additionalProperties"), dict):
        yield part["additionalProperties"]


def _whole(parts: Sequence[Any], schema: Json) -> list[Json]:
    """Parts with all that they refer to or are put together of, each once."""
    found: dict[int, Json] = {}
    todo = [*reversed(parts)]
    while todo:
        part = todo.pop()
        if not isinstance(part, dict) or id(part) in found:
            continue
        found[id(part)] = part
        inner = [one for word in _PARTS for one in part.get(word, ())]
        inner += [part[word] for word in _BRANCHES if word in part]
        if "$ref" in part:
            name = part["$ref"].removeprefix("#/definitions/")
            inner.append(schema["definitions"][_name(name)])
        todo += reversed(inner)
    return list(found.values())


def _name(pointer: str) -> str:
    """The name behind a part of a JSON pointer in a URI fragment."""
    from urllib.parse import unquote

    return unquote(pointer).replace("~1", "/").replace("~0", "~")
