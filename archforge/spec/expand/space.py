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
from archforge.spec import limits
from archforge.spec.binding.environment import Budget, Env, Evaluated
from archforge.spec.binding.modifier_checks import check_truth
from archforge.spec.expand.expand import FoldedExpansion, InputShape, arguments_of, expand_folded
from archforge.spec.expand.settings import set_arguments
from archforge.spec.formulas.failures import LimitError
from archforge.spec.formulas.formula import describe
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.form_checks import mapping_of
from archforge.spec.syntax.ranges import Range, foreign_range, parse_range
from archforge.spec.syntax.syntax_tree import Argument, formulas_in
from archforge.spec.yaml.tree import Mapping as MappingTree
from archforge.spec.yaml.tree import Sequence

__all__ = ["Draw", "Space"]

MOST_DRAWS = 20_000  # in a row that break a constraint
OF_A_DRAW, OF_A_VALUE = 10, 10  # what takes as long, in items that formulas go through


class Draw(NamedTuple):
    """The values of the ranges of a space, by argument, and the number of the draw, from 0."""

    number: int
    values: Mapping[str, Any]


class Space:
    """One profile of a spec of `kind: space`, as a caller has set it. `drawn` counts the draws so far.

    budget: of all that is drawn and expanded together; by default each network has its own.
    Raises E0001 for another kind of spec, E0202 for a space without a graph, E0321 for one without a range.
    """

    def __init__(
        self,
        spec: Spec,
        profile: str | None = None,
        settings: Mapping[str, Argument] | None = None,
        input_shape: InputShape | None = None,
        budget: Budget | None = None,
    ) -> None:
        if spec.header.kind != "space":
            help = "a space has ranges and says `kind: space`; `archforge list` shows those of the zoo"
            fail("E0001", f"{spec.name} is no space: nothing is drawn of it", help=help)
        if spec.graph is None:
            help = "add `graph:`, or `extends:` a template"
            fail("E0202", f"{spec.name} has no `graph`", spec.document.span_of("kind"), help=help)
        self.spec, self.profile = spec, spec.profile(profile)
        self.settings, self.input_shape, self.budget = settings or {}, input_shape, budget
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
            place = spec.document.span_of("kind"), "args: {width: {int: [16, 64], step: 8}}"
            span, help = next(filter(None, map(_meant_range, self._written.values())), place)
            fail("E0321", message, span, help=help)

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
        refused, budget = 0, self.own_budget()
        for number in count(first):
            if refused >= MOST_DRAWS or budget.draws < 0:
                self._refuse(broken, refused)
            self.drawn += 1
            names = _DrawnNames(self, seed, number, budget)
            index = self._broken(names)
            if index is None:
                refused, budget = 0, self.own_budget()
                yield names.draw()
                continue
            broken[index] += 1
            refused += 1

    def own_budget(self) -> Budget:
        """The budget of all networks together if there is one, else a new one."""
        return self.budget or Budget()

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

    def environment(self, draw: Draw, budget: Budget) -> Env:
        """The arguments of a draw, none of them evaluated."""
        return arguments_of(self.spec, self.profile, self._set, budget, self._evaluated(draw))

    def _evaluated(self, draw: Draw) -> dict[str, Evaluated]:
        return {name: Evaluated(value, self.ranges[name].span) for name, value in draw.values.items()}

    def _refuse(self, broken: Mapping[int, int], refused: int) -> NoReturn:
        """Raise E0323 at the constraint that most draws break first, E0317 where the others took too long."""
        if not refused:
            limits.ALL_DRAWN.refuse(self.spec.document.span_of("kind"))
        worst = max(broken, key=lambda index: broken[index])
        constraint = self.constraints[worst]
        notes = [
            Note(f"{number:,} of them break this one first", self.constraints[index].span)
            for index, number in broken.items()
            if number and index != worst
        ]
        message = f"none of {refused:,} draws in a row meets the constraints"
        label = f"{broken[worst]:,} draws break this one first" if notes else "no draw meets it"
        help = "wider ranges, or a weaker constraint"
        fail("E0323", message, constraint.span, label=label, help=help, notes=notes)

    def expanded(self, draw: Draw) -> FoldedExpansion | None:
        """The nodes of a draw, for counting them; None where that takes their names."""
        try:
            drawn = self._evaluated(draw)
            budget = self.own_budget()
            return expand_folded(self.spec, self.profile, self.settings, self.input_shape, drawn, budget)
        except (DiagnosticError, LimitError) as error:
            self._tell(error, draw)

    def _tell(self, error: DiagnosticError | LimitError, draw: Draw) -> NoReturn:
        """Raise the mistakes of a draw, and which one it is."""
        values = ", ".join(f"{name} = {describe(value)}" for name, value in draw.values.items())
        note = Note(f"in draw {draw.number} of {self.spec.name}: {values}")
        found = (replace(d, notes=(*d.notes, note)) for d in error.diagnostics)
        raise DiagnosticError(tuple(found)) from None


def _meant_range(argument: Argument | None) -> tuple[Span, str] | None:
    """The place of what was probably meant as a range, and how that is written."""
    tree = argument.tree if argument is not None else None
    if isinstance(tree, MappingTree) and (word := next((k for k in tree.entries if foreign_range(k)), None)):
        return tree.entries[word].key_span, f"did you mean `{foreign_range(word)}`?"
    if isinstance(tree, Sequence) and len(tree.items) == 2:
        low, high = tree.plain()
        if type(low) is type(high) is int and low < high:
            return tree.span, f"a range is a mapping: {{int: [{low}, {high}]}}"
    return None


class _DrawnNames:
    """The names that the constraints of one draw see. Most draws break one of them: what none asks for is not
    drawn, nor evaluated. The work comes off the `draws` of a budget."""

    def __init__(self, space: Space, seed: int, number: int, budget: Budget) -> None:
        self.space, self.seed, self.number = space, seed, number
        self._drawn: dict[str, Any] = {}
        self._together, self._budget = budget, Budget()
        self._env: Env | None = None

    def lookup(self, name: str) -> Any:
        if name in self._drawn:
            return self._drawn[name]
        if name in self.space.ranges:
            return self._value(name)
        if self._env is None:
            self._env = self.space.environment(self.draw(), self._budget)
            self._budget.items -= len(self.space.spec.args)
        return self._env.lookup(name)

    def names(self) -> Iterable[str]:
        return self.space.spec.args

    def spend(self, items: int, span: Span) -> None:
        self._budget.spend(items, span)

    def draw(self) -> Draw:
        """All values of the draw."""
        return Draw(self.number, {name: self._value(name) for name in self.space.ranges})

    def end(self) -> None:
        """Count the work. Let go of arguments that nobody has asked for, which hold the environment that
        holds them."""
        self._together.draws -= OF_A_DRAW + limits.ALL_ITEMS.most - self._budget.items
        if self._env is not None:
            self._env.spec.pending.clear()

    def _value(self, name: str) -> Any:
        if name not in self._drawn:
            range = self.space.ranges[name]
            self._together.draws -= OF_A_VALUE * (range.count or 1)
            self._drawn[name] = range.drawn(shares(self.seed, name, self.number, count=range.count or 1))
        return self._drawn[name]
