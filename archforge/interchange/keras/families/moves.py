"""Moves of elements: other shapes and orders, margins, repetition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from archforge.interchange.flows import Flow, own_axes
from archforge.interchange.keras.use import KerasUse, Translate
from archforge.interchange.translation import bound_op, require

__all__ = ["READ"]


def _flatten(use: KerasUse) -> Flow:
    """The elements of a map with its channels last, whatever the layers say."""
    x = use.x
    if len(x.axes) == 2:
        return x
    if use.has_channels_first and len(x.axes) > 2:
        x = Flow(x.value, x.type, (x.axes[0], *x.axes[2:], x.axes[1]))
    return use.flatten(x)


def _reshape(use: KerasUse) -> Flow:
    x, given = use.x, use.given("target_shape", [])
    is_shape = isinstance(given, list) and all(type(n) is int and (n > 0 or n == -1) for n in given)
    require(is_shape and given.count(-1) <= 1, f"`target_shape` = {given!r}")
    known = math.prod(n for n in given if n != -1)
    shape = tuple(x.type.size // known if n == -1 else n for n in given)
    require(math.prod(shape) == x.type.size, f"`target_shape` = {given!r} for {x.type.size} elements")
    found = use.draft.flattened.get(x.value)
    if found is None and [n for n in x.shape[1:] if n > 1] == [n for n in shape if n > 1]:
        wide = iter([axis for axis in x.axes[1:] if axis and x.extent(axis) > 1])
        return Flow(x.value, x.type, (0, *(next(wide) if n > 1 else None for n in shape)))
    if found is not None and shape == tuple(found.shape[axis] for axis in found.order):
        return use.add(bound_op("reshape", shape=found.shape), x, gives=(0, *(a + 1 for a in found.order)))
    x = use.draft.ours(use.straight)
    y = use.add(bound_op("reshape", shape=shape), x)
    return Flow(y.value, y.type, own_axes(y.type))


def _permute(use: KerasUse) -> Flow:
    x, order = use.straight, use.given("dims", [])
    places = [*range(1, len(x.axes))]
    is_order = isinstance(order, list) and all(type(n) is int for n in order) and sorted(order) == places
    require(is_order, f"`dims` = {order!r}")
    return Flow(x.value, x.type, (0, *(x.axes[axis] for axis in order)))


def _sides(use: KerasUse, name: str, axes: int) -> list[int]:
    """Two numbers for each spatial axis."""
    given: Any = use.given(name, 1)
    pairs = given if isinstance(given, list) else [given] * axes
    if axes == 1 and len(pairs) == 2:
        pairs = [pairs]
    flat = [n for each in pairs for n in (each if isinstance(each, list) and len(each) == 2 else [each] * 2)]
    require(len(pairs) == axes and all(type(n) is int and n >= 0 for n in flat), f"`{name}` = {given!r}")
    return flat


def _pad(axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        return use.add(bound_op("pad", sides=tuple(_sides(use, "padding", axes))), use.map(axes))

    return read


def _crop(axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        sides = tuple(-n for n in _sides(use, "cropping", axes))
        return use.add(bound_op("pad", sides=sides), use.map(axes))

    return read


def _upsample(axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        mode = use.given("interpolation", "nearest")
        require(mode in ("nearest", "bilinear"), f"`interpolation` = {mode!r}")
        op = bound_op("upsample", factor=use.sizes("size", axes, 2), mode=mode)
        return use.add(op, use.map(axes))

    return read


READ: Mapping[str, Translate] = {
    "Flatten": _flatten,
    "Permute": _permute,
    "Reshape": _reshape,
    **{f"Cropping{n}D": _crop(n) for n in (1, 2, 3)},
    **{f"UpSampling{n}D": _upsample(n) for n in (1, 2, 3)},
    **{f"ZeroPadding{n}D": _pad(n) for n in (1, 2, 3)},
}
