"""Functions and operators of formulas: an allow-list, whose every call is bounded in time and memory."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archforge.spec import limits

__all__ = [
    "BINARY",
    "COMPARE",
    "CONSTANTS",
    "FUNCTIONS",
    "SIZED",
    "UNARY",
    "FormulaFunction",
    "RefusedComputation",
    "size_of",
]

MAX_DIGITS = 18
SIZED = (str, list)  # values with items
MANY = 1_000


class RefusedComputation(Exception):
    """Raised for a computation that formulas may not make; the text says why."""


@dataclass(frozen=True, slots=True)
class FormulaFunction:
    """A function that formulas may call. `says` is printed by the language reference."""

    call: Callable[..., Any]
    fewest: int
    most: int
    says: str


def _refuse_size(size: int) -> None:
    if size > limits.LIST.most:
        raise RefusedComputation(limits.LIST.told())


def size_of(value: list[Any] | str) -> int:
    """The number of items of a list or text, those of lists and texts in lists counted.

    Raises `RefusedComputation` for too many, and for lists too deep in each other.
    """
    size, parts, levels = 0, [value], 0
    while parts:
        size += sum(map(len, parts))
        _refuse_size(size)
        levels += 1
        if levels > limits.LIST_LEVELS.most:
            raise RefusedComputation(limits.LIST_LEVELS.told())
        parts = [item for part in parts if type(part) is list for item in part if type(item) in SIZED]
    return size


def _divisible(value: float, divisor: int = 8) -> int:
    """Round `value` to a multiple of `divisor`, never down by more than a tenth (MobileNet)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _range(*bounds: int) -> list[int]:
    whole = range(*bounds)
    _refuse_size(len(whole))
    return list(whole)


def _round(value: float, digits: int = 0) -> float:
    if abs(digits) > MAX_DIGITS:
        raise RefusedComputation(f"`round` to more than {MAX_DIGITS} digits")
    return round(value, digits) if digits else round(value)


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise TypeError
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unique(items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def _zip(*lists: list[Any]) -> list[list[Any]]:
    if len({len(items) for items in lists}) > 1:
        raise RefusedComputation("`zip` takes lists of equal length")
    return [list(row) for row in zip(*lists, strict=True)]


FUNCTIONS: dict[str, FormulaFunction] = {
    "abs": FormulaFunction(abs, 1, 1, "absolute value"),
    "all": FormulaFunction(all, 1, 1, "whether all items of a list are true"),
    "any": FormulaFunction(any, 1, 1, "whether any item of a list is true"),
    "ceil": FormulaFunction(math.ceil, 1, 1, "smallest whole number not below"),
    "count": FormulaFunction(lambda items, item: items.count(item), 2, 2, "how often an item is in a list"),
    "divisible": FormulaFunction(
        _divisible,
        1,
        2,
        "nearest multiple of a divisor (8), never more than a tenth below: MobileNet's rule",
    ),
    "float": FormulaFunction(float, 1, 1, "as a number with a fraction"),
    "floor": FormulaFunction(math.floor, 1, 1, "largest whole number not above"),
    "int": FormulaFunction(int, 1, 1, "the whole part"),
    "len": FormulaFunction(len, 1, 1, "number of items"),
    "log": FormulaFunction(math.log, 1, 2, "natural logarithm, or to the base in second place"),
    "log2": FormulaFunction(math.log2, 1, 1, "logarithm to base 2"),
    "max": FormulaFunction(max, 1, MANY, "the largest of its arguments, or of a list"),
    "min": FormulaFunction(min, 1, MANY, "the smallest of its arguments, or of a list"),
    "range": FormulaFunction(_range, 1, 3, "whole numbers from 0, or from the first, up to the last but one"),
    "reversed": FormulaFunction(lambda items: list(reversed(items)), 1, 1, "a list from its end"),
    "round": FormulaFunction(_round, 1, 2, "nearest whole number, halves to even; to digits in second place"),
    "sorted": FormulaFunction(sorted, 1, 1, "a list in rising order"),
    "sqrt": FormulaFunction(math.sqrt, 1, 1, "square root"),
    "str": FormulaFunction(_text, 1, 1, "a number, true or false as text"),
    "sum": FormulaFunction(sum, 1, 1, "sum of a list"),
    "unique": FormulaFunction(_unique, 1, 1, "a list without repeats, in its order"),
    "zip": FormulaFunction(_zip, 1, MANY, "rows made of equally long lists"),
}
CONSTANTS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


def _power(base: float, exponent: float) -> Any:
    if abs(exponent) > 64 or abs(base) > limits.NUMBER.most:
        raise RefusedComputation("an exponent of more than 64")
    result = base**exponent
    if isinstance(result, complex):
        raise RefusedComputation("the root of a negative number")
    return result


def _times(left: Any, right: Any) -> Any:
    for items, count in ((left, right), (right, left)):
        if isinstance(items, str | list) and isinstance(count, int):
            _refuse_size(len(items) * count)
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):  # would be text formatting
        raise TypeError
    return left % right


BINARY: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", _times),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", _modulo),
    ast.Pow: ("**", _power),
}
COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.In: ("in", lambda a, b: a in b),
    ast.NotIn: ("not in", lambda a, b: a not in b),
}
UNARY: dict[type[ast.unaryop], tuple[str, Callable[[Any], Any]]] = {
    ast.USub: ("-", operator.neg),
    ast.UAdd: ("+", operator.pos),
    ast.Not: ("not", operator.not_),
}
