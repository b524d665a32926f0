"""Operations element by element: activations, merges and scalings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from archforge.backends.numba.families.channel_blocks import AnyAxis, lanes_of
from archforge.backends.numba.families.channel_windows import weighed
from archforge.backends.numba.families.epilogues import ABSORBED, ACTIVATIONS, activation_fields, slope_fields
from archforge.backends.numba.families.moves import along, broadcast
from archforge.backends.numba.runtime.opcodes import (
    ADD,
    COPY,
    MULTIPLY,
    SLOPES,
    SUBTRACT,
)
from archforge.backends.numba.runtime.records import ELEMENTS, merged
from archforge.backends.numba.runtime.tape import Params, TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import machine
from archforge.ir import TensorType
from archforge.ops.base import Array, Op
from archforge.plan import Epilogue, Kernel

if TYPE_CHECKING:
    from archforge.ops.batch_norm import BatchNorm
    from archforge.ops.prelu import Prelu
    from archforge.ops.scale import LayerScale, Scale

__all__ = [
    "activation",
    "alias",
    "batch_norm",
    "layer_scale",
    "merge",
    "multiply",
    "prelu",
    "record_elements",
    "record_slopes",
    "scale",
]

ELEMENTWISE, SLOPING = UnitRecipe("elementwise", "elementwise"), UnitRecipe("slopes", "slopes")
CHUNK = 1 << 14  # floats of a unit


def alias(op: Op, *inputs: TensorType) -> Kernel:
    """An op that returns its input unchanged: nothing is computed, and nothing copied."""
    return AnyAxis(lambda params, x: x)


def activation(op: Op, x: TensorType) -> Kernel:
    """An activation by itself, which no other kernel absorbed."""

    def run(params: Params, x: TapeValue) -> TapeValue:
        return record_elements(COPY, x.blocked(), activation=op)

    return AnyAxis(run)


def merge(op: Op, *inputs: TensorType) -> Kernel:
    """A sum or a difference of values, each repeated over the axes that it lacks."""
    return _joined({"add": ADD, "subtract": SUBTRACT}[op.kind], op, *inputs)


def _joined(kind: int, op: Op, *inputs: TensorType) -> Kernel:
    joint = op.infer(*inputs)
    if all(t == joint for t in inputs):
        return AnyAxis(partial(_merged, kind), absorbs=ACTIVATIONS)
    return Kernel(partial(_broadcast, kind, joint.shape), absorbs=ACTIVATIONS)


def _merged(kind: int, params: Params, *inputs: TapeValue, epilogue: Epilogue | None = None) -> TapeValue:
    return _chain(kind, inputs, epilogue)


def multiply(op: Op, *inputs: TensorType) -> Kernel:
    """A product of values, each repeated over the axes that it lacks.

    A map times one factor for each of its channels, as behind squeeze and excitation, absorbs a sum too.
    """
    joint = op.infer(*inputs)
    gates = {(joint.channels,), (joint.channels, *(1,) * len(joint.spatial))}
    if len(inputs) == 2 and inputs[0] != inputs[1] and joint in inputs:
        which = inputs.index(joint)
        if inputs[1 - which].shape in gates:
            return Kernel(partial(_weighed, which), absorbs=ABSORBED)
    return _joined(MULTIPLY, op, *inputs)


def _weighed(which: int, params: Params, *inputs: TapeValue, epilogue: Epilogue | None = None) -> TapeValue:
    """Record a map, number `which` of the inputs, times its gate; a third input is added to the product."""
    gate = inputs[1 - which].blocked()
    residual = inputs[2] if len(inputs) == 3 else None
    return weighed(inputs[which], gate.place, None, residual, epilogue, factor_image=gate.image)


def _broadcast(
    kind: int, shape: tuple[int, ...], params: Params, *inputs: TapeValue, epilogue: Epilogue | None = None
) -> TapeValue:
    return _chain(kind, [broadcast(x, shape) for x in inputs], epilogue)


def _chain(kind: int, inputs: Sequence[TapeValue], epilogue: Epilogue | None) -> TapeValue:
    """Record one call for each input after the first, in the same memory, the activation in the last one."""
    first = inputs[0].blocked()
    others = [along(x, first.axis) for x in inputs[1:]]
    then = epilogue.activation if epilogue else None
    if not others:
        return record_elements(COPY, first, activation=then)
    out = first.tape.output(first.shape, first.axis)
    for i, other in enumerate(others):
        is_last = i == len(others) - 1
        first = record_elements(kind, first, other, out=out, activation=then if is_last else None)
    return out


def scale(op: Scale, x: TensorType) -> Kernel:
    """A map times one number."""
    factor = lanes_of(np.full(x.channels, op.factor))

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        return weighed(x, factor, None, residual, epilogue)

    return Kernel(run, absorbs=ABSORBED)


def layer_scale(op: LayerScale, x: TensorType) -> Kernel:
    """A map times one trained factor for each channel."""

    def pack(params: Params) -> Params:
        return {"factor": lanes_of(params[""].reshape(-1))}

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        return weighed(x, params["factor"], None, residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def batch_norm(op: BatchNorm, x: TensorType) -> Kernel:
    """A batch norm that no convolution could take in: a factor and a summand for each channel."""

    def pack(params: Params) -> Params:
        wide = {name: array.astype(np.float64) for name, array in params.items()}
        factor = wide.get("weight", 1.0) / np.sqrt(wide["running_var"] + op.eps)
        shift = wide.get("bias", 0.0) - wide["running_mean"] * factor
        return {"factor": lanes_of(factor), "shift": lanes_of(shift)}

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        return weighed(x, params["factor"], params["shift"], residual, epilogue)

    return Kernel(run, pack, ABSORBED, packing=op.kind)


def prelu(op: Prelu, x: TensorType) -> Kernel:
    """A slope for the negative numbers of each channel; a unit is one block of channels."""

    def pack(params: Params) -> Params:
        return {"slopes": lanes_of(np.broadcast_to(params["weight"], x.channels))}

    def run(params: Params, x: TapeValue) -> TapeValue:
        x = x.blocked()
        return record_elements(SLOPES, x, params["slopes"], chunk=x.pixels * machine().lanes)

    return Kernel(run, pack, packing=(op.kind, x.channels))


def record_elements(
    kind: int,
    x: TapeValue,
    y: TapeValue | Array | None = None,
    *,
    out: TapeValue | None = None,
    activation: Op | None = None,
    chunk: int = CHUNK,
) -> TapeValue:
    """Record one call of an operator of `opcodes.py` over all of `x`, in chunks of at most so many floats.

    Without `out` the result is that of the step being recorded.
    """
    out = out or x.tape.output(x.shape, x.axis)
    return _record(ELEMENTWISE, x, y, out, merged({"kind": kind}, activation_fields(activation)), chunk)


def record_slopes(op: Op, value: TapeValue, dy: TapeValue) -> TapeValue:
    """Record the gradient before an activation, from that behind it and the value that its slope follows
    from."""
    return _record(SLOPING, value, dy, dy.tape.temporary(dy.shape), slope_fields(op), CHUNK)


def _record(
    unit: UnitRecipe,
    x: TapeValue,
    y: TapeValue | Array | None,
    out: TapeValue,
    own: Mapping[str, Any],
    chunk: int,
) -> TapeValue:
    """Record one call of a unit over all of `x`, in chunks of at most so many floats, with fields of ELEMENTS
    that are its own."""
    count = x.blocks * x.pixels * machine().lanes
    chunk = min(chunk, count)
    chunks = -(-count // chunk)
    fields = merged(
        {"count": count, "chunk": chunk, "chunks": chunks},
        {"x": x.place, "x_image": x.image},
        {"y": y.place, "y_image": y.image} if isinstance(y, TapeValue) else {"y": 0 if y is None else y},
        {"out": out.place, "out_image": out.image},
        own,
    )
    x.tape.call(unit, ELEMENTS, fields, x.tape.batch * chunks)
    return out
