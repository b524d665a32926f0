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


def take(op: Any, params: Params, x: Array) -> Array:
    axis, numbers = op.axis % x.ndim, np.array(op.indices)
    y = np.empty((*x.shape[:axis], *numbers.shape, *x.shape[axis + 1 :]))
    for index in indices(y.shape):
        behind = axis + numbers.ndim
        y[index] = x[(*index[:axis], numbers[index[axis:behind]], *index[behind:])]
    return y


def embedding(op: Any, params: Params, x: Array) -> Array:
    y = np.empty((*x.shape, op.out))
    for *index, feature in indices(y.shape):
        row = min(max(math.floor(x[tuple(index)]), 0), op.entries - 1)
        y[(*index, feature)] = params["weight"][row, feature]
    return y


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def window_biases(op: Any, params: Params) -> Array:
    """The bias of each head for each difference of two positions."""
    if not op.cosine:
        return params["relative_position_bias_table"]
    coordinates = params["relative_coords_table"].reshape(-1, len(op.window_size))
    first, bias, second = (params[f"cpb_mlp.{name}"] for name in ("0.weight", "0.bias", "2.weight"))
    outputs = linear_rows(np.maximum(linear_rows(coordinates, first, bias), 0), second, None)
    return np.array([[16 * sigmoid(m) for m in row] for row in outputs])


def window_tokens(op: Any, x: Array) -> Iterable[list[tuple[tuple[int, ...], tuple[bool, ...]]]]:
    """The tokens of each window: where each lies, outside the map if in the padding, and along which axes it
    came from the map's beginning to its end."""
    cut = [min(n, w) if op.shrink else w for n, w in zip(x.shape, op.window_size, strict=False)]
    padded = [math.ceil(n / w) * w for n, w in zip(x.shape, cut, strict=False)]
    shifts = op.shift_size if isinstance(op.shift_size, tuple) else [op.shift_size] * len(cut)
    shifts = [s if n > w else 0 for n, w, s in zip(x.shape, cut, shifts, strict=False)]
    counts = [n // w for n, w in zip(padded, cut, strict=True)]
    for number in indices(tuple(counts)):
        tokens = []
        for place in indices(tuple(cut)):
            here = [
                t * c + j if op.grid else j * w + t
                for j, t, c, w in zip(number, place, counts, cut, strict=True)
            ]
            source = tuple((i + s) % n for i, s, n in zip(here, shifts, padded, strict=True))
            tokens.append((source, tuple(i + s >= n for i, s, n in zip(here, shifts, padded, strict=True))))
        yield tokens


def window_attention(op: Any, params: Params, x: Array) -> Array:
    first, last = {"swin": ("qkv", "proj"), "maxvit": ("to_qkv", "merge")}[op.names]
    biases, features = window_biases(op, params), x.shape[-1]
    size = features // op.heads
    places = [*indices(op.window_size)]
    qkv_bias = params.get(f"{first}.bias")
    if op.cosine and qkv_bias is not None:
        qkv_bias = np.concatenate([qkv_bias[:features], np.zeros(features), qkv_bias[2 * features :]])
    y = np.empty(x.shape)
    for tokens in window_tokens(op, x):
        inside = [all(i < n for i, n in zip(at, x.shape, strict=False)) for at, _ in tokens]
        rows = np.array(
            [x[at] if i else np.zeros(features) for (at, _), i in zip(tokens, inside, strict=True)]
        )
        qkv = linear_rows(rows, params[f"{first}.weight"], qkv_bias)
        mixed = np.zeros(rows.shape)
        for head, t in product(range(op.heads), range(len(rows))):
            columns = [head * size + c for c in range(size)]
            q = [qkv[t, c] for c in columns]
            logits = []
            for s in range(len(rows)):
                k = [qkv[s, features + c] for c in columns]
                found = math.fsum(a * b for a, b in zip(q, k, strict=True))
                if op.cosine:
                    found /= max(math.hypot(*q), 1e-12) * max(math.hypot(*k), 1e-12)
                    found *= min(math.exp(params["logit_scale"][head, 0, 0]), 100)
                else:
                    found *= size**-0.5 if op.scale is None else op.scale
                row = 0
                for a, b, w in zip(places[t], places[s], op.window_size, strict=True):
                    row = row * (2 * w - 1) + a - b + w - 1
                logits.append(found + biases[row, head] - 100 * (tokens[t][1] != tokens[s][1]))
            powers = [math.exp(v - max(logits)) for v in logits]
            for c, s in product(columns, range(len(rows))):
                mixed[t, c] += powers[s] / math.fsum(powers) * qkv[s, 2 * features + c]
        outputs = linear_rows(mixed, params[f"{last}.weight"], params.get(f"{last}.bias"))
        for (at, _), is_inside, output in zip(tokens, inside, outputs, strict=True):
            if is_inside:
                y[at] = output
    return y


TOKENS: Mapping[str, Callable[..., Array]] = {
    "attention": attention,
    "embedding": embedding,
    "matmul": matmul,
    "l2_normalize": l2_normalize,
    "parameter": parameter,
    "rms_norm": rms_norm,
    "roll": roll,
    "take": take,
    "window_attention": window_attention,
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


def window_attention_products(op: Any, params: Params, x: Array) -> Iterable[object]:
    """Attention in each window, and the small network behind the biases."""
    for tokens in window_tokens(op, x):
        yield from attention_products(op, params, np.empty((len(tokens), x.shape[-1])))
    if op.cosine:
        rows = math.prod(2 * w - 1 for w in op.window_size)
        yield from product(range(rows), range(512), range(len(op.window_size)))
        yield from product(range(rows), range(512), range(op.heads))


# Something for each product that is added up.
TOKEN_PRODUCTS: Mapping[str, Callable[..., Iterable[object]]] = {
    "attention": attention_products,
    "matmul": matmul_products,
    "window_attention": window_attention_products,
}
