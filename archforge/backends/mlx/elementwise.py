"""Activations, merges and scalings.

Written with MLX's primitives: `mlx.nn` has most activations, but compiled, and the cache that this
leaves in each thread aborts the process if the interpreter ends before the thread has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce

import mlx.core as mx

from archforge.backends.mlx.channels_last import Params
from archforge.ir import Op, TensorType
from archforge.ops.activations import SELU_ALPHA, SELU_SCALE, Elu, Gelu, LeakyRelu
from archforge.ops.clip import Clamp
from archforge.ops.prelu import Prelu
from archforge.ops.scale import LayerScale, Offset, Scale
from archforge.plan import Kernel, Lowering

__all__ = [
    "ACTIVATIONS",
    "clip",
    "elu",
    "gelu",
    "layer_scale",
    "leaky_relu",
    "merge",
    "offset",
    "prelu",
    "scale",
]


def _softplus(x: mx.array) -> mx.array:
    return mx.logaddexp(x, mx.zeros((), x.dtype))


def _hard_sigmoid(x: mx.array) -> mx.array:
    return mx.clip(x + 3, 0, 6) / 6


def _elu(x: mx.array, alpha: float) -> mx.array:
    return mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(x, 0)))


def _lowering(function: Callable[[mx.array], mx.array]) -> Lowering:
    kernel = Kernel(lambda params, x: function(x))
    return lambda op, x: kernel


ACTIVATIONS: Mapping[str, Lowering] = {
    name: _lowering(function)
    for name, function in {
        "abs": mx.abs,
        "relu": lambda x: mx.maximum(x, 0),
        "relu6": lambda x: mx.clip(x, 0, 6),
        "sigmoid": mx.sigmoid,
        "tanh": mx.tanh,
        "hard_sigmoid": _hard_sigmoid,
        "hard_swish": lambda x: x * _hard_sigmoid(x),
        "silu": lambda x: x * mx.sigmoid(x),
        "selu": lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
        "softplus": _softplus,
        "softsign": lambda x: x / (1 + mx.abs(x)),
        "mish": lambda x: x * mx.tanh(_softplus(x)),
        "identity": lambda x: x,
    }.items()
}


def clip(op: Clamp, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: mx.clip(x, op.min, op.max))


def elu(op: Elu, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: _elu(x, op.alpha))


def leaky_relu(op: LeakyRelu, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: mx.where(x > 0, x, x * op.slope))


def prelu(op: Prelu, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: mx.where(x > 0, x, x * params["weight"]))


def gelu(op: Gelu, x: TensorType) -> Kernel:
    if op.approximate == "tanh":
        root = math.sqrt(2 / math.pi)
        return Kernel(lambda params, x: 0.5 * x * (1 + mx.tanh(root * (x + 0.044715 * x * x * x))))
    return Kernel(lambda params, x: 0.5 * x * (1 + mx.erf(x * math.sqrt(0.5))))


def scale(op: Scale, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: x * op.factor)


def offset(op: Offset, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: x + op.number)


def layer_scale(op: LayerScale, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: x * params["factor"], lambda params: {"factor": params[""].reshape(-1)})


def merge(function: Callable[[mx.array, mx.array], mx.array]) -> Lowering:
    """A lowering that applies one operator to values with their channels aligned: axes that a value lacks
    come before its last one."""

    def lowered(op: Op, *inputs: TensorType) -> Kernel:
        axes = max(len(x.shape) for x in inputs)
        ones = [(1,) * (axes - len(x.shape)) for x in inputs]

        def run(params: Params, *inputs: mx.array) -> mx.array:
            aligned = (
                x.reshape(*x.shape[:-1], *extra, x.shape[-1]) for x, extra in zip(inputs, ones, strict=True)
            )
            return reduce(function, aligned)

        return Kernel(run)

    return lowered
