"""Ranges: the values that an argument of a space is drawn from."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property
from itertools import product
from typing import Any
from weakref import WeakKeyDictionary

from archforge.errors import Span, fail, misspelt
from archforge.spec import limits
from archforge.spec.formulas.formula import describe
from archforge.spec.syntax.form_checks import refuse_unknown, shown
from archforge.spec.syntax.syntax_tree import RANGES
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Tree
from archforge.spec.yaml.tree import Sequence as SequenceTree

__all__ = ["Range", "foreign_range", "parse_range"]

_KEYS = {"int": ("int", "step", "log", "count"), "float": ("float", "step", "log", "count")}
_EXAMPLES = {"int": "{int: [16, 1024]}", "float": "{float: [1.5, 3.0]}", "choice": "{choice: [1, 2, 4]}"}
_EXACT = Context(prec=30)  # decimal digits, more than a float has


@dataclass(frozen=True, eq=False)
class Range:
    """Values that an argument is drawn from: `choices`, or numbers from `low` to `high`.

    step: between neighbouring numbers; None for every number between both. is_log: drawn on a logarithmic
    scale, and with a step rounded up to the next number; the scale begins one step below the first number, or
    at half of it. count: how many are drawn, as a list; None for one alone. Source of the scale: pycls,
    sweep/random.py, by the authors of arXiv:2003.13678.
    """

    span: Span
    count: int | None
    choices: tuple[Any, ...] = ()
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    step: Decimal | None = None
    is_log: bool = False
    is_whole: bool = False

    @property
    def size(self) -> int | None:
        """The number of values of an argument, of lists if several are drawn; None for a continuum."""
        if self.choices:
            one = len(self.choices)
        elif self.step is None:
            return None
        else:
            one = self._steps + 1
        return int(one ** (self.count or 1))

    def values(self) -> Iterator[Any]:
        """Every value of an argument. For a range that is no continuum."""
        one = self.choices or [*map(self._number, range(self._steps + 1))]
        if self.count is None:
            yield from one
        else:
            yield from map(list, product(one, repeat=self.count))

    def drawn(self, shares: Sequence[float]) -> Any:
        """The value that belongs to numbers from 0 to below 1, one for each that is drawn."""
        values = [self._value(share) for share in shares]
        return values[0] if self.count is None else values

    @property
    def _steps(self) -> int:
        assert self.step is not None
        return int((self.high - self.low) / self.step)

    def _value(self, share: float) -> Any:
        if self.choices:
            return deepcopy(self.choices[int(share * len(self.choices))])  # a list may be drawn twice
        if self.step is None:
            return self._between(share)
        if not self.is_log:
            return self._number(int(share * (self._steps + 1)))
        return self._number(bisect_left(range(self._steps), share, key=self._chance))

    def _number(self, index: int) -> int | float:
        assert self.step is not None
        number = self.low + index * self.step
        return int(number) if self.is_whole else float(number)

    @cached_property
    def _chances(self) -> dict[int, float]:
        """Chances by index, as far as a draw has asked for them."""
        return {}

    def _chance(self, index: int) -> float:
        """The chance of the number of an index or a smaller one. Logarithms are decimal, which are the same
        everywhere, unlike those of C."""
        if index not in self._chances:
            assert self.step is not None
            start = self.low - min(self.step, self.low / 2)
            number = self.low + index * self.step
            self._chances[index] = float(_EXACT.ln(number / start) / _EXACT.ln(self.high / start))
        return self._chances[index]

    def _between(self, share: float) -> float:
        """A number of a continuum."""
        part = Decimal(share)
        if not self.is_log:
            return float(_EXACT.fma(part, self.high - self.low, self.low))
        low, high = _EXACT.ln(self.low), _EXACT.ln(self.high)
        return float(_EXACT.exp(_EXACT.fma(part, high - low, low)))


_PARSED: WeakKeyDictionary[Mapping, Range] = WeakKeyDictionary()  # every profile asks for them


def parse_range(tree: Mapping) -> Range:
    """The range that `tree` writes. Raises E0201 for unknown keys, and E0321."""
    found = _PARSED.get(tree)
    if found is None:
        found = _PARSED[tree] = _parsed(tree)
    return found


def _parsed(tree: Mapping) -> Range:
    kinds = [key for key in RANGES if key in tree.entries]
    if len(kinds) > 1:
        fail("E0321", f"a range is {' or '.join(f'`{k}`' for k in kinds)}, found both", tree.span)
    kind = kinds[0]
    refuse_unknown(tree, _KEYS.get(kind, ("choice", "count")), _OF_OTHERS)
    for part in (tree, *_parts(tree)):
        if isinstance(part, Scalar) and part.formula_span:
            help = "what follows from drawn values is an argument of its own, a formula; or use `constraints`"
            fail("E0321", "a range is written in plain values, found a formula", part.span, help=help)
    count = _count(tree.entries.get("count"))
    entry = tree.entries[kind]
    if kind == "choice":
        return Range(tree.span, count, _choices(entry))
    found = _numbers(tree, entry, count, is_whole=kind == "int")
    if found.step is not None and found.is_log:
        limits.RANGE_VALUES.check(found._steps + 1, entry.value.span, help="a larger `step`")
    return found


# What others call the keys of a range.
_OF_OTHERS = {
    **dict.fromkeys(("quantize", "quantum", "q", "by", "divisor", "multiple"), "step"),
    **dict.fromkeys(("log_uniform", "scale", "base", "distribution"), "log"),
    **dict.fromkeys(("length", "len", "n", "size", "repeat", "times", "number"), "count"),
}


_RANGES_OF_OTHERS = {
    **dict.fromkeys(("integer", "integers", "randint", "quniform"), "int"),
    **dict.fromkeys(("real", "uniform", "loguniform", "range", "between"), "float"),
    **dict.fromkeys(("choices", "categorical", "values", "one_of", "grid"), "choice"),
}


def foreign_range(word: str) -> str | None:
    """The key of a range that another word stands for, or that is misspelt."""
    return _RANGES_OF_OTHERS.get(word.lower()) or misspelt(word, RANGES)


def _parts(tree: Mapping) -> Iterator[Tree]:
    for entry in tree:
        yield entry.value
        if isinstance(entry.value, SequenceTree):
            yield from entry.value.items


def _count(entry: Entry | None) -> int | None:
    if entry is None:
        return None
    count = entry.value.plain()
    if type(count) is not int or count < 1:
        message = f"`count` is how many are drawn, a whole number from 1, found {shown(entry.value)}"
        fail("E0321", message, entry.value.span, help="leave it out for one value; a list has several")
    limits.DRAWN.check(count, entry.value.span)
    return count


def _choices(entry: Entry) -> tuple[Any, ...]:
    tree = entry.value
    items = tree.items if isinstance(tree, SequenceTree) else ()
    if not items:
        shape = "an empty list" if isinstance(tree, SequenceTree) else shown(tree)
        fail("E0321", f"`choice` is a list of values, found {shape}", tree.span, help=_EXAMPLES["choice"])
    found: dict[str, Any] = {}
    for item in items:
        value = item.plain()
        if repr(value) in found:
            fail("E0321", f"{describe(value)} stands twice among the choices", item.span, help="remove one")
        found[repr(value)] = value
    return tuple(found.values())


def _numbers(tree: Mapping, entry: Entry, count: int | None, *, is_whole: bool) -> Range:
    kind = entry.key
    bounds = entry.value.items if isinstance(entry.value, SequenceTree) else ()
    if len(bounds) != 2 or not all(_is_number(b, is_whole=is_whole) for b in bounds):
        what = "whole numbers" if is_whole else "numbers"
        message = f"`{kind}` is the first and the last of {what}, found {describe(entry.value.plain())}"
        help = _EXAMPLES[kind]
        if len(bounds) > 2 and all(_is_number(b, is_whole=is_whole) for b in bounds):
            help = f"values one by one: {{choice: {describe(entry.value.plain())}}}"
        elif len(bounds) == 2 and is_whole and all(_is_number(b, is_whole=False) for b in bounds):
            help = "with a fraction it is `float`"
        fail("E0321", message, entry.value.span, help=help)
    low, high = (Decimal(str(b.plain())) for b in bounds)
    if low > high:
        message = f"the range begins with {low}, above its end {high}"
        fail("E0321", message, entry.value.span, help=f"{kind}: [{high}, {low}]")
    is_log = _log(tree.entries.get("log"))
    if is_log and low <= 0:
        message = f"a logarithmic range is above 0, found {low}"
        fail("E0321", message, bounds[0].span, help=f"{kind}: [1, {high}], or leave `log` out")
    step = _step(tree.entries.get("step"), low, high, is_whole=is_whole)
    return Range(tree.span, count, (), low, high, step, is_log, is_whole)


def _is_number(tree: Tree, *, is_whole: bool) -> bool:
    value = tree.plain()
    return type(value) is int or (not is_whole and isinstance(value, float) and math.isfinite(value))


def _log(entry: Entry | None) -> bool:
    if entry is None:
        return False
    found, span = entry.value.plain(), entry.value.span
    if not isinstance(found, bool):
        fail("E0321", f"`log` is true or false, found {shown(entry.value)}", span, help="log: true")
    return found


def _step(entry: Entry | None, low: Decimal, high: Decimal, *, is_whole: bool) -> Decimal | None:
    if entry is None:
        return Decimal(1) if is_whole else None
    span = entry.value.span
    step = Decimal(str(entry.value.plain()) if _is_number(entry.value, is_whole=is_whole) else 0)
    if step <= 0:
        what = "a whole number" if is_whole else "a number"
        fail("E0321", f"`step` is {what} above 0, found {shown(entry.value)}", span)
    if (high - low) / step > limits.NUMBER.most:
        fail("E0321", f"a step of {step} is too small for a range from {low} to {high}", span)
    over = (high - low) % step
    if over:
        message = f"a step of {step} does not lead from {low} to {high}"
        help = f"end at {high - over}, or at {high - over + step}"
        if low % step and not high % step:
            help = f"begin at {low - low % step + step}"
        label = f"{high} - {low} = {(high - low) // step} * {step} + {over}"
        fail("E0321", message, span, label=label, help=help)
    return step
