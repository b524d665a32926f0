"""Hashes of what a run depends on: graphs, and functions by their code and by what they were made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from archforge.ir import TypedGraph

__all__ = ["code_digest", "graph_digest"]

DEPTH = 12  # of values within values that are looked at
PLAIN = bool | int | float | complex | str | bytes | None


def graph_digest(typed: TypedGraph) -> str:
    """A hash of the nodes of a graph, with their attributes and inputs."""
    nodes = [[n.name, n.op.kind, n.op.attributes(), n.inputs, n.params_of] for n in typed.nodes]
    inputs = {name: type_.shape for name, type_ in typed.inputs.items()}
    text = json.dumps([inputs, nodes, dict(typed.outputs)], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest(function: Any) -> str:
    """A hash of a function's code, defaults and closure, or of the class and the attributes of an object.

    Comments and lines do not count, the version of Python does. What is found by a global name is left out.
    """
    text = "\n".join(_facts(function, {}, DEPTH))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _facts(value: Any, seen: dict[int, Any], depth: int) -> Iterator[str]:
    """Texts that tell a value from others; what is `seen` already by its type alone."""
    yield type(value).__qualname__
    if isinstance(value, PLAIN):
        yield repr(value)
    elif id(value) not in seen and depth:
        seen[id(value)] = value  # which thus keeps its number
        for part in _parts(value):
            yield from _facts(part, seen, depth - 1)


def _parts(value: Any) -> Iterator[Any]:
    """The values that another one consists of."""
    if isinstance(value, FunctionType):
        yield from (value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__)
    elif isinstance(value, CodeType):
        yield from (value.co_code, value.co_names, value.co_varnames, value.co_consts)
    elif isinstance(value, CellType):
        try:
            yield value.cell_contents
        except ValueError:  # nothing is in it
            return
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, Mapping):
        yield from (part for item in value.items() for part in item)
    elif isinstance(value, tuple | list):
        yield from value
    elif isinstance(value, set | frozenset):
        yield from sorted(value, key=repr)
    elif hasattr(value, "__array__") and hasattr(value, "tobytes"):
        yield from (str(value.dtype), value.shape, value.tobytes())
    elif isinstance(value, type):
        yield from (member for _, member in sorted(vars(value).items()) if callable(member))
    elif hasattr(value, "__dict__"):
        yield from (type(value), vars(value))
