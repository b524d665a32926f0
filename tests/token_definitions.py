"""Ops of tokens and matrices, as plain loops: attention, products of two values, free parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np

from archforge.ops.base import Array
from tests.window_definitions import Params, indices

__all__ = ["TOKENS", "TOKEN_PRODUCTS"]


def linear_rows(x: Array, weight: Array, bias: Array | None) -> Array:
    """A linear layer of each row of x float[T, F]."""
    y = np.empty((len(x), len(weight)))
    for t, o in indices(y.shape):
        y[t, o] = math.fsum(float(a * b) for a, b in zip(x[t], weight[o], strict=True))
        y[t, o] += 0 if bias is None else bias[o]
    return y


def attention(op: Any, params: Params, x: Array) -> Array:
    if x.ndim > 2:
        return np.stack([attention(op, params, part) for part in x])
    torch = op.names == "torch"
    first, last = ("in_proj_", "out_proj.") if torch else ("qkv.", "proj.")
    size, (tokens, features) = x.shape[1] // op.heads, x.shape
    qkv = linear_rows(x, params[f"{first}weight"], params.get(f"{first}bias"))
    mixed = np.zeros(x.shape)
    for head, t in product(range(op.heads), range(tokens)):
        columns = range(head * size, (head + 1) * size)
        logits = [
            math.fsum(qkv[t, c] * qkv[s, features + c] for c in columns) / math.sqrt(size)
            for s in range(tokens)
        ]
        powers = [math.exp(v - max(logits)) for v in logits]
        for c, s in product(columns, range(tokens)):
            mixed[t, c] += powers[s] / math.fsum(powers) * qkv[s, 2 * features + c]
    return linear_rows(mixed, params[f"{last}weight"], params.get(f"{last}bias"))


def parameter(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(op.shape)
    for index in indices(y.shape):
        y[index] = params[""][(0, *index) if op.batch_axis else index]
    return y


def matmul(op: Any, params: Params, first: Array, second: Array) -> Array:
    a = first.swapaxes(-1, -2) if op.transpose_first else first
    b = second.swapaxes(-1, -2) if op.transpose_second else second
    before = tuple(max(n, m) for n, m in zip(a.shape[:-2], b.shape[:-2], strict=True))
    y = np.empty((*before, a.shape[-2], b.shape[-1]))
    for *index, row, column in indices(y.shape):
        i, j = (tuple(min(p, n - 1) for p, n in zip(index, x.shape, strict=False)) for x in (first, second))
        y[(*index, row, column)] = math.fsum(
            float(a[(*i, row, d)] * b[(*j, d, column)]) for d in range(a.shape[-1])
        )
    return y


def along_axis(op: Any, x: Array, index: tuple[int, ...]) -> tuple[int, list[float]]:
    """The axis of an op, from 0, and all elements of x along it through `index`."""
    axis = op.axis % x.ndim
    return axis, [float(x[(*index[:axis], j, *index[axis + 1 :])]) for j in range(x.shape[axis])]


def rms_norm(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    for index in indices(x.shape):
        axis, line = along_axis(op, x, index)
        y[index] = x[index] / math.sqrt(math.fsum(v * v for v in line) / len(line) + op.eps)
        y[index] *= params["weight"][index[axis]] if op.affine else 1
    return y


def l2_normalize(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    for index in indices(x.shape):
        y[index] = x[index] / max(math.hypot(*along_axis(op, x, index)[1]), op.eps)
    return y


def roll(op: Any, params: Params, x: Array) -> Array:
    y = np.empty(x.shape)
    axis = op.axis % x.ndim
    for index in indices(x.shape):
        place = (index[axis] + op.shift) % x.shape[axis]
        y[(*index[:axis], place, *index[axis + 1 :])] = x[index]
    return y


TOKENS: Mapping[str, Callable[..., Array]] = {
    "attention": attention,
    "matmul": matmul,
    "l2_normalize": l2_normalize,
    "parameter": parameter,
    "rms_norm": rms_norm,
    "roll": roll,
}


def attention_products(op: Any, params: Params, x: Array) -> Iterable[object]:
    """A linear layer of three times the features and one of as many, and each pair of tokens twice."""
    *before, tokens, features = x.shape
    for _ in indices(tuple(before)):
        yield from product(range(tokens), range(3 * features), range(features))
        yield from product(range(tokens), range(features), range(features))
        yield from product(range(2), range(tokens), range(tokens), range(features))


def matmul_products(op: Any, params: Params, first: Array, second: Array) -> Iterable[object]:
    depth = first.shape[-2 if op.transpose_first else -1]
    return product(indices(matmul(op, params, first, second).shape), range(depth))


# Something for each product that is added up.
TOKEN_PRODUCTS: Mapping[str, Callable[..., Iterable[object]]] = {
    "attention": attention_products,
    "matmul": matmul_products,
}
