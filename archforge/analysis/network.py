"""One profile of a spec, analysed: its typed graph, its counts and its checked cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.analysis.checks import Cell
from archforge.analysis.counts import Counts, figures
from archforge.analysis.profile_warnings import profile_warnings
from archforge.data.class_names import class_names
from archforge.data.preprocessing import Preprocessing
from archforge.errors import Diagnostic
from archforge.ir import ParamDecl, TypedGraph
from archforge.spec.expand.expand import Expansion
from archforge.spec.resolve.spec import Spec
from archforge.spec.yaml.meant_comments import unmeant

if TYPE_CHECKING:
    from archforge.analysis.ledger import Ledger
    from archforge.spec.resolve.recipe import BoundRecipe

__all__ = ["KERAS_NOTE", "Network", "Report", "SpaceFacts"]

KERAS_NOTE = (
    "Keras names and shapes its arrays otherwise, gives probabilities where this gives logits, and may begin "
    "with a rescaling of its own"
)


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """One profile of a spec, analysed. `cells` is empty for a profile without `expect`: it is unchecked."""

    expansion: Expansion
    counts: Counts
    cells: tuple[Cell, ...]

    def __repr__(self) -> str:
        return f"<network {self.name}, profile {self.profile}: {self.counts.params:,} params>"

    @property
    def spec(self) -> Spec:
        """The spec, merged with what it extends and imports."""
        return self.expansion.spec

    @property
    def name(self) -> str:
        """The name of the spec."""
        return self.spec.name

    @property
    def profile(self) -> str:
        """The name of the profile."""
        return self.expansion.profile

    @property
    def model(self) -> str | None:
        """The library's network that this one equals, such as `torchvision.resnet50`; None with settings."""
        decl = self.spec.profiles.get(self.profile)
        return decl.model if decl and not self.expansion.settings else None

    @property
    def model_note(self) -> str:
        """The ways in which the library's network differs around this one; empty if its arrays are these."""
        return KERAS_NOTE if (self.model or "").startswith("keras.") else ""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The recipe for pictures that the profile prescribes, if it does."""
        decl = self.spec.profiles.get(self.profile)
        return Preprocessing(**decl.preprocess) if decl and decl.preprocess else None

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes of its first output, as the profile says; empty where it says none, or
        where the output has not one value for each, as with another number of classes."""
        decl, graph = self.spec.profiles.get(self.profile), self.graph
        names = class_names(decl.labels) if decl and decl.labels else ()
        first = graph.types[next(iter(graph.outputs.values()))]
        return names if first.shape == (len(names),) else ()

    @cached_property
    def recipe(self) -> BoundRecipe | None:
        """The recipe of its training as the spec has it; None where the spec has none."""
        decl = self.spec.profiles.get(self.profile)
        if not self.spec.train and not (decl and decl.train):
            return None
        from archforge.spec.resolve.recipe import recipe_of  # which loads the parts of recipes

        return recipe_of(self.spec, self.profile)

    @property
    def figures(self) -> dict[str, int | str]:
        """The counts, and the shapes of inputs and outputs as text, as `expect` calls them."""
        return figures(self.graph, self.counts)

    @property
    def graph(self) -> TypedGraph:
        """The nodes, and the type of every value."""
        return self.expansion.graph

    @property
    def params(self) -> dict[str, ParamDecl]:
        """Every array that the network owns, by its full name, in order."""
        return self.graph.params()

    @cached_property
    def ledger(self) -> Ledger:
        """Every node with what it owns and what it costs."""
        from archforge.analysis.ledger import ledger

        return ledger(self.graph)

    @property
    def problems(self) -> list[Diagnostic]:
        """Diagnostics for the cells that differ from their documented figures."""
        return [cell.problem for cell in self.cells if cell.problem]

    @property
    def ok(self) -> bool:
        """True if no documented figure differs."""
        return not self.problems

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Diagnostics for what is allowed, but probably not meant, as far as no comment says it is."""
        return unmeant((*self.spec.warnings, *self.own_warnings))

    @property
    def own_warnings(self) -> tuple[Diagnostic, ...]:
        """Warnings of the profile, besides those of the text of its spec."""
        return (*self.expansion.warnings, *profile_warnings(self.expansion))

    def to_json(self) -> dict[str, Any]:
        """Profile, settings, counts and cells as plain data."""
        cells = [cell.to_json() for cell in self.cells]
        settings = list(self.expansion.setting_texts)
        train = {} if self.recipe is None else {"train": self.recipe.to_json()}
        return {
            "profile": self.profile,
            "settings": settings,
            **self.counts.by_cell(),
            "cells": cells,
            **train,
        }


class SpaceFacts(NamedTuple):
    """Facts about one profile of a space, by drawing from it: the number of `combinations` of values, None
    for a continuum, the input of its networks, and how many draws were `kept` of those that were made."""

    profile: str
    combinations: int | None
    input: str
    drawn: int
    kept: int

    @property
    def size(self) -> str:
        """The number of combinations in words: `1.8e18 combinations`."""
        if self.combinations is None:
            return "a continuum"
        return f"{_short(self.combinations)} combinations"

    def to_json(self) -> dict[str, Any]:
        """The facts by name; combinations that no float can count as text."""
        number = self.combinations or 0
        return self._asdict() | ({"combinations": _short(number)} if number >= 10**300 else {})


def _short(number: int) -> str:
    """A number of any size: `1,234`, `1.8e18`, `2.0e12000`, which no float can be."""
    if number < 10**6:
        return f"{number:,}"
    part, exponent = math.modf(math.log10(number))
    shown, _, over = f"{10**part:.1e}".partition("e")
    return f"{shown}e{int(exponent) + int(over)}"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The result of checking one file: its networks or spaces by profile, or diagnostics."""

    name: str
    path: str
    spec: Spec | None
    networks: tuple[Network, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()  # the spec is broken
    unmet: tuple[Diagnostic, ...] = ()  # demands on top of its cells, such as --require-expect
    warnings: tuple[Diagnostic, ...] = ()  # that no comment says are meant
    spaces: tuple[SpaceFacts, ...] = ()

    @property
    def is_network(self) -> bool:
        """True if the file is a network, or broken so that nobody knows."""
        return self.spec is None or self.spec.header.kind == "network"

    @property
    def is_counted(self) -> bool:
        """True if the file has counts, or should: templates and blocks without `expect` have none."""
        return self.is_network or bool(self.networks or self.spaces)

    @property
    def failures(self) -> list[Diagnostic]:
        """Cells that do not hold and demands that are not met."""
        return [*self._cell_problems(), *self.unmet]

    def _cell_problems(self) -> Iterator[Diagnostic]:
        for network in self.networks:
            yield from network.problems

    @property
    def ok(self) -> bool:
        """True if the spec is well formed, all cells hold and all demands are met."""
        return not self.diagnostics and not self.failures

    def to_json(self) -> dict[str, Any]:
        """The report as plain data, as `archforge check --json` prints it."""
        header = self.spec.header if self.spec else None
        out: dict[str, Any] = {
            "name": self.name,
            "path": self.path,
            "departs": header.departs if header else None,
            "recommended": header.recommended if header else None,
            "profiles": [network.to_json() for network in self.networks],
            "warnings": [w.to_json() for w in self.warnings],
        }
        if self.spaces:
            out["spaces"] = [space.to_json() for space in self.spaces]
        if self.diagnostics or self.failures:
            out["diagnostics"] = [d.to_json() for d in (*self.diagnostics, *self.failures)]
        return out
