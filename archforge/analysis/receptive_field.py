"""Receptive fields and strides: the part of the network's input behind one element of a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from archforge.errors import fail
from archforge.ir import Node, Reach, TensorType, TypedGraph

__all__ = ["Field", "receptive_fields"]


MAX_NUMBER = 10**100


@dataclass(frozen=True, slots=True)
class Field:
    """The part of an axis of the network's input that one element of a value depends on.

    extent: elements side by side, those outside the input counted; None for all of the input. stride:
    elements of the input from the part of one element of the value to that of the next; None where all
    elements depend on the same part.
    """

    extent: Fraction | None
    stride: Fraction | None

    @property
    def elements(self) -> int | None:
        """The extent in whole elements; None for all of the input."""
        return None if self.extent is None else math.ceil(self.extent)


_ALL = Field(None, None)
# Of each axis of a value: the axis of the network's input that it follows, and the field along it.
_Axes = tuple[tuple[int, Field] | None, ...]


def receptive_fields(typed: TypedGraph) -> Mapping[str, tuple[Field, ...]]:
    """The field of each value along each spatial axis of the network's input; of several, the largest.

    Grows by (extent - 1) * stride at each window and, where branches meet, is the largest of theirs. It is
    that of the graph's wiring: a gate that sees the whole map, as in squeeze-and-excitation, makes it the
    whole input. Raises E0317 for numbers that nobody can read.

    Source: doi:10.23915/distill.00021 (Araujo, Norris and Sim), equations 2 and 3.
    """
    rank = max((len(t.spatial) for t in typed.inputs.values()), default=0)
    axes: dict[str, _Axes] = {
        name: tuple((axis, Field(Fraction(1), Fraction(1))) for axis in range(len(type_.shape)))
        for name, type_ in typed.inputs.items()
    }
    for node in typed.nodes:
        axes[node.name] = _through(node, typed.input_types(node), [axes[v] for v in node.inputs])
        _check_magnitude(node, axes[node.name])
    return {name: tuple(_along(found, axis) for axis in range(1, rank + 1)) for name, found in axes.items()}


def _check_magnitude(node: Node, axes: _Axes) -> None:
    """Raise E0317 for fields and strides that nobody can read: they multiply from layer to layer."""
    numbers = (n for found in axes if found for n in (found[1].extent, found[1].stride) if n)
    if any(max(number.numerator, number.denominator) > MAX_NUMBER for number in numbers):
        digits = len(str(MAX_NUMBER))
        fail(
            "E0317",
            f"the receptive field or the stride of `{node.name}` has more than {digits} digits",
            node.span,
            help="leave both out of `--with`, or make the strides smaller",
        )


def _along(axes: _Axes, axis: int) -> Field:
    """The field along an axis of the network's input; all of it if no axis of the value follows it."""
    return next((found[1] for found in axes if found and found[0] == axis), _ALL)


def _through(node: Node, types: tuple[TensorType, ...], inputs: list[_Axes]) -> _Axes:
    """The axes of a node's output."""
    reaches = node.op.reach(*types)
    return tuple(
        _joined([_reached(axes, reach.axis if reach.axis is not None else at, reach) for axes in inputs])
        for at, reach in enumerate(reaches)
    )


def _reached(axes: _Axes, axis: int, reach: Reach) -> tuple[int, Field] | None:
    """An axis of the output as it follows one input; None if that input has no such axis."""
    before = axes[axis] if axis < len(axes) else None
    if before is None:
        return None
    if reach.elements == 1 and reach.inputs == reach.outputs:
        return before
    followed, field = before
    if field.stride is None or reach.elements is None:
        return followed, _ALL
    extent = None if field.extent is None else field.extent + (reach.elements - 1) * field.stride
    return followed, Field(extent, field.stride * Fraction(reach.inputs, reach.outputs))


def _joined(found: list[tuple[int, Field] | None]) -> tuple[int, Field] | None:
    """An axis of the output as it follows all inputs: the largest field of them."""
    if len(found) == 1:
        return found[0]
    known = [axis for axis in found if axis is not None]
    if not known:
        return None
    extents = [field.extent for _, field in known]
    extent = max((e for e in extents if e is not None), default=None)
    if len(known) < len(found) or None in extents:
        extent = None
    stride = max((field.stride for _, field in known if field.stride is not None), default=None)
    return known[0][0], Field(extent, stride)
