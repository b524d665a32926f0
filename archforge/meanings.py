"""Docstrings of ops and of parts of recipes, taken apart for docs and editors: the text, and the meaning of
each attribute."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent

from pydantic import BaseModel

__all__ = ["attribute_meanings", "text_of"]

# `name: meaning`, whose further lines are indented.
_ENTRY = re.compile(r"^(\w+): (.+(?:\n +.+)*)$", re.MULTILINE)
_SECTION = "\n\nAttributes:\n"
# What a class has in its own body that a spec can name, or that is a kind: no base of others for its text.
_NAMED = frozenset(("op", "word", "package"))


def text_of(cls: type[BaseModel]) -> str:
    """The docstring of an op or part and of those base classes that give it attributes, one line a
    paragraph."""
    bases = [b for b in _bases(cls)[1:] if _NAMED.isdisjoint(vars(b)) and _split(b)[1]]
    text = "\n\n".join(_split(base)[0] for base in (cls, *bases))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def attribute_meanings(cls: type[BaseModel]) -> dict[str, str]:
    """The effect of each attribute by its name, with its unit; that of the nearest class that says it."""
    found: dict[str, str] = {}
    for base in reversed(_bases(cls)):
        section = dedent(_split(base)[1])
        found |= {name: " ".join(meaning.split()) for name, meaning in _ENTRY.findall(section)}
    return found


def _bases(cls: type[BaseModel]) -> list[type[BaseModel]]:
    """The class and those of its bases that have attributes of their own, nearest first."""
    return [base for base in cls.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]


def _split(cls: type[BaseModel]) -> tuple[str, str]:
    """The text of a class's own docstring, and its section on attributes."""
    text, _, section = inspect.cleandoc(vars(cls).get("__doc__") or "").partition(_SECTION)
    return text, section
