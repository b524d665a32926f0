"""Activations, merges and scalings element by element, and means and maxima of whole maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from archforge.backends.numba.compiled import Unit
from archforge.backends.numba.families.codes import (
    ADD,
    AFFINE,
    COPY,
    GATE,
    GLOBAL_MAX,
    GLOBAL_MEAN,
    MULTIPLY,
    SCALE,
    SUBTRACT,
)
from archforge.backends.numba.families.common import ACTIVATIONS, activation_fields, blocks_of
from archforge.backends.numba.machine import machine
from archforge.backends.numba.records import ELEMENTS
from archforge.backends.numba.tape import Value, aligned
from archforge.ir import TensorType
from archforge.ops.adaptive_pool import AdaptiveAvgPool
from archforge.ops.base import Array, Op
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.global_pool import GlobalAvgPool, GlobalMaxPool
from archforge.ops.scale import LayerScale, Scale
from archforge.plan import Epilogue, Kernel, Lowering

__all__ = [
    "MERGES",
    "activation",
    "alias",
    "batch_norm",
    "global_average",
    "global_pool",
    "layer_scale",
    "merge",
    "multiply",
    "scale",
]

ELEMENTWISE = Unit("elementwise", "elementwise")
CHUNK = 1 << 14  # floats of a unit


def alias(op: Op, *inputs: TensorType) -> Kernel:
    """What returns its input unchanged."""
    return Kernel(lambda params, x: x)


def activation(op: Op, x: TensorType) -> Kernel:
    def run(params: Mapping[str, Array], x: Value) -> Value:
        return record(COPY, x.blocked(), activation=op)

    return Kernel(run)


def merge(kind: int) -> Lowering:
    """A chain of one operator over values of equal shapes."""

    def run(params: Mapping[str, Array], *inputs: Value, epilogue: Epilogue | None = None) -> Value:
        return _chain(kind, inputs, epilogue)

    return lambda op, *inputs: Kernel(run, absorbs=ACTIVATIONS)


def multiply(op: Op, *inputs: TensorType) -> Kernel | None:
    """Equal shapes, or a map and its gates of one factor for each channel, in any order."""
    largest = max(inputs, key=lambda t: t.size)
    gates = {TensorType((largest.channels, *ones)) for ones in ((), (1,) * len(largest.spatial))}
    if any(t != largest and t not in gates for t in inputs):
        return None

    def run(params: Mapping[str, Array], *inputs: Value, epilogue: Epilogue | None = None) -> Value:
        return _chain(MULTIPLY, sorted(inputs, key=lambda v: -v.pixels), epilogue)

    return Kernel(run, absorbs=ACTIVATIONS)


def _chain(kind: int, inputs: tuple[Value, ...] | list[Value], epilogue: Epilogue | None) -> Value:
    first, *others = (x.blocked() for x in inputs)
    then = epilogue.activation if epilogue else None
    if not others:
        return record(COPY, first, activation=then)
    out = first.tape.output(first.shape)
    for i, other in enumerate(others):
        one = GATE if kind == MULTIPLY and other.pixels != first.pixels else kind
        by = {"y": other.place, "y_image": other.image}
        first = record(one, first, by, out, activation=then if i == len(others) - 1 else None)
    return out


def scale(op: Scale, x: TensorType) -> Kernel:
    return Kernel(lambda params, x: record(SCALE, x.blocked(), {"factor": op.factor}))


def layer_scale(op: LayerScale, x: TensorType) -> Kernel:
    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"factor": _lanes(params[""].reshape(-1))}

    return Kernel(lambda params, x: record(GATE, x.blocked(), {"y": params["factor"], "y_image": 0}), pack)


def batch_norm(op: BatchNorm, x: TensorType) -> Kernel:
    """One that no convolution could take in."""

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        wide = {name: array.astype(np.float64) for name, array in params.items()}
        factor = wide.get("weight", 1.0) / np.sqrt(wide["running_var"] + op.eps)
        shift = wide.get("bias", 0.0) - wide["running_mean"] * factor
        return {"factor": _lanes(factor), "shift": _lanes(shift)}

    def run(params: Mapping[str, Array], x: Value, *, epilogue: Epilogue | None = None) -> Value:
        by = {"y": params["factor"], "y_image": 0, "z": params["shift"]}
        return record(AFFINE, x.blocked(), by, activation=epilogue.activation if epilogue else None)

    return Kernel(run, pack, ACTIVATIONS)


def global_pool(op: GlobalAvgPool | GlobalMaxPool, x: TensorType) -> Kernel:
    kind = GLOBAL_MAX if isinstance(op, GlobalMaxPool) else GLOBAL_MEAN
    shape = op.infer(x).shape
    return Kernel(lambda params, x: _reduced(kind, x.blocked(), shape))


def global_average(op: AdaptiveAvgPool, x: TensorType) -> Kernel:
    """An adaptive pool to one element."""
    return Kernel(lambda params, x: _reduced(GLOBAL_MEAN, x.blocked(), op.infer(TensorType(x.shape)).shape))


def _reduced(kind: int, x: Value, shape: tuple[int, ...]) -> Value:
    return record(kind, x, out=x.tape.output(shape))


def _lanes(values: Array) -> Array:
    """One float for each channel, to whole blocks."""
    made = aligned((blocks_of(len(values)) * machine().lanes,))
    made[: len(values)] = values
    return made


def record(
    kind: int,
    x: Value,
    by: Mapping[str, Any] | None = None,
    out: Value | None = None,
    activation: Op | None = None,
) -> Value:
    """One call over all of `x`."""
    out = out or x.tape.output(x.shape)
    block = x.pixels * machine().lanes
    count = x.blocks * block
    whole_block = kind in (GLOBAL_MEAN, GLOBAL_MAX)
    chunk = block if whole_block or (kind in (GATE, AFFINE)) else min(CHUNK, count)
    chunks = -(-count // chunk)
    fields = {
        "batch": x.tape.batch,
        "chunks": chunks,
        "chunk": chunk,
        "count": count,
        "kind": kind,
        "x": x.place,
        "x_image": x.image,
        "out": out.place,
        "out_image": out.image,
        "block": block,
        **activation_fields(activation),
        **(by or {}),
    }
    x.tape.call(ELEMENTWISE, ELEMENTS, fields, x.tape.batch * chunks)
    return out


MERGES = {"add": merge(ADD), "subtract": merge(SUBTRACT)}
