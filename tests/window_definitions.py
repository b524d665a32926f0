"""Ops with a window or a matrix, as plain loops: geometry, padding and counting element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from archforge.ops.base import Array

__all__ = [
    "PRODUCTS",
    "Index",
    "Params",
    "avg_pool",
    "axis_starts",
    "indices",
    "inside",
    "lp_pool",
    "max_pool",
    "on_axis",
    "summed",
    "windows",
]

Index = tuple[int, ...]
Params = Mapping[str, Array]


def indices(shape: Index) -> Iterator[Index]:
    return product(*map(range, shape))


def on_axis(value: Any, axis: int) -> Any:
    """An attribute's entry for one spatial axis."""
    return value[axis] if isinstance(value, tuple) else value


def inside(position: Index, shape: Index) -> bool:
    return all(0 <= p < n for p, n in zip(position, shape, strict=True))


# Windows ---------------------------------------------------------------------------------------


def axis_sides(padding: Any, axis: int, size: int, reach: int, stride: int) -> tuple[int, int]:
    """Elements of padding before and after an axis."""
    match padding:
        case "valid":
            return 0, 0
        case "same":
            return (reach - 1) // 2, (reach - 1) // 2
        case "same_upper":  # as little as makes the output ceil(size / stride)
            total = 0
            while len(axis_starts(size, (0, total), reach, stride)) < math.ceil(size / stride):
                total += 1
            return total // 2, total - total // 2
    side = on_axis(padding, axis)
    return side if isinstance(side, tuple) else (side, side)


def axis_starts(
    size: int, sides: tuple[int, int], reach: int, stride: int, *, ceil: bool = False
) -> list[int]:
    """The starts of windows, input element 0 at 0.

    With `ceil` one more follows a window that did not get to the end of the padding, if it starts
    before the padding after the input.
    """
    before, after = sides
    starts = []
    start = -before
    while start + reach <= size + after or (ceil and start + reach - stride < size + after and start < size):
        starts.append(start)
        start += stride
    return starts


def geometry(op: Any, axis: int, size: int) -> tuple[int, int, int, tuple[int, int], list[int]]:
    """Kernel, stride, dilation, sides and starts of an op's window along one axis."""
    kernel = on_axis(op.kernel, axis)
    stride = kernel if op.stride is None else on_axis(op.stride, axis)
    dilation = on_axis(getattr(op, "dilation", 1), axis)
    reach = dilation * (kernel - 1) + 1
    sides = axis_sides(op.padding, axis, size, reach, stride)
    ceil = getattr(op, "ceil", False)
    return kernel, stride, dilation, sides, axis_starts(size, sides, reach, stride, ceil=ceil)


def windows(op: Any, sizes: Index) -> Iterator[tuple[Index, list[Index]]]:
    """Each output position with the input positions under its window, those outside too."""
    axes = [geometry(op, axis, size) for axis, size in enumerate(sizes)]
    for index in product(*(range(len(starts)) for *_, starts in axes)):
        taps = indices(tuple(kernel for kernel, *_ in axes))
        yield (
            index,
            [
                tuple(
                    starts[i] + t * dilation
                    for i, t, (_, _, dilation, _, starts) in zip(index, tap, axes, strict=True)
                )
                for tap in taps
            ],
        )


def output_shape(positions: list[Index]) -> Index:
    return tuple(1 + max(axis) for axis in zip(*positions, strict=True))


def pooled(op: Any, x: Array, function: Callable[[list[float], int], float]) -> Array:
    """`function` of the elements under each window, and of how many count with padding."""
    sizes = x.shape[1:]
    sides = [geometry(op, axis, size)[3] for axis, size in enumerate(sizes)]
    found = list(windows(op, sizes))
    y = np.empty((len(x), *output_shape([index for index, _ in found])))
    for channel, (index, positions) in product(range(len(x)), found):
        padded = sum(
            all(-a <= p < n + b for p, n, (a, b) in zip(position, sizes, sides, strict=True))
            for position in positions
        )
        elements = [float(x[(channel, *p)]) for p in positions if inside(p, sizes)]
        y[(channel, *index)] = function(elements, padded)
    return y


def max_pool(op: Any, params: Params, x: Array) -> Array:
    return pooled(op, x, lambda elements, padded: max(elements, default=-math.inf))


def avg_pool(op: Any, params: Params, x: Array) -> Array:
    return pooled(op, x, lambda e, padded: math.fsum(e) / (padded if op.count_include_pad else len(e)))


def lp_pool(op: Any, params: Params, x: Array) -> Array:
    full = math.prod(on_axis(op.kernel, axis) for axis in range(x.ndim - 1))

    def norm(elements: list[float], padded: int) -> float:
        total = math.fsum(abs(v) ** op.norm for v in elements) * full / padded
        return math.pow(total, 1 / op.norm)

    return pooled(op, x, norm)


# Products: what convolutions and matrix products add up -----------------------------------------

# Each product with the output element that it belongs to; None for one that is cut off.
Products = Iterator[tuple[Index | None, float]]


def standardized(op: Any, weight: Array, gain: Array | None) -> Array:
    """Each kernel less its mean, over its deviation, times its gain."""
    y = np.empty(weight.shape)
    for o, kernel in enumerate(weight):
        taps = [float(kernel[index]) for index in indices(kernel.shape)]
        mean = math.fsum(taps) / len(taps)
        variance = math.fsum((v - mean) ** 2 for v in taps) / len(taps)
        factor = 1 if gain is None else op.gamma * gain.reshape(-1)[o] / math.sqrt(len(taps))
        for index in indices(kernel.shape):
            y[(o, *index)] = (kernel[index] - mean) / math.sqrt(variance + op.eps) * factor
    return y


def standardized_conv_products(op: Any, params: Params, x: Array) -> Products:
    weight = standardized(op, params["weight"], params.get("gain"))
    return conv_products(op, {**params, "weight": weight}, x)


def conv_products(op: Any, params: Params, x: Array) -> Products:
    weight, sizes = params["weight"], x.shape[1:]
    into, out = len(x) // op.groups, op.out // op.groups
    taps = list(indices(weight.shape[2:]))
    for index, positions in windows(op, sizes):
        for o, c in product(range(op.out), range(into)):
            channel = o // out * into + c
            for tap, position in zip(taps, positions, strict=True):
                element = x[(channel, *position)] if inside(position, sizes) else 0.0
                yield (o, *index), float(weight[(o, c, *tap)] * element)


def conv_transpose_sizes(op: Any, sizes: Index) -> Index:
    out = []
    for axis, size in enumerate(sizes):
        margin = on_axis(op.padding, axis)
        before, after = margin if isinstance(margin, tuple) else (margin, margin)
        end = 1 + max(
            i * on_axis(op.stride, axis) + t * on_axis(op.dilation, axis)
            for i, t in product(range(size), range(on_axis(op.kernel, axis)))
        )
        out.append(end + on_axis(op.output_padding, axis) - before - after)
    return tuple(out)


def conv_transpose_products(op: Any, params: Params, x: Array) -> Products:
    weight, out = params["weight"], op.out // op.groups
    into = len(x) // op.groups
    sizes = conv_transpose_sizes(op, x.shape[1:])
    for c, *position in indices(x.shape):
        for o, *tap in indices(weight.shape[1:]):
            place = []
            for axis, (i, t) in enumerate(zip(position, tap, strict=True)):
                margin = on_axis(op.padding, axis)
                before = margin[0] if isinstance(margin, tuple) else margin
                place.append(i * on_axis(op.stride, axis) + t * on_axis(op.dilation, axis) - before)
            kept = inside(tuple(place), sizes)
            index = (c // into * out + o, *place) if kept else None
            yield index, float(weight[(c, o, *tap)] * x[(c, *position)])


def linear_products(op: Any, params: Params, x: Array) -> Products:
    axis = (-1 if op.axis is None else op.axis) % x.ndim
    for position in indices(x.shape):
        for o in range(op.out):
            index = (*position[:axis], o, *position[axis + 1 :])
            yield index, float(params["weight"][o, position[axis]] * x[position])


PRODUCTS: dict[str, Callable[[Any, Params, Array], Products]] = {
    "conv": conv_products,
    "conv_transpose": conv_transpose_products,
    "linear": linear_products,
    "standardized_conv": standardized_conv_products,
}


def summed(kind: str) -> Callable[[Any, Params, Array], Array]:
    """The definition of an op that adds up products and its bias."""

    def define(op: Any, params: Params, x: Array) -> Array:
        axis = 0
        if kind == "linear":
            axis = (-1 if op.axis is None else op.axis) % x.ndim
            shape = (*x.shape[:axis], op.out, *x.shape[axis + 1 :])
        elif kind != "conv_transpose":
            shape = (op.out, *output_shape([index for index, _ in windows(op, x.shape[1:])]))
        else:
            shape = (op.out, *conv_transpose_sizes(op, x.shape[1:]))
        y = np.zeros(shape)
        for index, value in PRODUCTS[kind](op, params, x):
            if index is not None:
                y[index] += value
        if op.bias:
            for index in indices(shape):
                y[index] += params["bias"][index[axis]]
        return y

    return define
