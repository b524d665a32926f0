"""Checks of the evaluated values of modifiers: `when`, `repeat`, `from`, `name`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from archforge.errors import Span, fail
from archforge.spec import limits
from archforge.spec.binding.tensors import POISON, Tensor
from archforge.spec.formulas.failures import Poisoned
from archforge.spec.formulas.formula import describe
from archforge.spec.syntax.value_hints import value_hint

__all__ = ["check_count", "check_label", "check_output", "check_tensor", "check_truth"]

Names = Callable[[], Iterable[str]]  # gives the names that a formula could have used instead


def check_truth(value: Any, span: Span, names: Names = tuple, what: str = "`when`") -> bool:
    """Return the value of `when`, or of another condition. Raises E0308, or `Poisoned`."""
    if value is POISON:
        raise Poisoned
    if isinstance(value, bool):
        return value
    hint = value_hint(value, "true or false", names()) or "compare it: `!= 0`, `!= 'none'`"
    fail("E0308", f"{what} is true or false, found {describe(value)}", span, help=hint)


def check_count(value: Any, span: Span, names: Names = tuple) -> int:
    """Return the value of `repeat`. Raises E0308, or `Poisoned`."""
    if value is POISON:
        raise Poisoned
    if type(value) is int and value >= 0:
        return value
    expected = "a whole number, 0 or more"
    hint = value_hint(value, expected, names())
    fail("E0308", f"`repeat` is {expected}, found {describe(value)}", span, help=hint)


def check_tensor(value: Any, span: Span, what: str, names: Names = tuple) -> Tensor:
    """Return a value of the graph: a tap, an input, or the current value. Raises E0308, or `Poisoned`."""
    if value is POISON:
        raise Poisoned
    if isinstance(value, Tensor):
        return value
    hint = value_hint(value, "a value such as a tap", names())
    if isinstance(value, list) and any(isinstance(v, Tensor) for v in value):
        hint = "take one of the list: name[0]"
    fail("E0308", f"{what} is a value such as a tap, found {describe(value)}", span, help=hint)


def check_output(value: Any, span: Span, what: str, names: Names = tuple) -> Tensor | list[Tensor]:
    """Return what an output is: a value of the graph, or a list of them. Raises E0308, or `Poisoned`."""
    if not isinstance(value, list):
        return check_tensor(value, span, what, names)
    other = next((v for v in value if not isinstance(v, Tensor)), None)
    if not value or other is not None:
        found = "with nothing in it" if not value else f"that holds {describe(other)}"
        fail("E0308", f"{what} is a value such as a tap, or a list of them, found a list {found}", span)
    return [check_tensor(v, span, what, names) for v in value]


@lru_cache(maxsize=4096)  # blocks are called over and over
def _is_label(text: str) -> bool:
    return len(text) <= limits.NAME.most and all(text.split(".")) and not any(c.isspace() for c in text)


def check_label(text: str, span: Span) -> str:
    """Return `text` if it can name a node: words with single dots between them. Raises E0308."""
    if _is_label(text):
        return text
    limits.NAME.check(len(text), span)
    fail("E0308", f"`{text}` is no name", span, help="words joined by single dots, without spaces")
