"""The way back through activations: each is a function of (address of values, address of gradients, count,
address of its parameter) that multiplies gradients by its slope. Values are those that the op's gradient
reads: its inputs, or its outputs."""

from __future__ import annotations

import math

import numpy as np

from archforge.backends.numba.units.activation import (
    SELU_ALPHA32,
    SELU_SCALE32,
    TWICE_ROOT_2_PI,
    exp32,
    log1p32,
    normal_logit,
    sigmoid32,
    tanh32,
)
from archforge.backends.numba.units.float_runs import copy
from archforge.backends.numba.units.intrinsics import call_slope, elements_record, floats

__all__ = [
    "abs_slope",
    "clip_slope",
    "elu_slope",
    "gelu_slope",
    "gelu_tanh_slope",
    "hard_sigmoid_slope",
    "hard_swish_slope",
    "leaky_relu_slope",
    "mish_slope",
    "selu_slope",
    "sigmoid_slope",
    "silu_slope",
    "slopes",
    "softplus_slope",
    "softsign_slope",
    "tanh_slope",
]

F = np.float32
DENSITY = F(1 / math.sqrt(2 * math.pi))  # of the normal distribution at 0


def slopes(row: int, unit: int, scratch: int) -> None:
    """Multiply one chunk of the gradients of one image, `y`, by the slopes at the values of `x`."""
    r = elements_record(row)
    image, chunk = unit // r.chunks, unit % r.chunks
    begin = chunk * r.chunk
    count = min(r.chunk, r.count - begin)
    out = r.out + image * r.out_image + begin * 4
    copy(r.y + image * r.y_image + begin * 4, out, count)
    call_slope(r.activation, r.x + image * r.x_image + begin * 4, out, count, r.parameter)


def sigmoid_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    y, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        d[i] *= y[i] * (F(1) - y[i])


def tanh_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    y, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        d[i] *= F(1) - y[i] * y[i]


def hard_sigmoid_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    y, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        d[i] = d[i] * F(1 / 6) if y[i] > F(0) and y[i] < F(1) else F(0)


def hard_swish_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        slope = x[i] * F(1 / 3) + F(0.5) if x[i] < F(3) else F(1)
        d[i] *= slope if x[i] > F(-3) else F(0)


def abs_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        d[i] *= F(1) if x[i] > F(0) else (F(-1) if x[i] < F(0) else F(0))


def clip_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d, bounds = floats(values, count), floats(gradients, count), floats(parameter, 2)
    for i in range(count):
        d[i] = d[i] if bounds[0] <= x[i] <= bounds[1] else F(0)


def leaky_relu_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d, slope = floats(values, count), floats(gradients, count), floats(parameter, 1)[0]
    for i in range(count):
        d[i] = d[i] if x[i] > F(0) else d[i] * slope


def elu_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d, alpha = floats(values, count), floats(gradients, count), floats(parameter, 1)[0]
    for i in range(count):
        d[i] = d[i] if x[i] > F(0) else d[i] * alpha * exp32(min(x[i], F(0)))


def selu_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        d[i] *= SELU_SCALE32 * (F(1) if x[i] > F(0) else SELU_ALPHA32 * exp32(min(x[i], F(0))))


def silu_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        gate = sigmoid32(x[i])
        d[i] *= gate * (F(1) + x[i] * (F(1) - gate))


def gelu_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        v = min(max(x[i], F(-40)), F(40))  # the slope is 0 or 1 beyond
        part = F(1) / (F(1) + exp32(normal_logit(v)))
        d[i] *= part + v * DENSITY * exp32(F(-0.5) * v * v)


def gelu_tanh_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    """`gelu` with `approximate: tanh`; (1 + tanh(y)) / 2 is sigmoid(2y)."""
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        v = min(max(x[i], F(-40)), F(40))
        gate = sigmoid32(TWICE_ROOT_2_PI * (v + F(0.044715) * v * v * v))
        d[i] *= gate + v * gate * (F(1) - gate) * TWICE_ROOT_2_PI * (F(1) + F(3 * 0.044715) * v * v)


def softplus_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        d[i] *= sigmoid32(x[i])


def softsign_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        part = F(1) / (F(1) + abs(x[i]))
        d[i] *= part * part


def mish_slope(values: int, gradients: int, count: int, parameter: int) -> None:
    x, d = floats(values, count), floats(gradients, count)
    for i in range(count):
        bend = tanh32(max(x[i], F(0)) + log1p32(exp32(-abs(x[i]))))
        d[i] *= bend + x[i] * (F(1) - bend * bend) * sigmoid32(x[i])
