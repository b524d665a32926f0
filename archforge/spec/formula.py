"""Formulas: a bounded subset of Python expressions, compiled to closures once per document.

Nothing of Python can be reached: names come from the spec, functions from `FUNCTIONS`, attributes
from a tensor, a row or a set of counts. Every node knows its span inside the YAML string.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from archforge.errors import Span, did_you_mean, fail

__all__ = [
    "FUNCTIONS",
    "Formula",
    "Namespace",
    "Record",
    "Template",
    "describe",
    "parse_formula",
    "parse_template",
]

MAX_LENGTH = 1_000
MAX_ITEMS = 10_000
MAX_NUMBER = 10**18


class Namespace(Protocol):
    """What the names of a formula mean, innermost first."""

    def lookup(self, name: str) -> Any:
        """Value of `name`. Raises `KeyError`."""

    def names(self) -> Iterable[str]: ...

    def spend(self, items: int) -> None:
        """Count `items` against the budget of the whole compilation. Raises `ValueError`."""


class Record(Protocol):
    """A value with attributes that formulas may read: a tensor, a set of counts."""

    def attribute(self, name: str) -> Any:
        """Raises `KeyError` for a name that it lacks."""

    def attributes(self) -> Iterable[str]: ...


Evaluate = Callable[[Namespace], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """`=source` in a spec. `names` are the free names that it reads."""

    source: str
    span: Span
    evaluate: Evaluate
    names: tuple[tuple[str, Span], ...]

    def __str__(self) -> str:
        return f"={self.source}"


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Text with `{formula}` in it, for names: `layer{i+1}`."""

    parts: tuple[str | Formula, ...]
    span: Span

    def evaluate(self, names: Namespace) -> str:
        return "".join(p if isinstance(p, str) else str(p.evaluate(names)) for p in self.parts)


def _divisible(value: float, divisor: int = 8) -> int:
    """`value` rounded to a multiple of `divisor`, never down by more than a tenth (MobileNet)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _range(*bounds: int) -> list[int]:
    whole = range(*bounds)
    _refuse_size(len(whole))
    return list(whole)


def _text(value: Any) -> str:
    if isinstance(value, list | Mapping):
        raise TypeError("only a number, a text, true or false becomes text")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse_size(size: int) -> None:
    if size > MAX_ITEMS:
        raise ValueError(f"a list or text of more than {MAX_ITEMS:,} items")


def _bounded(items: Any) -> Any:
    """`items`, unless it holds too many, counting those of lists in lists."""
    pending, size = [items], 0
    while pending:
        part = pending.pop()
        size += len(part)
        _refuse_size(size)
        if isinstance(part, list):
            pending += [item for item in part if isinstance(item, list | str)]
    return items


# Name -> (function, what it gives). The second part is printed by the language reference.
FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "abs": (abs, "absolute value"),
    "all": (all, "whether all items of a list are true"),
    "any": (any, "whether any item of a list is true"),
    "ceil": (math.ceil, "smallest whole number not below"),
    "count": (lambda items, item: items.count(item), "how often an item is in a list"),
    "divisible": (
        _divisible,
        "nearest multiple of a divisor (8), never more than a tenth below: MobileNet's rule",
    ),
    "float": (float, "as a number with a fraction"),
    "floor": (math.floor, "largest whole number not above"),
    "int": (int, "the whole part"),
    "len": (len, "number of items"),
    "log": (math.log, "natural logarithm, or to the base in second place"),
    "log2": (math.log2, "logarithm to base 2"),
    "max": (max, "the largest of its arguments, or of a list"),
    "min": (min, "the smallest of its arguments, or of a list"),
    "range": (_range, "whole numbers from 0, or from the first, up to the last but one"),
    "reversed": (lambda items: list(reversed(items)), "a list from its end"),
    "round": (round, "nearest whole number, halves to even"),
    "sorted": (sorted, "a list in rising order"),
    "sqrt": (math.sqrt, "square root"),
    "str": (_text, "a number, true or false as text"),
    "sum": (sum, "sum of a list"),
    "unique": (lambda items: list(dict.fromkeys(items)), "a list without repeats, in its order"),
    "zip": (
        lambda *lists: [list(row) for row in zip(*lists, strict=True)],
        "rows made of equally long lists",
    ),
}
CONSTANTS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


def _power(base: float, exponent: float) -> Any:
    if abs(exponent) > 64 or abs(base) > MAX_NUMBER:
        raise ValueError("an exponent of more than 64")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the root of a negative number")
    return result


def _add(left: Any, right: Any) -> Any:
    result = left + right
    return result if isinstance(result, int | float) else _bounded(result)


def _times(left: Any, right: Any) -> Any:
    for items, count in ((left, right), (right, left)):
        if isinstance(items, str | list) and isinstance(count, int):
            _refuse_size(len(items) * count)
            return _bounded(items * count)
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):  # would be text formatting
        raise TypeError("% is the remainder of numbers")
    return left % right


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _modulo,
    ast.Pow: _power,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}


def parse_formula(source: str, span: Span) -> Formula:
    """Compile `source`, which stands at `span`. Raises E0303 or E0304 at the very token."""
    if len(source) > MAX_LENGTH:
        fail("E0304", f"a formula of more than {MAX_LENGTH:,} characters", span)
    if "\\" in source or "\0" in source:
        fail("E0304", "a backslash in a formula", span)
    stripped = source.lstrip()
    lead = len(source) - len(stripped)
    try:
        tree = ast.parse(stripped, mode="eval").body
        return _Compiler(stripped, span, lead).formula(tree, source)
    except SyntaxError as error:
        offset = lead + max((error.offset or 1) - 1, 0)
        message = "an empty formula" if not stripped else f"not a formula: {error.msg}"
        fail("E0303", message, span.part(min(offset, max(len(source) - 1, 0)), 1), help=_syntax_help(source))
    except (RecursionError, MemoryError):
        fail("E0304", "a formula that is nested too deeply", span)


def _syntax_help(source: str) -> str:
    if "&&" in source or "||" in source or re.search(r"!(?!=)", source):
        return "write `and`, `or`, `not`"
    if "?" in source:
        return "write `a if condition else b`"
    if re.search(r"(?<![=!<>])=(?!=)", source):
        return "equality is `==`"
    return ""


class _Compiler:
    """Turns the syntax tree into closures over a `Namespace`."""

    def __init__(self, source: str, span: Span, lead: int) -> None:
        self.span, self.lead = span, lead
        self.utf8 = None if source.isascii() else source.encode()
        self.names: list[tuple[str, Span]] = []
        self.bound: list[str] = []

    def formula(self, tree: ast.expr, source: str) -> Formula:
        evaluate = self.compile(tree)
        return Formula(source, self.span, evaluate, tuple(self.names))

    def column(self, offset: int) -> int:
        """Characters before byte `offset` (syntax trees count UTF-8 bytes)."""
        return offset if self.utf8 is None else len(self.utf8[:offset].decode())

    def at(self, node: ast.expr) -> Span:
        start = self.column(node.col_offset)
        end = self.column(node.end_col_offset or node.col_offset + 1)
        return self.span.part(self.lead + start, end - start)

    def compile(self, node: ast.expr) -> Evaluate:
        method: Callable[[Any], Evaluate] | None = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            self.refuse(node)
        return method(node)

    def refuse(self, node: ast.expr) -> NoReturn:
        fail(
            "E0304",
            f"`{ast.unparse(node)}` is not allowed in a formula",
            self.at(node),
            help="arithmetic, comparisons, and/or/not, a if b else c, lists, [e for v in l], functions",
        )

    def guarded(self, node: ast.expr, compute: Evaluate) -> Evaluate:
        """`compute`, whose failures become diagnostics at `node`."""
        span = self.at(node)

        def evaluate(names: Namespace) -> Any:
            try:
                value = compute(names)
            except (TypeError, ValueError, ArithmeticError, LookupError) as error:
                fail("E0305", _reason(error), span, label=f"in `{ast.unparse(node)}`")
            if isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
                fail("E0305", f"{value} is out of range", span, help="numbers are at most 1e18")
            return value

        return evaluate

    def _Constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if not isinstance(value, int | float | str | bool | None) or (
            isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER
        ):
            self.refuse(node)
        return lambda names: value

    def _Name(self, node: ast.Name) -> Evaluate:
        name = node.id
        if name in CONSTANTS:
            constant = CONSTANTS[name]
            return lambda names: constant
        span = self.at(node)
        if name in FUNCTIONS and name not in self.bound:
            fail("E0304", f"`{name}` is a function: call it", span, help=f"{name}(...)")
        if name not in self.bound:
            self.names.append((name, span))

        def evaluate(names: Namespace) -> Any:
            try:
                return names.lookup(name)
            except KeyError:
                unknown_name(name, span, names.names())

        return evaluate

    def _Attribute(self, node: ast.Attribute) -> Evaluate:
        value, name = self.compile(node.value), node.attr
        end = self.column(node.end_col_offset or 0)
        span = self.span.part(self.lead + end - len(name), len(name))

        def evaluate(names: Namespace) -> Any:
            record = value(names)
            if isinstance(record, Mapping):
                known: Iterable[str] = [str(k) for k in record]
                if name in record:
                    return record[name]
            elif hasattr(record, "attribute"):
                try:
                    return record.attribute(name)
                except KeyError:
                    known = record.attributes()
            else:
                fail("E0305", f"{describe(record)} has no attributes", span)
            fail("E0302", f"no attribute `{name}`", span, help=did_you_mean(name, known))

        return evaluate

    def _BinOp(self, node: ast.BinOp) -> Evaluate:
        function = _BINARY.get(type(node.op))
        if function is None:
            self.refuse(node)
        left, right = self.compile(node.left), self.compile(node.right)
        return self.guarded(node, lambda names: function(left(names), right(names)))

    def _UnaryOp(self, node: ast.UnaryOp) -> Evaluate:
        function = _UNARY.get(type(node.op))
        if function is None:
            self.refuse(node)
        operand = self.compile(node.operand)
        return self.guarded(node, lambda names: function(operand(names)))

    def _BoolOp(self, node: ast.BoolOp) -> Evaluate:
        parts = [self.compile(value) for value in node.values]
        stops_at = isinstance(node.op, ast.Or)

        def evaluate(names: Namespace) -> Any:
            result: Any = None
            for part in parts:
                result = part(names)
                if bool(result) is stops_at:
                    break
            return result

        return evaluate

    def _Compare(self, node: ast.Compare) -> Evaluate:
        functions = [_COMPARE.get(type(op)) for op in node.ops]
        if None in functions:
            self.refuse(node)
        operands = [self.compile(part) for part in (node.left, *node.comparators)]

        def compute(names: Namespace) -> bool:
            left = operands[0](names)
            for function, operand in zip(functions, operands[1:], strict=True):
                right = operand(names)
                if not function(left, right):  # type: ignore[misc]  # None was refused above
                    return False
                left = right
            return True

        return self.guarded(node, compute)

    def _IfExp(self, node: ast.IfExp) -> Evaluate:
        test, body, other = map(self.compile, (node.test, node.body, node.orelse))
        return lambda names: body(names) if test(names) else other(names)

    def _Call(self, node: ast.Call) -> Evaluate:
        if not isinstance(node.func, ast.Name) or node.keywords:
            self.refuse(node)
        name = node.func.id
        if name not in FUNCTIONS:
            fail(
                "E0302",
                f"unknown function `{name}`",
                self.at(node.func),
                help=did_you_mean(name, FUNCTIONS, what="functions"),
            )
        if any(isinstance(a, ast.Starred) for a in node.args):
            self.refuse(node)
        function = FUNCTIONS[name][0]
        arguments = [self.compile(a) for a in node.args]
        return self.guarded(node, lambda names: function(*[a(names) for a in arguments]))

    def _Subscript(self, node: ast.Subscript) -> Evaluate:
        value = self.compile(node.value)
        if isinstance(node.slice, ast.Slice):
            none: Evaluate = lambda names: None  # noqa: E731
            bounds = (node.slice.lower, node.slice.upper, node.slice.step)
            low, high, step = (self.compile(b) if b else none for b in bounds)
            return self.guarded(node, lambda n: value(n)[slice(low(n), high(n), step(n))])
        index = self.compile(node.slice)
        return self.guarded(node, lambda names: value(names)[index(names)])

    def _List(self, node: ast.List | ast.Tuple) -> Evaluate:
        items = [self.compile(item) for item in node.elts]
        return self.guarded(node, lambda names: _bounded([item(names) for item in items]))

    _Tuple = _List

    def _ListComp(self, node: ast.ListComp) -> Evaluate:
        generator = node.generators[0]
        if len(node.generators) != 1 or not isinstance(generator.target, ast.Name) or generator.is_async:
            self.refuse(node)
        items, variable = self.compile(generator.iter), generator.target.id
        self.bound.append(variable)
        conditions = [self.compile(c) for c in generator.ifs]
        element = self.compile(node.elt)
        self.bound.pop()

        def compute(names: Namespace) -> list[Any]:
            values = _bounded(list(items(names)))
            names.spend(len(values))
            scopes = (_Bound(names, variable, value) for value in values)
            return list(_bounded([element(s) for s in scopes if all(c(s) for c in conditions)]))

        return self.guarded(node, compute)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A namespace with the variable of a list comprehension in front."""

    outer: Namespace
    variable: str
    value: Any

    def lookup(self, name: str) -> Any:
        return self.value if name == self.variable else self.outer.lookup(name)

    def names(self) -> Iterable[str]:
        return (self.variable, *self.outer.names())

    def spend(self, items: int) -> None:
        self.outer.spend(items)


def unknown_name(name: str, span: Span, known: Iterable[str]) -> NoReturn:
    """Raise E0302 for a name that a formula cannot see."""
    names = list(dict.fromkeys(known))
    hint = did_you_mean(name, [*names, *FUNCTIONS])
    fail(
        "E0302", f"unknown name `{name}`", span, help=hint if "did you" in hint else did_you_mean(name, names)
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    if isinstance(error, IndexError):
        return "the index is outside of the list"
    if isinstance(error, KeyError):
        return f"there is no key {error}"
    return str(error).replace("'NoneType'", "null").replace("'_io.TextIOWrapper'", "")


def describe(value: Any) -> str:
    """A value as messages print it: `text "a"`, `3`, `true`, `a list`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'the text "{value}"'
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(v if isinstance(v, str) else describe(v) for v in value[:6])
        return f"[{shown}{', ...' if len(value) > 6 else ''}]"
    if isinstance(value, Mapping):
        return "a mapping"
    return str(value)


_SLOT = re.compile(r"\{([^{}]*)\}")


def parse_template(text: str, span: Span) -> Template:
    """Text with formulas in braces, which stands at `span`. Raises as `parse_formula` does."""
    parts: list[str | Formula] = []
    end = 0
    for match in _SLOT.finditer(text):
        parts += [
            text[end : match.start()],
            parse_formula(match[1], span.part(match.start(1), len(match[1]))),
        ]
        end = match.end()
    if "{" in text[end:] or "}" in text[end:]:
        fail("E0303", "an unmatched brace", span)
    return Template((*parts, text[end:]), span)
