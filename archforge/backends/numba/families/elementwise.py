"""Activations, merges and scalings element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from archforge.backends.numba.families.channel_blocks import AnyAxis, lanes_of
from archforge.backends.numba.families.channel_windows import weighed
from archforge.backends.numba.families.epilogues import ABSORBED, ACTIVATIONS, activation_fields
from archforge.backends.numba.families.moves import along, stretched
from archforge.backends.numba.runtime.opcodes import (
    ADD,
    COPY,
    MULTIPLY,
    SLOPES,
    SUBTRACT,
)
from archforge.backends.numba.runtime.records import ELEMENTS
from archforge.backends.numba.runtime.tape import Params, TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import machine
from archforge.ir import TensorType
from archforge.ops.base import Op
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.prelu import Prelu
from archforge.ops.scale import LayerScale, Scale
from archforge.plan import Epilogue, Kernel, Lowering

__all__ = [
    "MERGES",
    "activation",
    "alias",
    "batch_norm",
    "layer_scale",
    "merge",
    "multiply",
    "prelu",
    "scale",
]

ELEMENTWISE = UnitRecipe("elementwise", "elementwise")
CHUNK = 1 << 14  # floats of a unit


def alias(op: Op, *inputs: TensorType) -> Kernel:
    """What returns its input unchanged."""
    return AnyAxis(lambda params, x: x)


def activation(op: Op, x: TensorType) -> Kernel:
    def run(params: Params, x: TapeValue) -> TapeValue:
        return record(COPY, x.blocked(), activation=op)

    return AnyAxis(run)


def merge(kind: int) -> Lowering:
    """A chain of one operator over values of equal shapes."""
    return lambda op, *inputs: AnyAxis(partial(_merged, kind), absorbs=ACTIVATIONS)


def _merged(kind: int, params: Params, *inputs: TapeValue, epilogue: Epilogue | None = None) -> TapeValue:
    return _chain(kind, inputs, epilogue)


def multiply(op: Op, *inputs: TensorType) -> Kernel:
    """A map and one factor for each of its channels take in a sum besides, as behind squeeze and
    excitation; all else is stretched to the joint shape where it must be."""
    joint = op.infer(*inputs)
    if all(t == joint for t in inputs):
        return AnyAxis(partial(_merged, MULTIPLY), absorbs=ACTIVATIONS)
    gates = {(joint.channels,), (joint.channels, *(1,) * len(joint.spatial))}
    if len(inputs) == 2 and joint in inputs:
        which = inputs.index(joint)
        if inputs[1 - which].shape in gates:
            return Kernel(partial(_weighed, which), absorbs=ABSORBED)
    return Kernel(partial(_stretched, joint.shape), absorbs=ACTIVATIONS)


def _weighed(which: int, params: Params, *inputs: TapeValue, epilogue: Epilogue | None = None) -> TapeValue:
    """A map, number `which` of the first two inputs, by its gate; the third is to be added."""
    gate = inputs[1 - which].blocked()
    residual = inputs[2] if len(inputs) == 3 else None
    return weighed(inputs[which], gate.place, gate.image, residual=residual, epilogue=epilogue)


def _stretched(
    shape: tuple[int, ...], params: Params, *inputs: TapeValue, epilogue: Epilogue | None = None
) -> TapeValue:
    return _chain(MULTIPLY, [stretched(x, shape) for x in inputs], epilogue)


def _chain(kind: int, inputs: Sequence[TapeValue], epilogue: Epilogue | None) -> TapeValue:
    first = inputs[0].blocked()
    others = [along(x, first.axis) for x in inputs[1:]]
    then = epilogue.activation if epilogue else None
    if not others:
        return record(COPY, first, activation=then)
    out = first.tape.output(first.shape, first.axis)
    for i, other in enumerate(others):
        by = {"y": other.place, "y_image": other.image}
        first = record(kind, first, by, out, activation=then if i == len(others) - 1 else None)
    return out


def scale(op: Scale, x: TensorType) -> Kernel:
    factor = lanes_of(np.full(x.channels, op.factor))

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        return weighed(x, factor, 0, None, residual, epilogue)

    return Kernel(run, absorbs=ABSORBED)


def layer_scale(op: LayerScale, x: TensorType) -> Kernel:
    def pack(params: Params) -> Params:
        return {"factor": lanes_of(params[""].reshape(-1))}

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        return weighed(x, params["factor"], 0, None, residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def batch_norm(op: BatchNorm, x: TensorType) -> Kernel:
    """One that no convolution could take in."""

    def pack(params: Params) -> Params:
        wide = {name: array.astype(np.float64) for name, array in params.items()}
        factor = wide.get("weight", 1.0) / np.sqrt(wide["running_var"] + op.eps)
        shift = wide.get("bias", 0.0) - wide["running_mean"] * factor
        return {"factor": lanes_of(factor), "shift": lanes_of(shift)}

    def run(
        params: Params,
        x: TapeValue,
        residual: TapeValue | None = None,
        epilogue: Epilogue | None = None,
    ) -> TapeValue:
        return weighed(x, params["factor"], 0, params["shift"], residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def prelu(op: Prelu, x: TensorType) -> Kernel:
    def pack(params: Params) -> Params:
        return {"slopes": lanes_of(np.broadcast_to(params["weight"], x.channels))}

    def run(params: Params, x: TapeValue) -> TapeValue:
        x = x.blocked()
        by = {"y": params["slopes"], "chunk": x.pixels * machine().lanes}
        return record(SLOPES, x, by)

    return Kernel(run, pack, packing=(op.kind, x.channels))


def record(
    kind: int,
    x: TapeValue,
    by: Mapping[str, Any] | None = None,
    out: TapeValue | None = None,
    activation: Op | None = None,
) -> TapeValue:
    """One call over all of `x`."""
    out = out or x.tape.output(x.shape, x.axis)
    count = x.blocks * x.pixels * machine().lanes
    chunk = by["chunk"] if by and "chunk" in by else min(CHUNK, count)
    chunks = -(-count // chunk)
    fields = {
        "chunks": chunks,
        "chunk": chunk,
        "count": count,
        "kind": kind,
        "x": x.place,
        "x_image": x.image,
        "out": out.place,
        "out_image": out.image,
        **activation_fields(activation),
        **(by or {}),
    }
    x.tape.call(ELEMENTWISE, ELEMENTS, fields, x.tape.batch * chunks)
    return out


MERGES = {"add": merge(ADD), "subtract": merge(SUBTRACT)}
