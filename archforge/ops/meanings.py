"""Docstrings of ops, taken apart for docs and editors: the text, and the meaning of each attribute."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent

from archforge.ops.base import Op

__all__ = ["attribute_meanings", "op_text"]

# `name: meaning`, whose further lines are indented.
_ENTRY = re.compile(r"^(\w+): (.+(?:\n +.+)*)$", re.MULTILINE)
_SECTION = "\n\nAttributes:\n"


def op_text(cls: type[Op]) -> str:
    """The docstring of an op and of those base classes that give it attributes, one line a paragraph."""
    bases = [base for base in _bases(cls)[1:] if "op" not in vars(base) and _split(base)[1]]
    text = "\n\n".join(_split(base)[0] for base in (cls, *bases))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def attribute_meanings(cls: type[Op]) -> dict[str, str]:
    """The effect of each attribute by its name, with its unit; that of the nearest class that says it."""
    found: dict[str, str] = {}
    for base in reversed(_bases(cls)):
        section = dedent(_split(base)[1])
        found |= {name: " ".join(meaning.split()) for name, meaning in _ENTRY.findall(section)}
    return found


def _bases(cls: type[Op]) -> list[type[Op]]:
    """The class and its bases below `Op`, nearest first."""
    return [base for base in cls.__mro__ if issubclass(base, Op) and base is not Op]


def _split(cls: type[Op]) -> tuple[str, str]:
    """The text of a class's own docstring, and its section on attributes."""
    text, _, section = inspect.cleandoc(vars(cls).get("__doc__") or "").partition(_SECTION)
    return text, section
