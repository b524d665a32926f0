"""Samples of a space: networks drawn from it, counted, and kept where a condition holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from archforge.analysis.checks import MACS_NOT_FLOPS
from archforge.analysis.counts import Counts, count, count_folded
from archforge.analysis.network import Network, SpaceFacts
from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span, fail, fail_all
from archforge.spec.binding.environment import Budget, KnownNames, Steps
from archforge.spec.binding.modifier_checks import check_truth
from archforge.spec.expand.expand import expand
from archforge.spec.expand.space import Draw, Space
from archforge.spec.formulas.compiler import parse_formula
from archforge.spec.formulas.failures import LimitError
from archforge.spec.formulas.formula import Formula, unknown_name
from archforge.spec.resolve.sources import settings_of
from archforge.spec.resolve.spec import Spec

__all__ = ["DrawnNetwork", "Sampling", "counted", "drawn_network", "space_facts"]

CHECKED = 2  # samples of a space that `archforge check` looks at
MOST_REFUSED = 10_000  # samples in a row that do not meet the condition
# What a row has besides arguments.
COUNTS = tuple(Counts(0, 0, 0, 0, 0, 0).by_name())
NUMBER = "draw"


@dataclass(frozen=True, eq=False)
class DrawnNetwork:
    """A network of a space: the number of its draw, its `arguments`, drawn ones and those that follow from
    them, and its counts."""

    space: Space
    draw: Draw
    arguments: Mapping[str, Any]
    counts: Counts

    @property
    def name(self) -> str:
        """The name of the space, its profile and the number of the draw."""
        return _name(self.space, self.draw)

    def row(self) -> dict[str, Any]:
        """The number of the draw, arguments and counts, by name."""
        return {NUMBER: self.draw.number, **self.arguments, **self.counts.by_name()}

    def network(self) -> Network:
        """The sample as a network that can be compiled, trained and built. Raises its mistakes."""
        return drawn_network(self.space, self.draw)


def _name(space: Space, draw: Draw) -> str:
    return f"{space.spec.name}_{space.profile.name}_{draw.number}"


def drawn_network(space: Space, draw: Draw) -> Network:
    """The network of a draw, its nodes with their names. Raises its mistakes."""
    header = replace(space.spec.header, kind="network")
    spec = replace(space.spec, name=_name(space, draw), header=header, expect=None)
    settings = {**space.settings, **settings_of(draw.values)}
    expansion = expand(spec, space.profile.name, settings, space.input_shape, space.own_budget())
    return Network(expansion, count(expansion.graph), ())


def counted(space: Space, draw: Draw) -> DrawnNetwork:
    """The network of a draw with its arguments and counts. Raises its mistakes."""
    folded = space.expanded(draw)
    if folded is not None:
        return DrawnNetwork(space, draw, _told(space, folded.args), count_folded(folded))
    network = drawn_network(space, draw)
    return DrawnNetwork(space, draw, _told(space, network.expansion.args), network.counts)


def _told(space: Space, args: Mapping[str, Any]) -> dict[str, Any]:
    given = ((name, args[name]) for name in space.told)
    return {name: str(value) if isinstance(value, Steps) else value for name, value in given}


def space_facts(spec: Spec, profile: str, budget: Budget) -> SpaceFacts:
    """Facts about a space, by some networks of it, expanded in full, on the budget of all of its profiles.
    Raises their mistakes, and E0323 where no draw meets the constraints."""
    space = Space(spec, profile, budget=budget)
    sampling = Sampling(space)
    networks = [sample.network() for sample in sampling.take(CHECKED)]
    shape = str(networks[0].figures["input"])
    return SpaceFacts(profile, space.combinations, shape, space.drawn, sampling.kept)


class Sampling:
    """The samples of a space in order of their draws, without end: iterating gives them.

    seed: the same one gives the same samples. where: a formula over arguments and counts that a sample must
    meet. first: the number of the draw to begin with. `counted` and `kept` say how many there were so far.
    Raises E0302 to E0304 for what is no formula, and E0310 for an argument that is called like a count.
    """

    def __init__(self, space: Space, *, seed: int = 0, where: str | None = None, first: int = 0) -> None:
        self.space, self.seed, self.first = space, seed, first
        self.counted = self.kept = 0
        for name in space.spec.args:
            if name in (*COUNTS, NUMBER):
                message = f"`{name}` cannot name an argument of a space: it is a column of its samples"
                fail("E0310", message, space.spec.args[name].span, help="give it another name")
        self.where = None if where is None else self._condition(where)
        self._least: dict[str, Any] = {}
        self._most: dict[str, Any] = {}

    def __iter__(self) -> Iterator[DrawnNetwork]:
        refused = 0
        for draw in self.space.draws(self.seed, self.first):
            sample = counted(self.space, draw)
            self.counted += 1
            if self.where is None or self._holds(self.where, sample):
                self.kept, refused = self.kept + 1, 0
                yield sample
                continue
            refused += 1
            if refused >= MOST_REFUSED:
                self._refuse(self.where)

    def take(self, number: int) -> Iterator[DrawnNetwork]:
        """The first `number` samples."""
        return (sample for _, sample in zip(range(number), self, strict=False))

    def _condition(self, text: str) -> Formula:
        source = SourceFile("<where>", text)
        formula = parse_formula(text, Span(source, 0, 0, max(len(text), 1)))
        known = (*COUNTS, *self.space.told)
        found: list[Diagnostic] = []
        for name, span in formula.names:
            if name not in known:
                message, hint = unknown_name(name, known)
                hint = MACS_NOT_FLOPS if "flop" in name.lower() else hint
                found.append(Diagnostic("E0302", message, span, help=hint))
        fail_all(found)
        return formula

    def _holds(self, where: Formula, sample: DrawnNetwork) -> bool:
        names = KnownNames(sample.row(), Budget())
        for name, _ in where.names:
            value = names.values[name]
            if type(value) in (int, float):
                self._least[name] = min(value, self._least.get(name, value))
                self._most[name] = max(value, self._most.get(name, value))
        try:
            return check_truth(where.evaluate(names), where.span, names.names, "`where`")
        except LimitError as error:
            raise DiagnosticError(error.diagnostics) from None

    def _refuse(self, where: Formula) -> NoReturn:
        """Raise E0323 with what was seen of the figures that the condition reads."""
        seen = (f"`{n}` was {self._least[n]:,} to {self._most[n]:,}" for n in self._least)
        message = f"none of {MOST_REFUSED:,} samples in a row meets the condition"
        help = "; ".join(seen) or "a weaker condition"
        fail("E0323", message, where.span, help=help)
