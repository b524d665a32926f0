"""Suggestions for values of the wrong kind."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from archforge.errors import misspelt
from archforge.spec.syntax.syntax_tree import RANGES

__all__ = ["value_hint"]


def value_hint(value: Any, expected: str, names: Iterable[str] = (), written: str = "") -> str:
    """Suggestion for a value that is not what was `expected`, in the words of a description; perhaps empty.
    `names` are those that a formula could have used here, `written` is the text that gave the value."""
    number = "number" in expected
    if isinstance(value, dict) and not value.keys().isdisjoint(RANGES):
        return "a range stands in `args` of a spec of `kind: space`, and its name here: =width"
    if expected == "a text" and written.startswith("="):
        return f"`str` makes a text of a number: =str({written[1:]})"
    if expected == "a text":
        return f'quote it: "{written}"' if isinstance(value, int | float | None) and written else ""
    if expected == "true or false":
        return _truth_hint(value, names)
    if isinstance(value, float) and "whole number" in expected:
        return (
            "`//` divides to a whole number" if value != int(value) else f"write {int(value)}; `//` gives it"
        )
    if value is None and number:
        return "leave it out, or write a number"
    if isinstance(value, int) and not isinstance(value, bool):
        return _size_hint(value, expected)
    if isinstance(value, list | tuple) and len(value) == 1 and number:
        return f"without brackets: {value[0]}"
    return _text_hint(value, expected, names) if isinstance(value, str) else ""


def _truth_hint(value: Any, names: Iterable[str]) -> str:
    if isinstance(value, str) and set(re.findall(r"[A-Za-z_]\w*", value)) & set(names):
        return f"a formula starts with `=`: ={value}"
    word = str(value).lower()
    if word in ("yes", "on", "true", "1", "y"):
        return "write true"
    return "write false" if word in ("no", "off", "false", "0", "n", "none") else ""


def _size_hint(value: int, expected: str) -> str:
    """Suggestion for a whole number where none can be."""
    if expected == "a list":
        return f"a list of one: [{value}]"
    if "at most 1" in expected and value > 1:
        return "leave it out: the number of channels is known from the input"
    return f"a share of 1: {value / 100:g}" if "from 0 to 1" in expected and 1 < value < 100 else ""


def _text_hint(value: str, expected: str, names: Iterable[str]) -> str:
    number = "number" in expected
    usual = unicodedata.normalize("NFKC", value).replace("\u2212", "-").replace("\u00d7", "x").strip()
    if number and re.fullmatch(r"[-+]?[0-9][0-9_]*(\.[0-9]+)?([eE][-+]?[0-9]+)?", usual):
        return f"without quotes: {usual}" if usual == value.strip() else f"in plain characters: {usual}"
    extents = re.fullmatch(r"\([0-9]+( *, *[0-9]+)*\)|[0-9]+( *[x*,] *[0-9]+)+", usual)
    if "list" in expected and (extents or value.startswith("(")):
        return f"a list is written [{', '.join(re.findall('[0-9]+', usual)) if extents else '3, 3'}]"
    if set(re.findall(r"[A-Za-z_]\w*", value)) & set(names):
        return f"a formula starts with `=`: ={value}"
    if number and re.fullmatch(r"[0-9]+ *[-+*/%]+ *[0-9]+", value):
        return f"a formula starts with `=`: ={value}"
    behind = re.fullmatch(r"([^\s;]+)\s*(?:;|//|/\*).*", value)
    if number and behind:
        return f"a comment starts with ` #`, and nothing ends a line: {behind[1]}"
    pair = re.fullmatch(r"(\w+) *= *(\S.*)", value)
    if pair:
        return f"by name: {{{pair[1]}: {pair[2]}}}"
    if "`same_upper`" in expected and usual.lower() in ("same", "auto", "same_lower"):
        return "TensorFlow's SAME is `same_upper`; `same` is (kernel - 1) // 2 on both sides"
    word = misspelt(value, re.findall(r"`(\w+)`", expected))
    return f"did you mean `{word}`?" if word else ""
