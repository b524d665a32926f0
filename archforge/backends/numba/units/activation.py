"""Activations in place: each is a function of (address, count, address of its parameter), which a record
names by its address. Clamps behind a convolution are done in its tiles instead."""

from __future__ import annotations

import math

import numpy as np

from archforge.backends.numba.units.intrinsics import bits_of, device, exp2_of, float_of, floats, scaled
from archforge.ops.activations import SELU_ALPHA, SELU_SCALE
from archforge.ops.erf import NORMAL_END, NORMAL_LOGIT

# Names are those of the ops; `gelu_tanh` is `gelu` with `approximate: tanh`.
__all__ = [
    "abs_",
    "clip",
    "elu",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_swish",
    "leaky_relu",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
]

F = np.float32
LOG2_E, LN2_HIGH, LN2_LOW = F(1.44269504), F(0.693359375), F(-2.12194440e-4)
SELU_SCALE32, SELU_ALPHA32 = F(SELU_SCALE), F(SELU_ALPHA)
HALF_ROOT_BITS = np.int32(0x3F3504F3)  # of sqrt(1/2)
TWICE_ROOT_2_PI = F(2 * math.sqrt(2 / math.pi))
END = F(NORMAL_END)
LOGIT_0, LOGIT_1, LOGIT_2, LOGIT_3, LOGIT_4, LOGIT_5, LOGIT_6 = map(F, NORMAL_LOGIT)
SIGN = np.int32(-(2**31))


@device
def exp_parts(x):
    """The whole n and the small q with e to x = 2^n * (1 + q), |q| < 0.42, within 2 units in the last place.

    Reduction to |r| <= ln(2)/2 and a polynomial: Cephes, expf.c (netlib.org/cephes/single.tgz).
    """
    n = np.floor(x * LOG2_E + F(0.5))
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    return np.int32(n), p * r * r + r


@device
def exp32(x):
    """e to x within 2 units in the last place, from 0 and the numbers below the normal ones to infinity."""
    n, q = exp_parts(min(max(x, F(-104.0)), F(89.0)))
    return scaled(F(1) + q, n)


@device
def expm1_32(x):
    """e to x less 1 within 2 units in the last place, for x <= 0."""
    n, q = exp_parts(max(x, F(-87.0)))
    power = exp2_of(n)
    return power * q + (power - F(1))


@device
def log32(x):
    """Natural logarithm of a positive normal number within 2 units in the last place; infinity and NaN stay.

    x is 2^n times m from sqrt(1/2) to sqrt(2), and a polynomial in m - 1: Cephes, logf.c
    (netlib.org/cephes/single.tgz).
    """
    n = (bits_of(x) - HALF_ROOT_BITS) >> 23
    m = float_of(bits_of(x) - (n << 23)) - F(1)
    p = F(7.0376836292e-2)
    p = p * m + F(-1.1514610310e-1)
    p = p * m + F(1.1676998740e-1)
    p = p * m + F(-1.2420140846e-1)
    p = p * m + F(1.4249322787e-1)
    p = p * m + F(-1.6668057665e-1)
    p = p * m + F(2.0000714765e-1)
    p = p * m + F(-2.4999993993e-1)
    p = p * m + F(3.3333331174e-1)
    s = m * m
    tail = p * m * s + F(n) * LN2_LOW - F(0.5) * s
    return m + tail + F(n) * LN2_HIGH if x < F(math.inf) else x


@device
def log1p32(x):
    """Logarithm of 1 + x within 4 units in the last place, for x >= 0.

    What 1 + x rounds off is made up for: the logarithm of the rounded sum, times x over the rounded x.
    """
    total = F(1) + x
    rounded = total - F(1)
    return log32(total) * (x / rounded) if rounded > F(0) else x


@device
def tanh32(x):
    """Hyperbolic tangent, by e to -2|x| less 1, which nothing cancels."""
    m = expm1_32(F(-2) * abs(x))
    return with_sign_of(x, m / (m + F(2)))


@device
def sigmoid32(x):
    # The exponential of a negative number alone: it underflows where the other would overflow.
    small = exp32(-abs(x))
    return (small if x < F(0) else F(1)) / (F(1) + small)


@device
def normal_logit(x):
    """The logit of the normal distribution's cumulative function at -x: the share of x in gelu is
    1 / (1 + exp(it))."""
    square = min(x * x, END)
    p = LOGIT_0
    p = p * square + LOGIT_1
    p = p * square + LOGIT_2
    p = p * square + LOGIT_3
    p = p * square + LOGIT_4
    p = p * square + LOGIT_5
    p = p * square + LOGIT_6
    return p * x


@device
def with_sign_of(x, y):
    """The size of y with the sign of x."""
    return float_of((bits_of(x) & SIGN) | (bits_of(y) & ~SIGN))


@device
def clamped(x, low, high):
    """The number between two limits; anything that is not a number stays, as in numpy.clip."""
    x = low if x < low else x
    return high if x > high else x


def relu(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = F(0) if x[i] < F(0) else x[i]


def relu6(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = clamped(x[i], F(0), F(6))


def clip(address: int, count: int, parameter: int) -> None:
    x, bounds = floats(address, count), floats(parameter, 2)
    for i in range(count):
        x[i] = clamped(x[i], bounds[0], bounds[1])


def hard_sigmoid(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = clamped(x[i] + F(3), F(0), F(6)) * F(1 / 6)


def hard_swish(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] *= clamped(x[i] + F(3), F(0), F(6)) * F(1 / 6)


def sigmoid(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = sigmoid32(x[i])


def silu(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] /= F(1) + exp32(-x[i])


def leaky_relu(address: int, count: int, parameter: int) -> None:
    x, slope = floats(address, count), floats(parameter, 1)[0]
    for i in range(count):
        x[i] = x[i] if x[i] > F(0) else x[i] * slope


def tanh(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = tanh32(x[i])


def abs_(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = abs(x[i])


def elu(address: int, count: int, parameter: int) -> None:
    x, alpha = floats(address, count), floats(parameter, 1)[0]
    for i in range(count):
        x[i] = x[i] if x[i] > F(0) else alpha * expm1_32(x[i])


def selu(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = SELU_SCALE32 * (x[i] if x[i] > F(0) else SELU_ALPHA32 * expm1_32(x[i]))


def gelu(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] /= F(1) + exp32(normal_logit(x[i]))


def gelu_tanh(address: int, count: int, parameter: int) -> None:
    """`gelu` with `approximate: tanh`; (1 + tanh(y)) / 2 is sigmoid(2y)."""
    x = floats(address, count)
    for i in range(count):
        v = x[i]
        x[i] = v * sigmoid32(TWICE_ROOT_2_PI * (v + F(0.044715) * v * v * v))


def softplus(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] = max(x[i], F(0)) + log1p32(exp32(-abs(x[i])))


def softsign(address: int, count: int, parameter: int) -> None:
    x = floats(address, count)
    for i in range(count):
        x[i] /= F(1) + abs(x[i])


def mish(address: int, count: int, parameter: int) -> None:
    """x * tanh(log(1 + e^x)); the tangent is w / (w + 2) for w = e^x * (e^x + 2), and 1 from x = 20 on."""
    x = floats(address, count)
    for i in range(count):
        e = exp32(min(x[i], F(20)))
        w = e * (e + F(2))
        x[i] *= w / (w + F(2))
