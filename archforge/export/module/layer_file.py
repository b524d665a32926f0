"""Classes and functions of a template in Python, of which generated source copies what it needs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from archforge.export.module.kernels import names_in, with_needs
from archforge.interchange.decompile.values import REQUIRED
from archforge.resources import templates_folder

__all__ = ["LayerFile", "LayerSource", "layer_file"]


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A class or a function: its text, its arguments with their defaults, the names that it uses."""

    name: str
    text: str
    args: Mapping[str, Any]
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class LayerFile:
    """The classes and functions of a file by name, in order."""

    layers: Mapping[str, LayerSource]

    def closure(self, names: Iterable[str]) -> list[LayerSource]:
        """The layers of these names and all that they use, in the order of the file."""
        return with_needs(self.layers, names)


@cache
def layer_file(file: str) -> LayerFile:
    """The layers of a file of `templates/`."""
    text = (templates_folder() / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    layers = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            source = "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
            args = _arguments(statement)
            layers[statement.name] = LayerSource(statement.name, source, args, names_in(statement))
    return LayerFile(layers)


def _arguments(statement: ast.FunctionDef | ast.ClassDef) -> dict[str, Any]:
    """The arguments behind the first one, `x` or `self`, with their defaults."""
    if isinstance(statement, ast.ClassDef):
        own = [s for s in statement.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
        return _arguments(own[0]) if own else {}
    args = statement.args
    defaults = [REQUIRED] * (len(args.args) - len(args.defaults)) + [
        ast.literal_eval(d) for d in args.defaults
    ]
    positional = dict(zip((a.arg for a in args.args), defaults, strict=True))
    positional.pop(args.args[0].arg)
    keywords = (REQUIRED if d is None else ast.literal_eval(d) for d in args.kw_defaults)
    return positional | dict(zip((a.arg for a in args.kwonlyargs), keywords, strict=True))
