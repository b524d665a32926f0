"""Patterns of names of parameters: `*` stands for any characters, dots too, and `?` for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

__all__ = ["last_fitting", "names_that_fit"]

T = TypeVar("T")


def names_that_fit(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern is for, in their order."""
    return [name for name in names if fnmatchcase(name, pattern)]


def last_fitting(name: str, patterns: Mapping[str, T]) -> T | None:
    """The value of the last pattern that a name fits; None if it fits none."""
    return next((value for p, value in reversed([*patterns.items()]) if fnmatchcase(name, p)), None)
