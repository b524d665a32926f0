"""Spaces: networks that are drawn from the ranges of a spec's arguments, under its constraints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple, NoReturn

from archforge.draws import shares
from archforge.errors import DiagnosticError, Note, Span, fail
from archforge.spec.binding.environment import Budget, Env, Evaluated
from archforge.spec.binding.modifier_checks import check_truth
from archforge.spec.expand.expand import FoldedExpansion, InputShape, arguments_of, expand_folded
from archforge.spec.expand.settings import set_arguments
from archforge.spec.formulas.failures import LimitError
from archforge.spec.formulas.formula import describe
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.form_checks import mapping_of
from archforge.spec.syntax.ranges import Range, parse_range
from archforge.spec.syntax.syntax_tree import Argument, formulas_in

__all__ = ["Draw", "Space"]

MOST_DRAWS = 20_000  # in a row that break a constraint


class Draw(NamedTuple):
    """The values of the ranges of a space, by argument, and the number of the draw, from 0."""

    number: int
    values: Mapping[str, Any]


class Space:
    """One profile of a spec of `kind: space`, as a caller has set it. `drawn` counts the draws so far.

    Raises E0001 for another kind of spec, E0202 for a space without a graph, E0321 for one without a range.
    """

    def __init__(
        self,
        spec: Spec,
        profile: str | None = None,
        settings: Mapping[str, Argument] | None = None,
        input_shape: InputShape | None = None,
    ) -> None:
        if spec.header.kind != "space":
            help = "a space has ranges and says `kind: space`; `archforge list` shows those of the zoo"
            fail("E0001", f"{spec.name} is no space: nothing is drawn of it", help=help)
        if spec.graph is None:
            help = "add `graph:`, or `extends:` a template"
            fail("E0202", f"{spec.name} has no `graph`", spec.document.span_of("kind"), help=help)
        self.spec, self.profile = spec, spec.profile(profile)
        self.settings, self.input_shape = settings or {}, input_shape
        self.constraints = spec.constraints + self.profile.constraints
        self.drawn = 0
        self._set = set_arguments(self.settings, spec)
        given = spec.values | self.profile.values | self._set
        self._written = {name: given.get(name) or decl.default for name, decl in spec.args.items()}
        self.ranges: dict[str, Range] = {
            name: parse_range(mapping_of(argument.tree, "a range"))
            for name, argument in self._written.items()
            if argument is not None and argument.is_range
        }
        if not self.ranges:
            message = f"profile `{self.profile.name}` of {spec.name} draws nothing: no argument is a range"
            help = "args: {width: {int: [16, 64], step: 8}}"
            fail("E0321", message, spec.document.span_of("kind"), help=help)

    @property
    def combinations(self) -> int | None:
        """The number of values that the ranges have together, whatever the constraints are; None where one is
        a continuum."""
        sizes = [range.size for range in self.ranges.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    @cached_property
    def told(self) -> tuple[str, ...]:
        """The arguments that are drawn, then those that follow from them, each in the order of the spec."""
        reads = {
            name: {word for formula in formulas_in(argument.value) for word, _ in formula.names}
            for name, argument in self._written.items()
            if argument is not None and not argument.is_range and not argument.looks_like_steps
        }
        found = set(self.ranges)
        while more := {name for name, words in reads.items() if name not in found and words & found}:
            found |= more
        return (*self.ranges, *(name for name in self.spec.args if name in found - self.ranges.keys()))

    def draws(self, seed: int, first: int = 0) -> Iterator[Draw]:
        """Draws that meet the constraints, from that of number `first` on, without end. Raises E0323 where
        none does."""
        broken = dict.fromkeys(range(len(self.constraints)), 0)
        refused = 0
        for number in count(first):
            self.drawn += 1
            names = _DrawnNames(self, seed, number)
            index = self._broken(names)
            if index is None:
                refused = 0
                yield names.draw()
                continue
            broken[index] += 1
            refused += 1
            if refused >= MOST_DRAWS:
                self._refuse(broken)

    def _broken(self, names: _DrawnNames) -> int | None:
        """The first constraint that a draw breaks, by its index."""
        if not self.constraints:
            return None
        try:
            for index, constraint in enumerate(self.constraints):
                holds = constraint.evaluate(names)
                if not check_truth(holds, constraint.span, names.names, "a constraint"):
                    return index
        except (DiagnosticError, LimitError) as error:
            self._tell(error, names.draw())
        finally:
            names.end()
        return None

    def environment(self, draw: Draw) -> Env:
        """The arguments of a draw, none of them evaluated."""
        return arguments_of(self.spec, self.profile, self._set, Budget(), self._evaluated(draw))

    def _evaluated(self, draw: Draw) -> dict[str, Evaluated]:
        return {name: Evaluated(value, self.ranges[name].span) for name, value in draw.values.items()}

    def _refuse(self, broken: Mapping[int, int]) -> NoReturn:
        """Raise E0323 at the constraint that most draws break first."""
        worst = max(broken, key=lambda index: broken[index])
        constraint = self.constraints[worst]
        notes = [
            Note(f"{number:,} of them break this one first", self.constraints[index].span)
            for index, number in broken.items()
            if number and index != worst
        ]
        message = f"none of {MOST_DRAWS:,} draws in a row meets the constraints"
        label = f"{broken[worst]:,} draws break this one first" if notes else "no draw meets it"
        help = "wider ranges, or a weaker constraint"
        fail("E0323", message, constraint.span, label=label, help=help, notes=notes)

    def expanded(self, draw: Draw) -> FoldedExpansion | None:
        """The nodes of a draw, for counting them; None where that takes their names."""
        try:
            drawn = self._evaluated(draw)
            return expand_folded(self.spec, self.profile, self.settings, self.input_shape, drawn)
        except (DiagnosticError, LimitError) as error:
            self._tell(error, draw)

    def _tell(self, error: DiagnosticError | LimitError, draw: Draw) -> NoReturn:
        """Raise the mistakes of a draw, and which one it is."""
        values = ", ".join(f"{name} = {describe(value)}" for name, value in draw.values.items())
        note = Note(f"in draw {draw.number} of {self.spec.name}: {values}")
        found = (replace(d, notes=(*d.notes, note)) for d in error.diagnostics)
        raise DiagnosticError(tuple(found)) from None


class _DrawnNames:
    """The names that the constraints of one draw see. Most draws break one of them: what none asks for is not
    drawn, nor evaluated."""

    def __init__(self, space: Space, seed: int, number: int) -> None:
        self.space, self.seed, self.number = space, seed, number
        self._drawn: dict[str, Any] = {}
        self._budget = Budget()
        self._env: Env | None = None

    def lookup(self, name: str) -> Any:
        if name in self._drawn:
            return self._drawn[name]
        if name in self.space.ranges:
            return self._value(name)
        if self._env is None:
            self._env = self.space.environment(self.draw())
        return self._env.lookup(name)

    def names(self) -> Iterable[str]:
        return self.space.spec.args

    def spend(self, items: int, span: Span) -> None:
        self._budget.spend(items, span)

    def draw(self) -> Draw:
        """All values of the draw."""
        return Draw(self.number, {name: self._value(name) for name in self.space.ranges})

    def end(self) -> None:
        """Let go of arguments that nobody has asked for, which hold the environment that holds them."""
        if self._env is not None:
            self._env.spec.pending.clear()

    def _value(self, name: str) -> Any:
        if name not in self._drawn:
            range = self.space.ranges[name]
            self._drawn[name] = range.drawn(shares(self.seed, name, self.number, count=range.count or 1))
        return self._drawn[name]
