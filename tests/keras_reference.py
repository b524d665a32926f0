"""Layers of Keras in plain NumPy as their documentation defines them: channels last, padding as TensorFlow's,
float64. The reader of Keras's files is held against it where Keras is not installed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from archforge.ops.base import Array

__all__ = ["LAYERS", "model_values"]

Parts = Mapping[str, Array]
Settings = Mapping[str, Any]


def model_values(
    description: Mapping[str, Any], arrays: Mapping[str, Parts], inputs: Sequence[Array], scope: str = ""
) -> list[Array]:
    """The outputs of a model for these inputs. Layers are in an order in which they can be computed."""
    config = description["config"]
    values: dict[tuple[str, int], Array] = {}
    last = inputs[0]
    waiting = iter(inputs)
    for each in config["layers"]:
        name = each["config"]["name"]
        if each["class_name"] == "InputLayer":
            values[name, 0] = last = next(waiting)
            continue
        nodes = each.get("inbound_nodes")
        calls = [[values[n[0], n[1]] for n in node] for node in nodes] if nodes else [[last]]
        for number, xs in enumerate(calls):
            if "layers" in each["config"]:
                (last,) = model_values(each, arrays, xs, f"{scope}{name}.")
            else:
                parts = {k: v.astype(np.float64) for k, v in arrays.get(f"{scope}{name}", {}).items()}
                last = LAYERS[each["class_name"]](each["config"], parts, *xs)
            values[name, number] = last
    if "output_layers" not in config:
        return [last]
    return [values[name, call] for name, call, _ in config["output_layers"]]


# Windows


def _each(settings: Settings, name: str, axes: int, default: Any = 1) -> tuple[int, ...]:
    given = settings.get(name) or default
    return tuple(given) if isinstance(given, list | tuple) else (given,) * axes


def _padded(settings: Settings, x: Array, kernel: Any, stride: Any, dilation: Any, fill: float) -> Array:
    """Zeros, or another number, around x as `padding` says; for `same` the odd one comes last."""
    widths = [(0, 0)]
    for n, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True):
        reach = d * (k - 1) + 1
        total = {"same": max((-(-n // s) - 1) * s + reach - n, 0), "causal": reach - 1}
        sides = total.get(settings.get("padding", "valid"), 0)
        before = sides if settings.get("padding") == "causal" else sides // 2
        widths.append((before, sides - before))
    return np.pad(x, [*widths, (0, 0)], constant_values=fill)


def _taps(x: Array, kernel: Any, stride: Any, dilation: Any) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Each position within the kernel, and what lies under it at every position of the window."""
    sizes = zip(x.shape[1:-1], kernel, stride, dilation, strict=True)
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in sizes]
    for tap in product(*map(range, kernel)):
        cut = [
            slice(t * d, t * d + (c - 1) * s + 1, s)
            for t, d, c, s in zip(tap, dilation, counts, stride, strict=True)
        ]
        yield tap, x[(slice(None), *cut)]


def _conv(axes: int) -> Callable[..., Array]:
    def conv(s: Settings, p: Parts, x: Array) -> Array:
        kernel, groups = p["kernel"], s.get("groups", 1)
        stride, dilation = (_each(s, name, axes) for name in ("strides", "dilation_rate"))
        x = _padded(s, x, kernel.shape[:axes], stride, dilation, 0.0)
        each, out = kernel.shape[-2], kernel.shape[-1] // groups
        y: Any = 0.0
        for tap, part in _taps(x, kernel.shape[:axes], stride, dilation):
            y = y + np.concatenate(
                [
                    part[..., g * each : (g + 1) * each] @ kernel[tap][:, g * out : (g + 1) * out]
                    for g in range(groups)
                ],
                -1,
            )
        return _activated(s, y + p.get("bias", 0.0))

    return conv


def _depthwise_sums(s: Settings, kernel: Array, x: Array) -> Array:
    axes = x.ndim - 2
    stride, dilation = (_each(s, name, axes) for name in ("strides", "dilation_rate"))
    x = _padded(s, x, kernel.shape[:axes], stride, dilation, 0.0)
    y: Any = 0.0
    for tap, part in _taps(x, kernel.shape[:axes], stride, dilation):
        y = y + (part[..., None] * kernel[tap]).reshape(*part.shape[:-1], -1)
    found: Array = y
    return found


def _depthwise(s: Settings, p: Parts, x: Array) -> Array:
    kernel = p.get("depthwise_kernel", p.get("kernel"))
    assert kernel is not None
    return _activated(s, _depthwise_sums(s, kernel, x) + p.get("bias", 0.0))


def _separable(s: Settings, p: Parts, x: Array) -> Array:
    pointwise = p["pointwise_kernel"]
    y = _depthwise_sums(s, p["depthwise_kernel"], x) @ pointwise.reshape(pointwise.shape[-2:])
    return _activated(s, y + p.get("bias", 0.0))


def _conv_transpose(axes: int) -> Callable[..., Array]:
    def conv_transpose(s: Settings, p: Parts, x: Array) -> Array:
        kernel, stride = p["kernel"], _each(s, "strides", axes)
        sizes = list(zip(x.shape[1:-1], kernel.shape[:axes], stride, strict=True))
        y = np.zeros((len(x), *(n * t + max(k - t, 0) for n, k, t in sizes), kernel.shape[-2]))
        for tap in product(*map(range, kernel.shape[:axes])):
            at = [slice(t, t + (n - 1) * st + 1, st) for t, (n, _, st) in zip(tap, sizes, strict=True)]
            y[(slice(None), *at)] += x @ kernel[tap].T
        if s.get("padding") == "same":
            cuts = [(max(k - t, 0) // 2, n * t) for n, k, t in sizes]
            y = y[(slice(None), *(slice(before, before + n) for before, n in cuts))]
        return _activated(s, y + p.get("bias", 0.0))

    return conv_transpose


def _pool(reduce: str) -> Callable[..., Array]:
    def pool(s: Settings, p: Parts, x: Array) -> Array:
        axes = x.ndim - 2
        kernel = _each(s, "pool_size", axes, 2)
        stride, ones = _each(s, "strides", axes, kernel), (1,) * axes
        fill = -math.inf if reduce == "max" else math.nan
        taps = [part for _, part in _taps(_padded(s, x, kernel, stride, ones, fill), kernel, stride, ones)]
        found: Array = np.max(taps, 0) if reduce == "max" else np.nanmean(taps, 0)
        return found

    return pool


def _global(reduce: Callable[..., Array]) -> Callable[..., Array]:
    return lambda s, p, x: reduce(x, tuple(range(1, x.ndim - 1)), keepdims=bool(s.get("keepdims")))


# Elements


def _softmax(x: Array, axis: int = -1) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    found: Array = powers / powers.sum(axis, keepdims=True)
    return found


def _gelu(x: Array) -> Array:
    bell: Array = np.vectorize(math.erf)(x / math.sqrt(2))
    return x / 2 * (1 + bell)


_SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": _gelu,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "log_softmax": lambda x: np.log(_softmax(x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: _SELU[0] * np.where(x > 0, x, _SELU[1] * np.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softmax": _softmax,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def _activated(s: Settings, x: Array) -> Array:
    given = s.get("activation", "linear")
    if isinstance(given, dict):
        return LAYERS[given["class_name"]](given["config"], {}, x)
    return ACTIVATIONS[given](x)


def _relu(s: Settings, p: Parts, x: Array) -> Array:
    y = np.where(x > 0, x, s.get("negative_slope", 0.0) * x)
    most = s.get("max_value")
    return y if most is None else np.minimum(y, most)


# Norms, and the rest


def _along(x: Array, array: Array, axis: int) -> Array:
    return array.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])


def _batch_norm(s: Settings, p: Parts, x: Array) -> Array:
    axis = s.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    at = {name: _along(x, array, axis) for name, array in p.items()}
    y: Array = (x - at["moving_mean"]) / np.sqrt(at["moving_variance"] + s.get("epsilon", 1e-3))
    return y * at.get("gamma", 1.0) + at.get("beta", 0.0)


def _layer_norm(s: Settings, p: Parts, x: Array) -> Array:
    axes = tuple(s["axis"]) if isinstance(s.get("axis"), list) else (s.get("axis", -1),)
    y: Array = (x - x.mean(axes, keepdims=True)) / np.sqrt(
        x.var(axes, keepdims=True) + s.get("epsilon", 1e-3)
    )
    return y * p.get("gamma", 1.0) + p.get("beta", 0.0)


def _normalization(s: Settings, p: Parts, x: Array) -> Array:
    mean, variance = (
        np.asarray(s.get(name) if s.get(name) is not None else p[name]) for name in ("mean", "variance")
    )
    found: Array = (x - mean) / np.maximum(np.sqrt(variance), 1e-7)
    return found


def _gates(p: Parts, x: Array, h: Array, gates: int) -> list[Array]:
    sums = x @ p["kernel"] + h @ p["recurrent_kernel"] + p.get("bias", 0.0)
    return np.split(sums, gates, -1)


def _recurrent(step: Callable[..., tuple[Array, Array]]) -> Callable[..., Array]:
    def layer(s: Settings, p: Parts, x: Array) -> Array:
        state: Array = np.zeros((len(x), s["units"]))
        cell, states = state, []
        for t in range(x.shape[1]):
            state, cell = step(s, p, x[:, t], state, cell)
            states.append(state)
        return np.stack(states, 1) if s.get("return_sequences") else state

    return layer


_sigmoid = ACTIVATIONS["sigmoid"]


def _lstm(s: Settings, p: Parts, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, new, o = _gates(p, x, h, 4)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(new)
    return _sigmoid(o) * np.tanh(c), c


def _gru(s: Settings, p: Parts, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    is_after = s.get("reset_after", True)
    bias = p.get("bias", np.zeros(3 * s["units"]))
    ours, theirs = bias if is_after and bias.ndim == 2 else (bias, 0.0)
    xz, xr, xn = np.split(x @ p["kernel"] + ours, 3, -1)
    hz, hr, hn = np.split(h @ p["recurrent_kernel"] + theirs, 3, -1)
    update, reset = _sigmoid(xz + hz), _sigmoid(xr + hr)
    if not is_after:
        hn = (reset * h) @ np.split(p["recurrent_kernel"], 3, -1)[2]
    new = np.tanh(xn + (reset * hn if is_after else hn))
    return update * h + (1 - update) * new, c


def _rnn(s: Settings, p: Parts, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    (total,) = _gates(p, x, h, 1)
    return ACTIVATIONS[s.get("activation", "tanh")](total), c


def _pairs(given: Any, axes: int) -> list[tuple[int, int]]:
    entries = [given] * axes if isinstance(given, int) else [given] if axes == 1 else given
    return [(e, e) if isinstance(e, int) else tuple(e) for e in entries]


def _pad(s: Settings, p: Parts, x: Array) -> Array:
    return np.pad(x, [(0, 0), *_pairs(s.get("padding", 1), x.ndim - 2), (0, 0)])


def _crop(s: Settings, p: Parts, x: Array) -> Array:
    pairs = _pairs(s["cropping"], x.ndim - 2)
    cut = [slice(a, n - b) for (a, b), n in zip(pairs, x.shape[1:-1], strict=True)]
    return x[(slice(None), *cut)]


def _upsample(s: Settings, p: Parts, x: Array) -> Array:
    for axis, factor in enumerate(_each(s, "size", x.ndim - 2, 2), 1):
        if s.get("interpolation", "nearest") == "nearest":
            x = x.repeat(factor, axis)
            continue
        n = x.shape[axis]
        at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        share = _along(x, at - low, axis)
        x = x.take(low, axis) * (1 - share) + x.take(np.minimum(low + 1, n - 1), axis) * share
    return x


def _unchanged(s: Settings, p: Parts, x: Array) -> Array:
    return x


_N = (1, 2, 3)
LAYERS: Mapping[str, Callable[..., Array]] = {
    **{f"Conv{n}D": _conv(n) for n in _N},
    **{f"Conv{n}DTranspose": _conv_transpose(n) for n in _N},
    **{f"DepthwiseConv{n}D": _depthwise for n in _N[:2]},
    **{f"SeparableConv{n}D": _separable for n in _N[:2]},
    **{f"MaxPooling{n}D": _pool("max") for n in _N},
    **{f"AveragePooling{n}D": _pool("mean") for n in _N},
    **{f"GlobalMaxPooling{n}D": _global(np.max) for n in _N},
    **{f"GlobalAveragePooling{n}D": _global(np.mean) for n in _N},
    **{f"ZeroPadding{n}D": _pad for n in _N},
    **{f"Cropping{n}D": _crop for n in _N},
    **{f"UpSampling{n}D": _upsample for n in _N},
    **{f"SpatialDropout{n}D": _unchanged for n in _N},
    "Activation": lambda s, p, x: _activated(s, x),
    "Add": lambda s, p, *xs: np.sum(xs, 0),
    "Average": lambda s, p, *xs: np.mean(xs, 0),
    "BatchNormalization": _batch_norm,
    "Concatenate": lambda s, p, *xs: np.concatenate(xs, s.get("axis", -1)),
    "TimeDistributed": lambda s, p, x: LAYERS[s["layer"]["class_name"]](s["layer"]["config"], p, x),
    "Dense": lambda s, p, x: _activated(s, x @ p["kernel"] + p.get("bias", 0.0)),
    "Dropout": _unchanged,
    "ELU": lambda s, p, x: np.where(x > 0, x, s.get("alpha", 1.0) * np.expm1(x)),
    "Flatten": lambda s, p, x: x.reshape(len(x), -1),
    "GRU": _recurrent(_gru),
    "GaussianNoise": _unchanged,
    "Identity": _unchanged,
    "LSTM": _recurrent(_lstm),
    "LayerNormalization": _layer_norm,
    "LayerScale": lambda s, p, x: x * p["gamma"],
    "LeakyReLU": lambda s, p, x: np.where(x > 0, x, s.get("negative_slope", s.get("alpha", 0.3)) * x),
    "Multiply": lambda s, p, x, y: x * y,
    "Normalization": _normalization,
    "PReLU": lambda s, p, x: np.where(x > 0, x, p["alpha"] * x),
    "Permute": lambda s, p, x: x.transpose(0, *s["dims"]),
    "ReLU": _relu,
    "Rescaling": lambda s, p, x: x * np.asarray(s.get("scale", 1.0)) + np.asarray(s.get("offset", 0.0)),
    "Reshape": lambda s, p, x: x.reshape(len(x), *s["target_shape"]),
    "SimpleRNN": _recurrent(_rnn),
    "Softmax": lambda s, p, x: _softmax(x, s.get("axis", -1)),
    "StochasticDepth": _unchanged,
    "Subtract": lambda s, p, x, y: x - y,
}
