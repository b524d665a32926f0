"""The parts of an op's file: the base class, kinds of attributes, checks of attributes and inputs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from pydantic import Field

from archforge.ir import (
    ELEMENTWISE,
    WHOLE,
    Array,
    Backward,
    Example,
    Forward,
    Gradients,
    Op,
    Reach,
    ShapeError,
    TensorType,
)

__all__ = [
    "INPUTS",
    "OUTPUT",
    "Array",
    "Axis",
    "Backward",
    "Count",
    "Epsilon",
    "Example",
    "Extent",
    "Flag",
    "Forward",
    "Gradients",
    "Op",
    "Padding",
    "Positive",
    "PositiveReal",
    "Rate",
    "Real",
    "along_channels",
    "array_axis",
    "is_pointwise",
    "mended_by",
    "other_axes",
    "per_axis",
    "repeats_summed",
    "require_groups",
    "require_rank",
    "resolve_axis",
    "whole_along",
]

# Kinds of attributes. The description is what a message says that a value must be.
Positive = Annotated[int, Field(gt=0, description="a positive whole number")]
Count = Annotated[int, Field(ge=0, description="a whole number, 0 or more")]
Extent = Annotated[
    Positive | tuple[Positive, ...],
    Field(description="a positive whole number, or a list of one per axis"),
]
Axis = Annotated[int, Field(description="the number of an axis: 0 is the channels, -1 the last one")]
Flag = Annotated[bool, Field(description="true or false")]
Real = Annotated[float, Field(allow_inf_nan=False, description="a number")]
PositiveReal = Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number above 0")]
# Bounded, so that `bn: 64`, channels as other frameworks want them first, is refused.
Epsilon = Annotated[float, Field(gt=0, le=1, description="a number above 0, at most 1")]
Rate = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
Padding = Annotated[
    Literal["same", "same_upper", "valid"] | Count | tuple[Count | tuple[Count, Count], ...],
    Field(
        description="`same`, `same_upper`, `valid`, a whole number, or a list of one number or "
        "[before, after] pair per axis"
    ),
]


# What a gradient reads of the forward pass.
INPUTS: frozenset[Literal["inputs", "output"]] = frozenset({"inputs"})
OUTPUT: frozenset[Literal["inputs", "output"]] = frozenset({"output"})


def along_channels(values: Array, x: Array) -> Array:
    """One value for each channel, shaped to be spread over `x` float[N, C, *]."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def other_axes(x: Array, *axes: int) -> tuple[int, ...]:
    """The axes of `x`, the batch's among them, without `axes`, which count from 0."""
    return tuple(axis for axis in range(x.ndim) if axis not in axes)


def repeats_summed(dx: Array, x: Array) -> Array:
    """A gradient summed along the axes where `x`, of equally many axes, was repeated."""
    repeated = tuple(a for a, (n, m) in enumerate(zip(x.shape, dx.shape, strict=True)) if n < m)
    return dx.sum(repeated, keepdims=True) if repeated else dx


def whole_along(axes: Collection[int], x: TensorType) -> tuple[Reach, ...]:
    """The reach of an op that mixes all elements along `axes` of `x`, from 0, and none along the others."""
    return tuple(WHOLE if axis in axes else ELEMENTWISE for axis in range(len(x.shape)))


def is_pointwise(op: Op, *inputs: TensorType) -> bool:
    """True for activations and for merges of values of one type: they do the same at every place, wherever it
    is, without parameters."""
    if op.params(*inputs) or len({*inputs}) > 1:
        return False
    vectors = [TensorType((x.size,)) for x in inputs]
    try:  # what tells axes apart, as `pad` does, takes no vector
        return op.infer(*vectors) == vectors[0] and op.reach(*vectors) == (ELEMENTWISE,)
    except ShapeError:
        return False


def mended_by(inputs: Sequence[TensorType], joined: int | None = None) -> str:
    """The `mended_by` of branches that do not fit together: `other` where spatial axes alone differ, which
    another size of the network's input may make equal. `joined` is an axis that need not be equal."""
    ranks = {len(x.shape) for x in inputs}
    channels = {x.shape[:1] for x in inputs} if joined != 0 else set()
    return "other" if len(ranks) == 1 and len(channels) < 2 else ""


def per_axis(value: int | tuple[int, ...], axes: int, attribute: str) -> tuple[int, ...]:
    """`value` for each of `axes` axes. Raises `ShapeError` for a list of another length."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise ShapeError(
            f"`{attribute}` has {len(value)} values for an input with {axes} spatial axes",
            attribute,
            help=f"one whole number, or a list of {axes}",
            code="E0404",
        )
    return value


def require_rank(x: TensorType, ranks: Sequence[int], what: str) -> None:
    """Raises `ShapeError` unless `x` has one of `ranks` axes (batch not counted)."""
    axes = len(x.shape)
    if axes not in ranks:
        raise ShapeError(
            f"{what} takes inputs of {min(ranks)} to {max(ranks)} axes, found {x}",
            label=f"{axes} {'axis' if axes == 1 else 'axes'}, the batch not counted",
        )


def resolve_axis(axis: int, x: TensorType, attribute: str = "axis") -> int:
    """`axis` of `x` counted from 0, batch excluded. Raises `ShapeError` if there is no such axis."""
    axes = len(x.shape)
    if not -axes <= axis < axes:
        raise ShapeError(
            f"there is no axis {axis} in an input of {x}",
            attribute,
            label=f"{axes} axes: from {-axes} to {axes - 1}",
            code="E0404",
        )
    return axis % axes


def array_axis(axis: int, x: Array) -> int:
    """The axis of an array, whose batch axis is 0, that is `axis` of its type."""
    return resolve_axis(axis, TensorType(x.shape[1:])) + 1


def require_groups(groups: int, attribute: str = "groups", /, **channels: int) -> None:
    """Raises `ShapeError` unless `groups`, the value of an attribute, divides each of the named numbers of
    channels."""
    for name, number in channels.items():
        if number % groups:
            raise ShapeError(
                f"{attribute} must divide {name}",
                attribute,
                label=f"{number} % {groups} = {number % groups}",
                help=_nearest_divisors(math.gcd(*channels.values()), groups),
                code="E0402",
            )


def _nearest_divisors(number: int, near: int) -> str:
    # Bounded: the numbers come from a spec, which nobody has to trust.
    small = [d for d in range(1, min(math.isqrt(number), 1 << 16) + 1) if number % d == 0]
    divisors = {*small, *(number // d for d in small)}
    fit = sorted(sorted(divisors, key=lambda d: (abs(d - near), d))[:3])
    return f"nearest that fit: {', '.join(map(str, fit))}"
