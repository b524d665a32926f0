"""One call of a layer of Keras, and the nodes of ours that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from archforge.interchange.draft import GraphDraft
from archforge.interchange.flows import Axes, Flow, common_axes, own_axes
from archforge.interchange.keras.description import KerasConstant
from archforge.interchange.translation import bound_op, require
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["FixedNorm", "KerasDraft", "KerasUse", "Translate", "turned_columns"]


class Flattened(NamedTuple):
    """A map that was flattened: its shape, and the order of its axes in which Keras went through it."""

    shape: tuple[int, ...]
    order: tuple[int, ...]


class FixedNorm(NamedTuple):
    """A value times a factor plus an offset for each channel, float64[C], which nothing trains."""

    value: str
    factor: Array
    offset: Array


class KerasDraft(GraphDraft):
    """A graph in the making. flattened: values whose elements Keras has in another order. fixed: values that
    are fixed norms of others. notes: remarks for a user."""

    def __init__(self, file: str, name: str) -> None:
        super().__init__(file, name)
        self.flattened: dict[str, Flattened] = {}
        self.fixed: dict[str, FixedNorm] = {}
        self.notes: dict[str, list[str]] = {}

    def note(self, text: str, place: str) -> None:
        """Remember a remark, and a place that it is about."""
        self.notes.setdefault(text, []).append(place)

    def straight(self, flow: Flow) -> Flow:
        """A value whose elements are in the order in which Keras has them, which may take nodes."""
        found = self.flattened.get(flow.value)
        if found is None:
            return flow
        made = flow
        for op in (
            bound_op("reshape", shape=found.shape),
            bound_op("permute", order=found.order),
            bound_op("flatten"),
        ):
            made = self.add(op, [made], op.kind)
        return replace(made, axes=flow.axes)

    def _before(self, op: Op, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """No key: a layer of Keras has one set of parameters, whatever it is called on."""
        return ()


@dataclass(frozen=True, slots=True, eq=False)
class KerasUse:
    """A call of a layer with what is known of it.

    values: what it is called on. arrays: by our names, in our layouts. stored: the names that the file has
    for them. version: of Keras, its first number.
    """

    draft: KerasDraft
    name: str
    kind: str
    settings: Mapping[str, Any]
    values: Sequence[Flow | KerasConstant]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    stored: tuple[str, ...] = ()
    version: int = 3

    # Values

    @property
    def flows(self) -> list[Flow]:
        return [value for value in self.values if isinstance(value, Flow)]

    @property
    def x(self) -> Flow:
        """The only value, as it is. Raises `Unsupported` for several."""
        require(len(self.values) == len(self.flows) == 1, "several values")
        return self.flows[0]

    @property
    def straight(self) -> Flow:
        """The only value, its elements in the order of Keras."""
        return self.draft.straight(self.x)

    def with_channels(self, axis: int, flow: Flow | None = None) -> Flow:
        """The value as a map of ours whose channels Keras has at that axis, the batch counted."""
        x = flow or self.straight
        rank = len(x.axes)
        places = [place for place in range(1, rank) if place != axis % rank]
        axes = [0] * rank
        for ours, place in enumerate([axis % rank, *places], 1):
            axes[place] = ours
        y = self.draft.seen_as(x, tuple(axes))
        return Flow(y.value, y.type, tuple(axes))

    def map(self, axes: int) -> Flow:
        """The value as a map of that many spatial axes. Raises `Unsupported`."""
        x = self.straight
        require(len(x.axes) == axes + 2, f"a value of {len(x.axes) - 1} axes")
        return self.with_channels(1 if self.has_channels_first else -1, x)

    @property
    def has_channels_first(self) -> bool:
        return self.settings.get("data_format") == "channels_first"

    def together(self, *, is_elementwise: bool = True) -> list[Flow]:
        """All values, seen by the same axes. is_elementwise: another order of elements may stay, if it is the
        same one."""
        flows = self.flows
        require(len(flows) == len(self.values), "a constant among its values")
        orders = {self.draft.flattened.get(flow.value) for flow in flows}
        if not (is_elementwise and len(orders) == 1):
            flows = [self.draft.straight(flow) for flow in flows]
        require(len({len(flow.axes) for flow in flows}) == 1, "values of several numbers of axes")
        if common_axes(flows) is None:
            flows = [self.draft.ours(flow) for flow in flows]
        return flows

    # Settings

    def given(self, name: str, default: Any = None) -> Any:
        """A setting, which may be left out or null."""
        found = self.settings.get(name)
        return default if found is None else found

    def flag(self, name: str, default: bool) -> bool:
        found = self.given(name, default)
        require(isinstance(found, bool), f"`{name}` = {found!r}")
        return bool(found)

    def real(self, name: str, default: float) -> float:
        found = self.given(name, default)
        require(type(found) in (int, float), f"`{name}` = {found!r}")
        return float(found)

    def sizes(self, name: str, axes: int, default: Any = 1) -> tuple[int, ...]:
        """A setting that is a whole number, or one for each spatial axis."""
        found = self.given(name, default)
        numbers = found if isinstance(found, list | tuple) else [found] * axes
        is_whole = all(type(n) is int for n in numbers)
        require(is_whole and len(numbers) == axes, f"`{name}` = {found!r}")
        return tuple(numbers)

    def only(self, name: str, *allowed: Any) -> None:
        """Raises `Unsupported` for a setting that is there and none of these."""
        if name in self.settings:
            found = self.settings[name]
            require(any(found is a or found == a for a in allowed), f"`{name}` = {found!r}")

    # Nodes

    def add(
        self,
        op: Op,
        x: Flow | Sequence[Flow],
        part: str = "",
        params: Mapping[str, Array] | None = None,
        gives: Axes | None = None,
    ) -> Flow:
        """A node of this layer. part: what it is within the layer. gives: the axes of what it gives, those of
        its first value by default. Raises `Unsupported`."""
        flows = [x] if isinstance(x, Flow) else x
        stored = (*self.stored, part) if params and self.stored else ()
        hint = f"{self.name}{part}"
        return self.draft.add(op, flows, hint, params or {}, stored, gives or flows[0].axes)

    def each(self, op: Op, part: str = "") -> Flow:
        """A node of an op that sees each element alone."""
        return self.same_order(self.x, self.add(op, self.x, part))

    def same_order(self, x: Flow, y: Flow) -> Flow:
        """The value y, whose elements are in the order of those of x."""
        if x.value in self.draft.flattened:
            self.draft.flattened[y.value] = self.draft.flattened[x.value]
        return y

    def params(self, *names: str, scope: str = "") -> dict[str, Array]:
        """The arrays of these names, as far as they are there."""
        found = {name: self.arrays.get(f"{scope}{name}") for name in names}
        return {name: array for name, array in found.items() if array is not None}

    def array(self, name: str) -> Array:
        """The array of a name. Raises `Unsupported` where it is missing."""
        if name not in self.arrays:
            raise Unsupported(f"whose array `{name}` is missing")
        return self.arrays[name]

    def flatten(self, x: Flow) -> Flow:
        """All elements in one axis, in our order, which may be another one than Keras's."""
        seen = [axis for axis in x.axes[1:] if axis]
        if len(x.type.shape) == 1:
            return Flow(x.value, x.type, own_axes(x.type))
        y = self.add(bound_op("flatten"), x, gives=(0, 1))
        wide = [axis for axis in seen if x.extent(axis) > 1]
        if wide != sorted(wide):
            rest = [axis for axis in range(1, len(x.type.shape) + 1) if axis not in seen]
            order = tuple(axis - 1 for axis in (*seen, *rest))
            self.draft.flattened[y.value] = Flattened(x.type.shape, order)
        return y


def turned_columns(array: Array, found: Flattened | None) -> Array:
    """An array whose last axis goes over a flattened map in the order of Keras, in ours."""
    if found is None:
        return array
    shape = tuple(found.shape[axis] for axis in found.order)
    lead = array.ndim - 1
    rows = array.reshape(*array.shape[:-1], *shape)
    back = tuple(lead + place for place in np.argsort(found.order))
    return np.ascontiguousarray(rows.transpose(*range(lead), *back)).reshape(array.shape)


# Gives the value of a call. Raises `Unsupported` with the reason where ours is something else.
Translate = Callable[[KerasUse], Flow]
