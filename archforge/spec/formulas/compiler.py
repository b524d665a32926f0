"""Compiler of formulas, a bounded subset of Python expressions: text becomes closures, once per document.

Nothing of Python can be reached: names come from the spec, functions from `FUNCTIONS`, attributes
from a tensor, a row or a set of counts. Every node knows its span inside the YAML string.
"""

from __future__ import annotations

import ast
import copyreg
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from archforge.errors import Span, did_you_mean, fail
from archforge.spec import limits
from archforge.spec.formulas.failures import Poisoned
from archforge.spec.formulas.formula import (
    Evaluate,
    Formula,
    Namespace,
    Template,
    describe,
    read_attribute,
)
from archforge.spec.formulas.functions import (
    BINARY,
    COMPARE,
    CONSTANTS,
    FUNCTIONS,
    SIZED,
    UNARY,
    RefusedComputation,
    size_of,
)
from archforge.spec.formulas.ways_out import failed_hint, forbidden_hint, function_hint, syntax_hint
from archforge.spec.normal_form import normal_form

__all__ = ["parse_formula", "parse_template"]

LARGE = 40  # characters
NUMBERS = (int, float)
MAX_NUMBER = limits.NUMBER.most


def parse_formula(source: str, span: Span) -> Formula:
    """Compile `source`, which stands at `span`. Raises E0303 or E0304 at the very token."""
    limits.FORMULA.check(len(source), span)
    if "\\" in source or "\0" in source:
        fail("E0304", "a backslash in a formula", span)
    # Only a block scalar holds ends of lines, which end nothing here.
    stripped = _ENDS.sub(" ", source).strip()
    lead = len(source) - len(source.lstrip())
    try:
        return _FormulaCompiler(stripped, span, lead).formula(_tree(stripped), source)
    except SyntaxError as error:
        _refuse_syntax(stripped, lead, error, span)
    except (RecursionError, MemoryError):
        fail("E0304", "a formula that is nested too deeply", span)


def _as_text(formula: Formula) -> tuple[Any, ...]:
    """A formula as pickles hold it: what it evaluates are functions without names."""
    return parse_formula, (formula.source, formula.span)


copyreg.pickle(Formula, _as_text)

_ENDS = re.compile(r"[\n\r\f]")
_RUN_TOGETHER = re.compile(r"[0-9][a-z]")


def _tree(source: str) -> ast.expr:
    if not _RUN_TOGETHER.search(source):
        return ast.parse(source, mode="eval").body
    with warnings.catch_warnings():  # `1if a else b` is well formed, but Python frowns
        warnings.simplefilter("ignore")
        return ast.parse(source, mode="eval").body


def _refuse_syntax(source: str, lead: int, error: SyntaxError, span: Span) -> NoReturn:
    """Raise E0303. Only those of Python's messages are kept that are alike in all versions: on brackets."""
    if not source:
        fail("E0303", "an empty formula", span, help="`=` starts a formula; quote a text: '='")
    text = f": {error.msg}" if re.search(r"never closed|unmatched|does not match", error.msg) else ""
    offset = min((error.offset or len(source)) - 1, len(source) - 1)
    if not error.offset:
        text = ": something is missing at its end"
    fail("E0303", f"not a formula{text}", span.part(lead + offset, 1), help=syntax_hint(source))


class _FormulaCompiler:
    """Turns the syntax tree into closures over a `Namespace`."""

    def __init__(self, source: str, span: Span, lead: int) -> None:
        self.source, self.span, self.lead = source, span, lead
        self.utf8 = None if source.isascii() else source.encode()
        self.names: list[tuple[str, Span]] = []
        self.attributes: list[tuple[str, str, Span]] = []
        self.bound: list[str] = []
        self.level = 0

    def formula(self, tree: ast.expr, source: str) -> Formula:
        evaluate = self.compile(tree)
        if len(source) > LARGE:
            evaluate = _charged(evaluate, sum(1 for _ in ast.walk(tree)), self.span)
        return Formula(source, self.span, evaluate, tuple(self.names), tuple(self.attributes))

    def extent(self, node: ast.expr) -> tuple[int, int]:
        """Indices of the first character of `node` and of the one behind it (syntax trees count UTF-8
        bytes)."""
        start, end = node.col_offset, node.end_col_offset or node.col_offset + 1
        if self.utf8 is None:
            return start, end
        return len(self.utf8[:start].decode()), len(self.utf8[:end].decode())

    def at(self, node: ast.expr) -> Span:
        start, end = self.extent(node)
        return self.span.part(self.lead + start, end - start)

    def compile(self, node: ast.expr) -> Evaluate:
        method: Callable[[Any], Evaluate] | None = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            self.refuse(node)
        self.level += 1
        if self.level > limits.FORMULA_LEVELS.most:
            limits.FORMULA_LEVELS.refuse(self.at(node))
        evaluate = method(node)
        self.level -= 1
        return evaluate

    def refuse(self, node: ast.expr) -> NoReturn:
        start, end = self.extent(node)
        text = self.source[start:end]
        hint = forbidden_hint(node, self.source)
        fail("E0304", f"`{text}` is not allowed in a formula", self.at(node), help=hint)

    def guarded(
        self, node: ast.expr, operands: Sequence[Evaluate], compute: Callable[..., Any], what: str
    ) -> Evaluate:
        """A closure that calls `compute` on the operands' values; its failures become diagnostics at
        `node`."""
        span = self.at(node)

        def evaluate(names: Namespace) -> Any:
            values = []
            for operand in operands:  # no comprehension, which would be one call more within the next
                values.append(operand(names))  # noqa: PERF401
            try:
                for value in values:
                    if type(value) in SIZED:
                        names.spend(size_of(value), span)
                result = compute(*values)
                if type(result) in SIZED:
                    names.spend(size_of(result), span)
            except (RefusedComputation, TypeError, ValueError, ArithmeticError, LookupError) as error:
                if any(getattr(value, "is_poison", False) for value in values):
                    raise Poisoned from None
                reason, label = _reason(error, what, values), _operands(node, names)
                fail("E0305", reason, span, label=label, help=failed_hint(what, values))
            if type(result) in NUMBERS and not -MAX_NUMBER <= result <= MAX_NUMBER:
                fail("E0305", "the result is out of range", span, help="numbers are at most 1e18")
            return result

        return evaluate

    def _Constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if not isinstance(value, int | float | str | bool | None):
            self.refuse(node)
        if isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
            fail("E0304", "the number is out of range", self.at(node), help="numbers are at most 1e18")
        constant = normal_form(value) if isinstance(value, str) else value
        return lambda names: constant

    def _Name(self, node: ast.Name) -> Evaluate:
        name = node.id
        if name in CONSTANTS:
            constant = CONSTANTS[name]
            return lambda names: constant
        span = self.at(node)
        if name in FUNCTIONS and name not in self.bound:
            hint = f"{name}(...); an argument or tap needs another name"
            fail("E0304", f"`{name}` is a function: call it", span, help=hint)
        if name not in self.bound:
            self.names.append((name, span))

        def evaluate(names: Namespace) -> Any:
            try:
                return names.lookup(name)
            except KeyError:
                _no_value(name, span, names)

        return evaluate

    def _Attribute(self, node: ast.Attribute) -> Evaluate:
        value, name = self.compile(node.value), node.attr
        end = self.extent(node)[1]
        length = len(self.source[:end].rpartition(".")[2].lstrip())  # of the name as it is written
        span = self.span.part(self.lead + end - length, length)
        if isinstance(node.value, ast.Name) and node.value.id not in self.bound:
            self.attributes.append((node.value.id, name, span))

        return lambda names: read_attribute(value(names), name, span)

    def _BinOp(self, node: ast.BinOp) -> Evaluate:
        if type(node.op) not in BINARY:
            self.refuse(node)
        symbol, function = BINARY[type(node.op)]
        return self.guarded(node, (self.compile(node.left), self.compile(node.right)), function, symbol)

    def _UnaryOp(self, node: ast.UnaryOp) -> Evaluate:
        if type(node.op) not in UNARY:
            self.refuse(node)
        symbol, function = UNARY[type(node.op)]
        return self.guarded(node, (self.compile(node.operand),), function, symbol)

    def _BoolOp(self, node: ast.BoolOp) -> Evaluate:
        return _chain([self.compile(value) for value in node.values], stops_at=isinstance(node.op, ast.Or))

    def _Compare(self, node: ast.Compare) -> Evaluate:
        if any(type(op) not in COMPARE for op in node.ops):
            self.refuse(node)
        operands = [self.compile(part) for part in (node.left, *node.comparators)]
        pairs = [
            self.guarded(node, operands[i : i + 2], function, symbol)
            for i, (symbol, function) in enumerate(COMPARE[type(op)] for op in node.ops)
        ]
        return pairs[0] if len(pairs) == 1 else _chain(pairs, stops_at=False)

    def _IfExp(self, node: ast.IfExp) -> Evaluate:
        test, body, other = map(self.compile, (node.test, node.body, node.orelse))
        return lambda names: body(names) if test(names) else other(names)

    def _Call(self, node: ast.Call) -> Evaluate:
        if not isinstance(node.func, ast.Name) or node.keywords:
            self.refuse(node)
        name, given = node.func.id, len(node.args)
        if name not in FUNCTIONS:
            fail("E0302", f"unknown function `{name}`", self.at(node.func), help=function_hint(name))
        if any(isinstance(a, ast.Starred) for a in node.args):
            self.refuse(node)
        function = FUNCTIONS[name]
        if not function.fewest <= given <= function.most:
            takes = f"{function.fewest}" + (f" to {function.most}" if function.most > function.fewest else "")
            few = "at least 1 value" if given == 0 else f"{takes} value{'s' * (takes != '1')}"
            fail("E0304", f"`{name}` takes {few}, found {given}", self.at(node), help=function.says)
        return self.guarded(node, [self.compile(a) for a in node.args], function.call, name)

    def _Subscript(self, node: ast.Subscript) -> Evaluate:
        value = self.compile(node.value)
        if isinstance(node.slice, ast.Slice):
            bounds = (node.slice.lower, node.slice.upper, node.slice.step)
            low, high, step = (self.compile(b) if b else _null for b in bounds)
            return self.guarded(node, (value, low, high, step), lambda v, *b: v[slice(*b)], "[:]")
        return self.guarded(node, (value, self.compile(node.slice)), lambda items, key: items[key], "[]")

    def _List(self, node: ast.List | ast.Tuple) -> Evaluate:
        return self.guarded(
            node, [self.compile(item) for item in node.elts], lambda *items: list(items), "[]"
        )

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
        work = sum(1 for part in (node.elt, *generator.ifs) for _ in ast.walk(part))
        span = self.at(node)

        def evaluate(names: Namespace) -> list[Any]:
            values = items(names)
            if not isinstance(values, list):
                fail("E0305", f"`for` in a list takes a list, found {describe(values)}", span)
            try:
                names.spend(len(values) * work, span)
                scopes = (_WithVariable(names, variable, value) for value in values)
                found = [element(s) for s in scopes if all(c(s) for c in conditions)]
                names.spend(size_of(found), span)
                return found
            except RefusedComputation as error:
                fail("E0305", str(error), span)

        return evaluate


def _charged(evaluate: Evaluate, size: int, span: Span) -> Evaluate:
    """A closure for a long formula: each evaluation counts `size` against the budget."""

    def charged(names: Namespace) -> Any:
        names.spend(size, span)
        return evaluate(names)

    return charged


def _null(names: Namespace) -> None:
    return None


def _chain(parts: Sequence[Evaluate], *, stops_at: bool) -> Evaluate:
    """A closure for `and` or `or` over `parts`, evaluated from left to right, no further than needed."""

    def evaluate(names: Namespace) -> Any:
        result: Any = None
        for part in parts:
            result = part(names)
            if bool(result) is stops_at:
                break
        return result

    return evaluate


@dataclass(frozen=True, slots=True)
class _WithVariable:
    """A namespace with the variable of a list comprehension in front."""

    outer: Namespace
    variable: str
    value: Any

    def lookup(self, name: str) -> Any:
        return self.value if name == self.variable else self.outer.lookup(name)

    def names(self) -> Iterable[str]:
        return (self.variable, *self.outer.names())

    def spend(self, items: int, span: Span) -> None:
        self.outer.spend(items, span)


def _no_value(name: str, span: Span, names: Namespace) -> NoReturn:
    """Refuse a name that is declared (others were refused before) but has no value where it is read."""
    if name == "x":
        hint = "with several inputs, start with `from: =name` or a tap"
        fail("E0312", "`x` has no value here", span, help=hint)
    hint = did_you_mean(name, dict.fromkeys(names.names()))
    if not hint.startswith("did"):
        hint = "a tap has a value behind its step, unless `when` skipped it"
    fail("E0302", f"`{name}` has no value here", span, help=hint)


def _reason(error: Exception, what: str, values: Sequence[Any]) -> str:
    """Reason for a failed operation, in the words of the language instead of this Python's version."""
    if isinstance(error, RefusedComputation):
        return str(error)
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    if what == "[]":
        items, key = values
        if isinstance(error, IndexError):
            return f"there is no item {key} in a list of {len(items)}, counted from 0"
        if isinstance(error, KeyError):
            return f"{describe(key)} is no key of the mapping"
        if isinstance(items, list | str):
            return f"an index is a whole number, found {describe(key)}"
    if what in ("[]", "[:]"):
        return f"{describe(values[0])} has no items"
    if len(values) == 2 and what not in FUNCTIONS:
        return f"`{what}` cannot take {describe(values[0])} and {describe(values[1])}"
    return f"`{what}` cannot take {', '.join(map(describe, values))}"


def _operands(node: ast.expr, names: Namespace) -> str:
    """Values of the names in a failed operation: `groups is 0`."""
    read = dict.fromkeys(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
    found = []
    for name in read:
        try:
            found.append(f"{name} is {describe(names.lookup(name))}")
        except (KeyError, Poisoned):  # a function, a constant, what was not read
            continue
        if len(found) == 3:
            break
    return ", ".join(found)


_SLOT = re.compile(r"\{([^{}]*)\}")


def parse_template(text: str, span: Span) -> Template:
    """Text with formulas in braces, which stands at `span`. Raises as `parse_formula` does."""
    if "{" in text:
        limits.FORMULA.check(len(text), span)
    parts: list[str | Formula] = []
    end = 0
    for match in _SLOT.finditer(text):
        parts += [
            _normal(text[end : match.start()]),
            parse_formula(match[1], span.part(match.start(1), len(match[1]))),
        ]
        end = match.end()
    if "{" in text[end:] or "}" in text[end:]:
        fail("E0303", "an unmatched brace", span)
    return Template((*parts, _normal(text[end:])), span)


def _normal(text: str) -> str:
    """The text between formulas, each of its words in normal form."""
    return text if text.isascii() else ".".join(map(normal_form, text.split(".")))
