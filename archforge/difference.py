"""Two things that a user names, compared: specs, profiles, settings, revisions of git, a file of weights, a
network in a file of another format."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from archforge import driver
from archforge.analysis.difference.changes import Change, compare_graphs
from archforge.analysis.difference.networks import (
    NetworkDifference,
    compare_networks,
    joined_totals,
    kinds_of,
    totals_of,
)
from archforge.analysis.network import Network
from archforge.errors import DiagnosticError, fail
from archforge.ir import TypedGraph, by_x
from archforge.spec.expand.expand import InputShape
from archforge.spec.resolve.library import PROFILE_MARK, split_profile
from archforge.spec.resolve.revisions import names_revision, open_revision
from archforge.spec.syntax.syntax_tree import Argument

if TYPE_CHECKING:
    from archforge.interchange.counterparts import WeightsCounterpart

__all__ = ["Side", "difference"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two things to compare. name: a spec, `SPEC@PROFILE`, `REVISION:PATH`, or a file. profile: of a
    spec whose name says none."""

    name: str
    profile: str | None = None
    settings: Mapping[str, Argument] | None = None
    input_shape: InputShape | None = None

    @property
    def spec(self) -> str:
        """The name without the profile."""
        return split_profile(self.name)[0]

    @property
    def is_marked(self) -> bool:
        """True if the name says the profile."""
        return split_profile(self.name)[1] is not None

    def networks(self, *, every: bool = False) -> tuple[Network, ...]:
        """The network of a spec; those of all its profiles, if `every` and none is named. Raises its
        mistakes."""
        own = split_profile(self.name)[1]
        profile = self.profile if own is None else own
        spec = open_revision(self.spec) if names_revision(self.spec) else driver.open_spec(self.spec)
        if every:
            return driver.networks_of(spec, profile, settings=self.settings, input_shape=self.input_shape)
        return (driver.analyse(spec, profile, settings=self.settings, input_shape=self.input_shape),)

    def title(self, network: Network) -> str:
        """The words for its network: spec, profile, and what else the side says."""
        shapes = [by_x(t.shape) for t in network.graph.inputs.values()] if self.input_shape else []
        return ", ".join(
            [f"{self.spec}{PROFILE_MARK}{network.profile}", *network.expansion.setting_texts, *shapes]
        )

    @property
    def is_foreign(self) -> bool:
        """True for a file that is no spec: of weights, or of another format."""
        from archforge.data.arrays import WEIGHTS
        from archforge.data.opened_files import is_named_as
        from archforge.interchange.formats import FORMATS

        return is_named_as(self.name, (*WEIGHTS, *FORMATS))


def difference(one: Side, other: Side) -> NetworkDifference:
    """Difference from one to the other. Raises `DiagnosticError` for what is no spec or cannot be read, and
    E0001 for two files that are no specs."""
    if one.is_foreign and other.is_foreign:
        fail(
            "E0001",
            "one of the two must be a spec",
            help=f"archforge import {one.name} makes one of a network",
        )
    if other.is_foreign:
        return _with_file(one, other)
    if one.is_foreign:
        return _with_file(other, one).mirrored()
    (here,), (there,) = one.networks(), other.networks()
    return compare_networks(here, there, (one.title(here), other.title(there)))


def _with_file(side: Side, file: Side) -> NetworkDifference:
    """A spec beside a file, by the profile that is nearest to it where none is named."""
    against = _opened(Path(file.name), side)
    found = [against(network, (side.title(network), file.name)) for network in side.networks(every=True)]
    return min(found, key=lambda difference: len(difference.changes))


def _opened(path: Path, side: Side) -> Callable[[Network, tuple[str, str]], NetworkDifference]:
    """Comparison of a network with a file: with the network in it, or the weights that it holds alone."""
    from archforge.data.arrays import WEIGHTS, read_weights, weights_format
    from archforge.data.opened_files import is_named_as
    from archforge.interchange.counterparts import WeightsCounterpart
    from archforge.interchange.formats import FORMATS

    if is_named_as(path.name, FORMATS):
        try:
            return partial(_with_foreign, _foreign_graph(path, side))
        except DiagnosticError:
            if not is_named_as(path.name, WEIGHTS):
                raise
    file = WeightsCounterpart(str(path), read_weights(path), weights_format(path).in_order)
    return partial(_with_weights, file)


def _foreign_graph(path: Path, side: Side) -> TypedGraph:
    from archforge.interchange.formats import open_file
    from archforge.interchange.normalize import normalized
    from archforge.interchange.same_graph import comparable

    shape = side.input_shape
    given = shape if isinstance(shape, Mapping) else {"": shape} if shape else {}
    shapes = {name: tuple(each) for name, each in given.items()}
    return comparable(normalized(open_file(path).read(path.stem, shapes)).graph)


def _with_foreign(graph: TypedGraph, network: Network, titles: tuple[str, str]) -> NetworkDifference:
    """A network beside one that a file of another format holds: without names, and without what such files do
    not store."""
    from archforge.interchange.same_graph import OF_TRAINING, comparable

    here = comparable(network.graph)
    found = compare_graphs(here, graph, named=False, ignored=OF_TRAINING)
    totals = joined_totals(totals_of(here), totals_of(graph))
    kept = {name: totals[name] for name in ("params", "macs", "buffers")}
    return NetworkDifference(titles, kept, kinds_of(here, found.pairs), found.changes, found.knock_on)


def _with_weights(file: WeightsCounterpart, network: Network, titles: tuple[str, str]) -> NetworkDifference:
    """The arrays of a network beside those of a file, by names and shapes."""
    from archforge.interchange.counterparts import compared_params

    shapes = file.shapes
    found = compared_params(network.graph, shapes, in_order=file.in_order)
    here = {name: decl.shape for name, decl in network.params.items()}
    changes = [
        Change("changed", (name, name), ("array", "array"), "shape", (by_x(a), by_x(b)))
        for name, (a, b) in found.shapes.items()
    ]
    changes += (
        Change("renamed", (name, found.names[name]), ("array", "array"))
        if name in found.names
        else Change("removed", (name, ""), ("array", ""))
        for name in found.missing
    )
    known = {*found.names.values()}
    changes += (Change("added", ("", n), ("", "array")) for n in found.extra if found.prefix + n not in known)
    totals = joined_totals(_sizes(here.values()), _sizes(shapes.values()))
    return NetworkDifference(titles, totals, {"array": len(here)}, tuple(changes))


def _sizes(shapes: Collection[tuple[int, ...]]) -> dict[str, int]:
    return {"arrays": len(shapes), "elements": sum(map(math.prod, shapes))}
