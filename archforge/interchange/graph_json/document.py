"""The first half of reading a graph.json: the bytes of a file become a document of its form.

Files come from anybody. Whatever one holds, the answer is a document or a `DiagnosticError` that names the
file and the key: E0801 where the file is no graph.json, E0802 where a key is missing, unknown or wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from archforge.atomic_files import one_writer, reason_of
from archforge.data.manifest import contradiction
from archforge.errors import (
    MAX_REPORTED,
    Diagnostic,
    DiagnosticError,
    Note,
    SourceFile,
    Span,
    did_you_mean,
    fail,
    fail_all,
)
from archforge.interchange.graph_json.form import VERSION, GraphDocument
from archforge.spec.formulas.formula import describe

__all__ = ["Steps", "found", "read_document", "wrong"]

Steps = tuple[int | str, ...]  # keys and indices on the way to a value

MAX_BYTES = 64 * 2**20  # the largest network of the zoo takes 2 MB
MAX_DIGITS = 18
MAX_SHOWN = 6  # elements of a list that a message prints

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON escapes it

# The kinds of values by pydantic's names of what is wrong with others.
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "greater_than_equal": "at least {ge}",
    "int_type": "a whole number",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_type": "an object",
    "string_too_short": "text that is not empty",
    "string_type": "text",
    "too_short": "a list that is not empty",
    "tuple_type": "a list",
}


def read_document(path: Path) -> GraphDocument:
    """The document in a file. Raises `DiagnosticError`."""
    data = _content(path)
    if contradiction(path, data):
        with one_writer(path.parent):  # a build may be going on
            data = _content(path)
            reason = contradiction(path, data)
        if reason:
            help = "build the network again, or read a copy in another folder"
            fail("E0801", f"cannot read {path}: {reason}", help=help)
    if len(data) > MAX_BYTES:
        fail("E0801", f"{path} has more than {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        fail("E0801", f"{path} is no graph.json: byte {error.start:,} is not UTF-8 text")
    return _document(path.as_posix(), _parsed(path.as_posix(), text))


def _content(path: Path) -> bytes:
    """The bytes of a file, or more than can be read. Raises E0801."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL, or half of a character, in the name
        fail("E0801", f"cannot read {path}: {reason_of(error)}")


class _NoValue(NamedTuple):
    """A number that JSON has no place for, or that is too long to be meant. No key takes it."""

    words: str

    def __str__(self) -> str:
        return self.words


def _parsed(name: str, text: str) -> Any:
    """The value that a text of JSON says. Raises E0801 with the place, E0802 for keys that stand twice."""
    doubled: list[tuple[dict[str, Any], str]] = []  # objects, and a key that stands twice in each

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            last = {key: index for index, (key, _) in enumerate(pairs)}
            doubled.append((value, next(k for i, (k, _) in enumerate(pairs) if last[k] != i)))
        return value

    try:
        value = json.loads(text, parse_int=_whole_number, parse_constant=_NoValue, object_pairs_hook=made)
    except json.JSONDecodeError as error:
        source, before = SourceFile(name, text), SourceFile(name, text[: error.pos]).lines
        reason = f"{error.msg[0].lower()}{error.msg[1:]}"
        fail("E0801", f"the file is not JSON: {reason}", Span(source, len(before) - 1, len(before[-1])))
    except RecursionError:
        fail("E0801", f"{name} is no graph.json: its lists and objects are nested too deep")
    if doubled:
        fail_all(_doubled(name, value, {id(object_): key for object_, key in doubled}))
    if _SURROGATE.search(text):
        fail_all(_halved(name, value))
    return value


def _whole_number(digits: str) -> int | _NoValue:
    length = len(digits.removeprefix("-"))
    return int(digits) if length <= MAX_DIGITS else _NoValue(f"a number of {length:,} digits")


def _doubled(name: str, document: Any, keys: Mapping[int, str]) -> Iterator[Diagnostic]:
    """A diagnostic for each object in which a key stands twice: readers differ in which value they take."""
    for steps, value in _values(document):
        if id(value) in keys:
            yield wrong(name, (*steps, keys[id(value)]), "stands twice")


def _halved(name: str, document: Any) -> Iterator[Diagnostic]:
    """A diagnostic for each text that holds half of a pair of surrogates, which UTF-8 cannot say."""
    for steps, value in _values(document):
        for text in (value, *steps[-1:]):
            if isinstance(text, str) and not text.isascii() and _is_halved(text):
                yield wrong(name, steps, "is no text: it holds half of a pair of surrogates")


def _is_halved(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _values(document: Any) -> Iterator[tuple[Steps, Any]]:
    """Each value of a document, with the steps to it."""
    pending: list[tuple[Steps, Any]] = [((), document)]
    while pending:
        steps, value = pending.pop()
        yield steps, value
        if isinstance(value, dict):
            pending += [((*steps, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            pending += [((*steps, index), inner) for index, inner in enumerate(value)]


def _document(name: str, value: Any) -> GraphDocument:
    """A parsed value as a document. Raises E0801 for another form or version, E0802 for its wrong keys."""
    if not isinstance(value, dict) or "archforge_graph" not in value:
        fail("E0801", f"{name} is no graph.json: it has no key `archforge_graph`")
    version = value["archforge_graph"]
    if type(version) is not int or version != VERSION:
        fail("E0801", f"{name} is of version {found(version)}; version {VERSION} can be read")
    try:
        return GraphDocument.model_validate(value)
    except ValidationError as error:
        raise DiagnosticError(tuple(islice(_mistakes(name, error), MAX_REPORTED))) from None


def _mistakes(name: str, error: ValidationError) -> Iterator[Diagnostic]:
    """A diagnostic for each key that is not of the form."""
    for mistake in error.errors(include_url=False):
        steps, kind = mistake["loc"], mistake["type"]
        if kind == "missing":
            yield wrong(name, steps, "is missing")
        elif kind == "extra_forbidden":
            help = did_you_mean(str(steps[-1]), _keys_beside(steps), what="keys")
            yield wrong(name, steps, "is no key of this form", help)
        else:
            expected = _EXPECTED.get(kind, mistake["msg"].lower()).format_map(mistake.get("ctx", {}))
            yield wrong(name, steps, f"must be {expected}, found {found(mistake['input'])}")


def _keys_beside(steps: Steps) -> Iterable[str]:
    """The keys that an object of the form can have, for the place of an unknown one."""
    model: type[BaseModel] = GraphDocument
    for step in steps[:-1]:
        if isinstance(step, str):
            annotation: Any = model.model_fields[step].annotation
            (model,) = getattr(annotation, "__args__", (annotation,))  # of `list[NodeEntry]` the latter
    return model.model_fields


def wrong(
    name: str,
    steps: Steps,
    what: str,
    help: str = "",
    *,
    code: str = "E0802",
    notes: Iterable[Note] = (),
) -> Diagnostic:
    """A diagnostic about the value at a place of the file of that name, such as `nodes[3].shape[0]`."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return Diagnostic(code, f"{name}: `{place.removeprefix('.')}` {what}", help=help, notes=tuple(notes))


def found(value: Any) -> str:
    """A value as messages print it, of any size and depth."""
    if isinstance(value, _NoValue):
        return str(value)
    if isinstance(value, list | tuple):
        plain = len(value) <= MAX_SHOWN and not any(isinstance(v, list | tuple | dict) for v in value)
        return describe(value) if plain else f"a list of {len(value):,}"
    return "an object" if isinstance(value, dict) else describe(value)
