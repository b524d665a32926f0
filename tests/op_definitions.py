"""Every op once more, as plain loops over scalars, written from its definition for one image.

They share no code with the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from archforge.ops.base import Array
from tests.recurrent_definitions import RECURRENT
from tests.token_definitions import TOKENS
from tests.window_definitions import (
    PRODUCTS,
    Index,
    Params,
    avg_pool,
    indices,
    inside,
    lp_pool,
    max_pool,
    on_axis,
    summed,
    windows,
)

__all__ = ["DEFINITIONS"]

# Element by element ----------------------------------------------------------------------------


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def softplus(v: float) -> float:
    return math.log(1 + math.exp(v))


def clip(op: Any, v: float) -> float:
    if op.min is not None and v < op.min:
        return float(op.min)
    return float(op.max) if op.max is not None and v > op.max else v


def gelu(op: Any, v: float) -> float:
    if op.approximate == "tanh":
        return v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    return v / 2 * (1 + math.erf(v / math.sqrt(2)))


def selu(op: Any, v: float) -> float:
    alpha, scale = 1.6732632423543772848, 1.0507009873554804934
    return scale * (v if v > 0 else alpha * (math.exp(v) - 1))


ELEMENTWISE: dict[str, Callable[[Any, float], float]] = {
    "abs": lambda op, v: v if v > 0 else -v,
    "channel_dropout": lambda op, v: v,
    "clip": clip,
    "dropout": lambda op, v: v,
    "elu": lambda op, v: v if v > 0 else op.alpha * (math.exp(v) - 1),
    "gelu": gelu,
    "hard_sigmoid": lambda op, v: 0 if v < -3 else 1 if v > 3 else v / 6 + 0.5,
    "hard_swish": lambda op, v: 0 if v < -3 else v if v > 3 else v * (v + 3) / 6,
    "identity": lambda op, v: v,
    "leaky_relu": lambda op, v: v if v > 0 else op.slope * v,
    "mish": lambda op, v: v * math.tanh(softplus(v)),
    "relu": lambda op, v: v if v > 0 else 0,
    "relu6": lambda op, v: 0 if v < 0 else 6 if v > 6 else v,
    "offset": lambda op, v: v + op.number,
    "scale": lambda op, v: v * op.factor,
    "selu": selu,
    "sigmoid": lambda op, v: sigmoid(v),
    "silu": lambda op, v: v * sigmoid(v),
    "softplus": lambda op, v: softplus(v),
    "softsign": lambda op, v: v / (1 + abs(v)),
    "stochastic_depth": lambda op, v: v,
    "tanh": lambda op, v: (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1),
}


def elementwise(kind: str) -> Callable[[Any, Params, Array], Array]:
    def define(op: Any, params: Params, x: Array) -> Array:
        y = np.empty(x.shape)
        for index in indices(x.shape):
            y[index] = ELEMENTWISE[kind](op, float(x[index]))
        return y

    return define


def merged(function: Callable[[float, float], float]) -> Callable[..., Array]:
    def define(op: Any, params: Params, *xs: Array) -> Array:
        axes = max(x.ndim for x in xs)
        xs = tuple(x.reshape(*x.shape, *(1,) * (axes - x.ndim)) for x in xs)
        y = np.empty(tuple(max(n) for n in zip(*(x.shape for x in xs), strict=True)))
        for index in indices(y.shape):
            values = [x[tuple(min(i, n - 1) for i, n in zip(index, x.shape, strict=True))] for x in xs]
            total = float(values[0])
            for value in values[1:]:
                total = function(total, float(value))
            y[index] = total
        return y

    return define


# Normalisation and the rest ----------------------------------------------------------------------


def bn(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    for index in indices(x.shape):
        c = index[0]
        y[index] = (x[index] - params["running_mean"][c]) / math.sqrt(params["running_var"][c] + op.eps)
        if op.affine and op.scale:
            y[index] *= params["weight"][c]
        if op.affine and op.center:
            y[index] += params["bias"][c]
    return y


def layer_norm(op: Any, params: Params, x: Array) -> Array:
    given = op.axis if isinstance(op.axis, tuple) else (op.axis,)
    axes = sorted(a % x.ndim for a in given)
    y = np.empty(x.shape)
    for index in indices(x.shape):
        peers = [
            float(x[other])
            for other in indices(x.shape)
            if all(a in axes or other[a] == index[a] for a in range(x.ndim))
        ]
        mean = math.fsum(peers) / len(peers)
        variance = math.fsum((v - mean) ** 2 for v in peers) / len(peers)
        y[index] = (x[index] - mean) / math.sqrt(variance + op.eps)
        if op.affine:
            at = tuple(index[a] for a in axes)
            y[index] = y[index] * params["weight"][at] + params["bias"][at]
    return y


def global_response_norm(op: Any, params: Params, x: Array) -> Array:
    axis = op.axis % x.ndim
    squares = [[float(x[i]) ** 2 for i in indices(x.shape) if i[axis] == c] for c in range(x.shape[axis])]
    norms = [math.sqrt(math.fsum(channel)) for channel in squares]
    mean = math.fsum(norms) / len(norms)
    y = np.empty(x.shape)
    for index in indices(x.shape):
        c = index[axis]
        scaled = x[index] * norms[c] / (mean + op.eps)
        y[index] = params["weight"][c] * scaled + params["bias"][c] + x[index]
    return y


def lrn(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    for c, *rest in indices(x.shape):
        near = range(c - op.size // 2, c - op.size // 2 + op.size)
        total = math.fsum(float(x[(d, *rest)]) ** 2 for d in near if 0 <= d < len(x))
        y[(c, *rest)] = x[(c, *rest)] / (op.k + op.alpha * total / op.size) ** op.beta
    return y


def global_pool(function: Callable[[list[float]], float]) -> Callable[[Any, Params, Array], Array]:
    def define(op: Any, params: Params, x: Array) -> Array:
        values = [function([float(channel[i]) for i in indices(channel.shape)]) for channel in x]
        return np.array(values).reshape(len(x), *((1,) * (x.ndim - 1) if op.keep else ()))

    return define


def adaptive_pool(function: Callable[[list[float]], float]) -> Callable[[Any, Params, Array], Array]:
    def define(op: Any, params: Params, x: Array) -> Array:
        sizes = x.shape[1:]
        counts = tuple(on_axis(op.size, axis) for axis in range(len(sizes)))
        y = np.empty((len(x), *counts))
        for c, *index in indices(y.shape):
            stretches = [
                range(math.floor(i * n / o), math.ceil((i + 1) * n / o))
                for i, n, o in zip(index, sizes, counts, strict=True)
            ]
            y[(c, *index)] = function([float(x[(c, *p)]) for p in product(*stretches)])
        return y

    return define


def softmax(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    axis = op.axis % x.ndim
    for index in indices(x.shape):
        line = [float(x[(*index[:axis], j, *index[axis + 1 :])]) for j in range(x.shape[axis])]
        y[index] = math.exp(x[index]) / math.fsum(map(math.exp, line))
    return y


def log_softmax(op: Any, params: Params, x: Array) -> Array:
    y = softmax(op, params, x)
    for index in indices(y.shape):
        y[index] = math.log(y[index])
    return y


def layer_scale(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    for index in indices(x.shape):
        factor = params[""]
        y[index] = x[index] * factor[(index[0], *(0,) * (factor.ndim - 1))]
    return y


def prelu(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    for index in indices(x.shape):
        slope = params["weight"][index[0] if op.per_channel else 0]
        y[index] = x[index] if x[index] > 0 else slope * x[index]
    return y


def reshaped(shape_of: Callable[[Any, Array], Index]) -> Callable[[Any, Params, Array], Array]:
    def define(op: Any, params: Params, x: Array) -> Array:
        shape = shape_of(op, x)
        elements = [float(x[index]) for index in indices(x.shape)]
        missing = -x.size // math.prod(shape) if -1 in shape else 0
        y = np.empty(tuple(missing if n == -1 else n for n in shape))
        for index, element in zip(indices(y.shape), elements, strict=True):
            y[index] = element
        return y

    return define


def permute(op: Any, params: Params, x: Array) -> Array:
    y = np.empty([x.shape[axis] for axis in op.order])
    for index in indices(y.shape):
        source = [0] * x.ndim
        for position, axis in zip(index, op.order, strict=True):
            source[axis] = position
        y[index] = x[tuple(source)]
    return y


def tent(distance: float) -> float:
    return max(0.0, 1 - distance)


def keys(distance: float) -> float:
    """The two pieces of Keys' cubic, with a = -3/4 in them."""
    if distance <= 1:
        return 5 / 4 * distance**3 - 9 / 4 * distance**2 + 1
    return -3 / 4 * (distance - 1) * (distance - 2) ** 2 if distance < 2 else 0.0


def resampled(x: Array, sizes: Index, mode: str, corners: str) -> Array:
    """A sum over the map, continued by its edges, of elements weighed by a kernel over each position."""
    kernel = keys if mode == "cubic" else tent
    y = np.zeros((len(x), *sizes))
    for c, *index in indices(y.shape):
        at = []
        for i, n, o in zip(index, x.shape[1:], sizes, strict=True):
            if corners == "align_corners":
                at.append(i * (n - 1) / (o - 1) if o > 1 else 0.0)
            else:
                at.append({"half_pixel": (i + 0.5) * n / o - 0.5, "asymmetric": i * n / o}[corners])
        for place in product(*(range(-2, n + 3) for n in x.shape[1:])):
            share = math.prod(kernel(abs(p - q)) for p, q in zip(at, place, strict=True))
            inner = tuple(min(max(p, 0), n - 1) for p, n in zip(place, x.shape[1:], strict=True))
            y[(c, *index)] += share * x[(c, *inner)]
    return y


def nearest(x: Array, sizes: Index, offset: float) -> Array:
    y = np.empty((len(x), *sizes))
    for c, *index in indices(y.shape):
        at = (math.floor((i + offset) * n / o) for i, n, o in zip(index, x.shape[1:], sizes, strict=True))
        y[(c, *index)] = x[(c, *at)]
    return y


def upsample(op: Any, params: Params, x: Array) -> Array:
    sizes = tuple(n * on_axis(op.factor, a) for a, n in enumerate(x.shape[1:]))
    if op.mode == "nearest":
        return nearest(x, sizes, 0)
    return resampled(x, sizes, "linear", "align_corners" if op.align_corners else "half_pixel")


def resize(op: Any, params: Params, x: Array) -> Array:
    sizes = tuple(on_axis(op.size, axis) for axis in range(x.ndim - 1))
    if op.mode.startswith("nearest"):
        return nearest(x, sizes, 0.5 if op.mode == "nearest_exact" else 0)
    return resampled(x, sizes, op.mode, op.corners)


def group_norm(op: Any, params: Params, x: Array) -> Array:
    each = len(x) // (op.groups if op.kind == "group_norm" else len(x))
    y = np.empty(x.shape)
    for index in indices(x.shape):
        peers = [float(x[i]) for i in indices(x.shape) if i[0] // each == index[0] // each]
        mean = math.fsum(peers) / len(peers)
        variance = math.fsum((v - mean) ** 2 for v in peers) / len(peers)
        y[index] = (x[index] - mean) / math.sqrt(variance + op.eps)
        if op.affine:
            y[index] = y[index] * params["weight"][index[0]] + params["bias"][index[0]]
    return y


def pixel_shuffle(op: Any, params: Params, x: Array) -> Array:
    f, channels = op.factor, len(x) // op.factor**2
    y = np.empty((channels, x.shape[1] * f, x.shape[2] * f))
    for c, i, j in indices(y.shape):
        inner = i % f * f + j % f
        place = c * f**2 + inner if op.order == "channels_first" else inner * channels + c
        y[c, i, j] = x[place, i // f, j // f]
    return y


def pixel_unshuffle(op: Any, params: Params, x: Array) -> Array:
    f = op.factor
    y = np.empty((len(x) * f**2, x.shape[1] // f, x.shape[2] // f))
    for c, i, j in indices(x.shape):
        inner = i % f * f + j % f
        place = c * f**2 + inner if op.order == "channels_first" else inner * len(x) + c
        y[place, i // f, j // f] = x[c, i, j]
    return y


def unfold(op: Any, params: Params, x: Array) -> Array:
    found = [positions for _, positions in windows(op, x.shape[1:])]
    y = np.zeros((len(x) * len(found[0]), len(found)))
    for c, (place, positions) in product(range(len(x)), enumerate(found)):
        for tap, position in enumerate(positions):
            if inside(position, x.shape[1:]):
                y[c * len(positions) + tap, place] = x[(c, *position)]
    return y


def pad(op: Any, params: Params, x: Array) -> Array:
    sides = op.sides if isinstance(op.sides, tuple) else (op.sides,) * 2 * (x.ndim - 1)
    before, after = sides[0::2], sides[1::2]
    sizes = x.shape[1:]
    y = np.empty((len(x), *(n + a + b for n, a, b in zip(sizes, before, after, strict=True))))
    for c, *index in indices(y.shape):
        source = [i - a for i, a in zip(index, before, strict=True)]
        if op.mode == "reflect":
            source = [abs(i) if i < n else 2 * (n - 1) - i for i, n in zip(source, sizes, strict=True)]
        if op.mode == "replicate":
            source = [min(max(i, 0), n - 1) for i, n in zip(source, sizes, strict=True)]
        place = tuple(source)
        y[(c, *index)] = x[(c, *place)] if inside(place, sizes) else op.value
    return y


def cut(op: Any, params: Params, x: Array) -> Array:
    axis = op.axis % x.ndim
    kept = range(x.shape[axis])[op.start : op.end]
    y = np.empty((*x.shape[:axis], len(kept), *x.shape[axis + 1 :]))
    for index in indices(y.shape):
        y[index] = x[(*index[:axis], kept[index[axis]], *index[axis + 1 :])]
    return y


def shuffle(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    each = len(x) // op.groups
    for group, member in product(range(op.groups), range(each)):
        for rest in indices(x.shape[1:]):
            y[(member * op.groups + group, *rest)] = x[(group * each + member, *rest)]
    return y


def concat(op: Any, params: Params, *xs: Array) -> Array:
    axis = op.axis % xs[0].ndim
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    y = np.empty(shape)
    offset = 0
    for x in xs:
        for index in indices(x.shape):
            y[(*index[:axis], index[axis] + offset, *index[axis + 1 :])] = x[index]
        offset += x.shape[axis]
    return y


DEFINITIONS: dict[str, Callable[..., Array]] = {
    **{kind: elementwise(kind) for kind in ELEMENTWISE},
    **{kind: summed(kind) for kind in PRODUCTS},
    **RECURRENT,
    **TOKENS,
    "adaptive_avg_pool": adaptive_pool(lambda values: math.fsum(values) / len(values)),
    "adaptive_max_pool": adaptive_pool(max),
    "add": merged(lambda a, b: a + b),
    "avg_pool": avg_pool,
    "bn": bn,
    "concat": concat,
    "divide": merged(lambda a, b: a / b),
    "flatten": reshaped(lambda op, x: (x.size,)),
    "global_avg_pool": global_pool(lambda values: math.fsum(values) / len(values)),
    "global_max_pool": global_pool(max),
    "global_response_norm": global_response_norm,
    "group_norm": group_norm,
    "instance_norm": group_norm,
    "layer_norm": layer_norm,
    "layer_scale": layer_scale,
    "log_softmax": log_softmax,
    "lp_pool": lp_pool,
    "lrn": lrn,
    "max_pool": max_pool,
    "maximum": merged(max),
    "multiply": merged(lambda a, b: a * b),
    "pad": pad,
    "permute": permute,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "prelu": prelu,
    "reshape": reshaped(lambda op, x: op.shape),
    "resize": resize,
    "shuffle": shuffle,
    "slice": cut,
    "softmax": softmax,
    "subtract": merged(lambda a, b: a - b),
    "unfold": unfold,
    "upsample": upsample,
}
