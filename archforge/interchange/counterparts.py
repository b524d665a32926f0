"""Counterparts of a network, to be held against it: what each has for arrays, and what it computes.

A counterpart is a module of torch, a model of ONNX, a file of weights, or another spec's network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.weights.bind import COUNTER, shape_of
from archforge.weights.given import prefixes
from archforge.weights.golden import Deviation
from archforge.weights.matching import matching

__all__ = [
    "Comparison",
    "Computed",
    "Counterpart",
    "ParamComparison",
    "WeightsCounterpart",
    "compared_params",
    "compared_values",
    "deviation",
]


class Computed(NamedTuple):
    """Values that a counterpart computed, in its order. outputs: in their order. values: by the name in the
    network that they should have. unknown: values that have a name of their own, or none there."""

    outputs: Sequence[Array]
    values: Mapping[str, Array]
    unknown: Mapping[str, Array] = {}


class Counterpart(Protocol):
    """Something that a network is held against. words: its name, for messages. in_order: its arrays are in an
    order in which it computes. own_weights: the network gets its weights, rather than it the network's.
    dtype: that in which it computes."""

    @property
    def words(self) -> str: ...

    @property
    def in_order(self) -> bool: ...

    @property
    def own_weights(self) -> LazyArrays | None: ...

    @property
    def dtype(self) -> str: ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each of its arrays, in its order."""

    def computed(
        self,
        typed: TypedGraph,
        weights: Mapping[str, Array],
        names: Mapping[str, str],
        inputs: Sequence[Array],
    ) -> Computed | None:
        """Values on these inputs; None if it computes nothing. weights: by its own names. names: of its
        arrays, by those of the network's."""


@dataclass(frozen=True, slots=True)
class WeightsCounterpart:
    """File of weights, which computes nothing."""

    words: str
    arrays: LazyArrays
    in_order: bool
    own_weights: LazyArrays | None = None
    dtype: str = "float64"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: shape_of(array) for name, array in self.arrays.items() if not name.endswith(COUNTER)}

    def computed(self, *_: Any) -> Computed | None:
        return None


# Parameters ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParamComparison:
    """Arrays of a network beside those of a counterpart. missing: those that it lacks; extra: those that it
    has besides; shapes: by name, here and there. names: for each of the network's, that of the counterpart's
    which belongs to it; empty if that cannot be told. how: `name` or `order`. prefix: of the counterpart's
    names."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    how: str = "name"
    prefix: str = ""

    @property
    def is_equal(self) -> bool:
        """True if names and shapes are equal."""
        return not self.missing and not self.extra and not self.shapes


def compared_params(
    typed: TypedGraph, shapes: Mapping[str, tuple[int, ...]], *, in_order: bool
) -> ParamComparison:
    """The parameters of a network beside arrays of these shapes, by name, and if names differ by order."""
    decls = typed.params()
    found = prefixes(decls, shapes) if not decls.keys() <= shapes.keys() else []
    prefix = found[0] if len(found) == 1 else ""
    there = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    missing = tuple(name for name in decls if name not in there)
    extra = tuple(name for name in there if name not in decls)
    apart = {n: (d.shape, there[n]) for n, d in decls.items() if n in there and there[n] != d.shape}
    if not missing and not extra and not apart:
        return ParamComparison(names={name: f"{prefix}{name}" for name in decls}, prefix=prefix)
    holes = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    try:
        matched = matching(typed, holes, in_order=in_order)
    except DiagnosticError:
        return ParamComparison(missing, extra, apart, prefix=prefix)
    names = {name: m.source for name, m in matched.parameters.items()}
    return ParamComparison(missing, extra, apart, names, "order", prefix)


# Values ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """A network beside a counterpart. inputs: the shapes with the batch. outputs: deviations of the outputs;
    layers: of values on the way, in the order of the network. unmatched: values of the counterpart that equal
    none here."""

    params: ParamComparison
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: tuple[Deviation, ...] = ()
    layers: tuple[Deviation, ...] = ()
    unmatched: tuple[str, ...] = ()
    tolerance: float = 0.0

    @property
    def first_apart(self) -> Deviation | None:
        """The first layer that is farther off than rounding explains."""
        return next((layer for layer in self.layers if layer.distance > self.tolerance), None)

    @property
    def last_equal(self) -> Deviation | None:
        """The layer before the first that is apart, if there is one."""
        before = self.layers[: self.layers.index(self.first_apart)] if self.first_apart else ()
        return before[-1] if before else None

    @property
    def ok(self) -> bool:
        """True if names, shapes and all values that were compared are equal."""
        apart = any(output.distance > self.tolerance for output in self.outputs)
        return self.params.is_equal and not apart and self.first_apart is None


def deviation(name: str, found: Array, wanted: Array) -> Deviation:
    """The largest difference of two arrays, in standard deviations of the wanted one; infinite where shapes
    differ or a number is none."""
    if found.shape != wanted.shape:
        return Deviation(name, float("inf"), 0)
    if not wanted.size:
        return Deviation(name, 0.0, 0)
    distance = float(np.abs(found - wanted).max()) / (float(wanted.std()) or 1.0)
    return Deviation(name, float("inf") if np.isnan(distance) else distance, wanted.size)


def compared_values(
    order: Iterable[str],
    nodes: Collection[str],
    here: Mapping[str, Array],
    there: Computed,
    tolerance: float,
) -> tuple[tuple[Deviation, ...], tuple[str, ...]]:
    """Deviations of the values that both have, in an order of names, and the values that equal none here.

    A scope, which is none of the `nodes`, may end elsewhere than the other's part of its name: it is passed
    over where that one's value is another of those here, and unmatched where it has another shape.
    """
    layers: list[Deviation] = []
    unmatched: list[str] = []
    for name in order:
        if name in there.values and name in here:
            wanted = there.values[name]
            found = deviation(name, here[name], wanted)
            is_layer = found.distance <= tolerance or name in nodes
            if not is_layer and _is_among(here, wanted, tolerance):
                continue
            if is_layer or found.compared:
                layers.append(found)
            else:
                unmatched.append(name)
    unmatched += (n for n, value in there.unknown.items() if not _is_among(here, value, tolerance))
    return tuple(layers), tuple(unmatched)


def _is_among(values: Mapping[str, Array], wanted: Array, tolerance: float) -> bool:
    return any(deviation(name, value, wanted).distance <= tolerance for name, value in values.items())
