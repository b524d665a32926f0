"""Values that a caller gives from Python, held to their kinds: what is none is E0001, by its name."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection
from typing import Any, SupportsIndex

from archforge.errors import fail, type_in_words

__all__ = ["positive_number", "require_text", "text_or_none", "texts", "truth", "whole_number"]


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Several texts; a single one stands for itself."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Collection):
        fail("E0001", f"`{name}` are texts, found {type_in_words(value)}", help=f'{name}=["..."]')
    for item in value:
        if not isinstance(item, str):
            fail("E0001", f"`{name}` are texts, and {type_in_words(item)} is among them")
    return tuple(value)


def text_or_none(name: str, value: Any) -> str | None:
    """A text, if there is one."""
    return None if value is None else require_text(name, value)


def require_text(name: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        fail("E0001", f"`{name}` is a text, found {type_in_words(value)}")
    return value


def whole_number(name: str, value: Any) -> int:
    """A whole number, NumPy's too, that is not below 0."""
    number = operator.index(value) if isinstance(value, SupportsIndex) else None
    if number is None or number < 0:
        found = type_in_words(value) if number is None else str(number)
        fail("E0001", f"`{name}` is a whole number from 0, found {found}")
    return number


def positive_number(name: str, value: Any, *, most: float = math.inf) -> int:
    """A whole number from 1, at most `most`."""
    number = whole_number(name, value)
    if not 1 <= number <= most:
        to = "" if most == math.inf else f" to {most}"
        fail("E0001", f"`{name}` is a whole number from 1{to}, found {number}")
    return number


def truth(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        fail("E0001", f"`{name}` is True or False, found {value!r}")
    return value
