"""Operations element by element in training: activations, merges, and what a draw multiplies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archforge.backends.numba.families import elementwise, moves
from archforge.backends.numba.families.channel_blocks import lanes_of
from archforge.backends.numba.families.channel_windows import weighed
from archforge.backends.numba.families.elementwise import record_elements, record_slopes
from archforge.backends.numba.runtime.opcodes import MULTIPLY
from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.training.kernel import NodeOnTape, TrainingKernel, WayBack, as_inferred
from archforge.backends.numba.training.packing import packed_bias
from archforge.backends.numba.training.streams import channel_gradient, gradient_before, products_of_maps
from archforge.ir import TensorType
from archforge.ops.base import Array, Op, resolve_axis
from archforge.ops.concat import Concat
from archforge.ops.identity import Dropout
from archforge.ops.pad import Pad
from archforge.ops.permute import Permute
from archforge.ops.reshape import Reshape
from archforge.ops.scale import LayerScale, Scale
from archforge.ops.shuffle import Shuffle
from archforge.ops.slice import Slice
from archforge.plan import Kernel

__all__ = [
    "activation",
    "clamp",
    "concat",
    "dropout",
    "flatten",
    "identity",
    "layer_scale",
    "merge",
    "multiply",
    "pad",
    "permute",
    "reshape",
    "scale",
    "shuffle",
    "slice_",
]


def clamp(op: Op, x: TensorType) -> TrainingKernel:
    """An activation that clamps, behind what does not absorb it."""
    return TrainingKernel(
        as_inferred(elementwise.activation(op, x)),
        lambda on, back: (gradient_before(op, back.output, back.dy, None),),
    )


def identity(op: Op, x: TensorType) -> TrainingKernel:
    """An op that returns its input unchanged, in both directions."""
    return TrainingKernel(lambda on, x: x.blocked(), lambda on, back: (back.dy,))


def dropout(op: Dropout, x: TensorType) -> TrainingKernel:
    """A dropout. Its mask is drawn in Python, as the op's file does."""

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        x = x.blocked()
        mask = on.saved["mask"] = on.tape.temporary(x.shape)
        ones = np.broadcast_to(np.float32(1), (on.tape.images, *x.shape))

        def drawn() -> tuple[Array]:
            return (np.broadcast_to(op.train({}, ones, draw=on.draw()).saved, ones.shape),)

        on.tape.python_call(drawn, (), (mask,))
        return record_elements(MULTIPLY, x, mask)

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        out = on.tape.temporary(back.dy.shape)
        return (record_elements(MULTIPLY, back.dy, on.saved["mask"], out=out),)

    return TrainingKernel(forward, backward)


def activation(op: Op, x: TensorType) -> TrainingKernel:
    """An activation by itself."""
    reads_output = "output" in op.gradient_reads

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        value = back.output if reads_output else back.inputs[0].blocked()
        return (record_slopes(op, value, back.dy),)

    return TrainingKernel(as_inferred(elementwise.activation(op, x)), backward)


def merge(op: Op, *inputs: TensorType) -> TrainingKernel | None:
    """A sum or a difference of values of equal shapes."""
    if len({*inputs}) > 1:
        return None
    kernel = elementwise.merge(op, *inputs)
    minus = lanes_of(np.full(inputs[0].channels, -1.0))

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        others = back.dy if op.kind == "add" or len(inputs) == 1 else weighed(back.dy, minus)
        return (back.dy, *(others,) * (len(inputs) - 1))

    return TrainingKernel(as_inferred(kernel), backward)


def multiply(op: Op, *inputs: TensorType) -> TrainingKernel | None:
    """A product of two values of one shape, or of a map and one factor for each of its channels."""
    joint = op.infer(*inputs)
    gates = {(joint.channels,), (joint.channels, *(1,) * len(joint.spatial))}
    equal = all(t == joint for t in inputs)
    which = next((i for i, t in enumerate(inputs) if t == joint), None)
    if len(inputs) != 2 or which is None or not (equal or inputs[1 - which].shape in gates):
        return None

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        first, second = (x.blocked() for x in back.inputs)
        if equal:
            return [
                record_elements(MULTIPLY, back.dy, x, out=on.tape.temporary(x.shape)) if wanted else None
                for x, wanted in zip((second, first), back.wanted, strict=True)
            ]
        whole, gate = (first, second) if which == 0 else (second, first)
        found: list[TapeValue | None] = [None, None]
        if back.wanted[which]:
            found[which] = weighed(back.dy, gate.place, factor_image=gate.image)
        if back.wanted[1 - which]:
            found[1 - which] = products_of_maps(whole, back.dy, gate.shape)
        return found

    return TrainingKernel(as_inferred(elementwise.multiply(op, *inputs)), backward)


def scale(op: Scale, x: TensorType) -> TrainingKernel:
    """A map times one number."""
    factor = lanes_of(np.full(x.channels, op.factor))
    return TrainingKernel(
        lambda on, x: weighed(x, factor),
        lambda on, back: (weighed(back.dy, factor),),
    )


def layer_scale(op: LayerScale, x: TensorType) -> TrainingKernel:
    """A map times one trained factor for each channel."""

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        on.saved["factor"] = factor = packed_bias(on.tape, x.channels, on.params[""])
        return weighed(x, factor)

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        channel_gradient(on.gradient(""), back.dy, back.inputs[0].blocked())
        return (weighed(back.dy, on.saved["factor"]) if back.wanted[0] else None,)

    return TrainingKernel(forward, backward)


def moved(kernel: Kernel, back: Kernel) -> TrainingKernel:
    """Elements that change places by one kernel, and back by another."""

    return TrainingKernel(as_inferred(kernel), lambda on, way: (back.run({}, way.dy),))


def shuffle(op: Shuffle, x: TensorType) -> TrainingKernel:
    """A shuffle, which as many groups as it has channels in each undo."""
    return moved(moves.shuffle(op, x), moves.shuffle(Shuffle(groups=x.channels // op.groups), x))


def permute(op: Permute, x: TensorType) -> TrainingKernel:
    """A permutation of the axes."""
    order = tuple(op.order.index(axis) for axis in range(len(op.order)))
    return moved(moves.permute(op, x), moves.permute(Permute(order=order), op.infer(x)))


def reshape(op: Op, x: TensorType) -> TrainingKernel:
    """A new shape for elements that keep the reference's order."""
    return moved(moves.reshape(op, x), moves.reshape(Reshape(shape=x.shape), op.infer(x)))


def pad(op: Pad, x: TensorType) -> TrainingKernel | None:
    """Padding with a constant, which the same widths with their signs turned undo."""
    if op.mode != "constant":
        return None
    turned = tuple(-n for sides in op.widths(x) for n in sides)
    return moved(moves.pad(op, x), moves.pad(Pad(sides=turned), op.infer(x)))


def slice_(op: Slice, x: TensorType) -> TrainingKernel:
    """A part of one axis."""
    return TrainingKernel(
        as_inferred(moves.slice_(op, x)),
        lambda on, way: (moves.spread_slice(op, x, way.dy),),
    )


def concat(op: Concat, *inputs: TensorType) -> TrainingKernel | None:
    """A concatenation of channels."""
    if resolve_axis(op.axis, inputs[0]):
        return None

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        first, found = 0, []
        for x in back.inputs:
            found.append(moves.channels_from(back.dy, first, x.shape))
            first += x.channels
        return found

    return TrainingKernel(as_inferred(moves.concat(op, *inputs)), backward)


def flatten(op: Op, x: TensorType) -> TrainingKernel:
    """All elements as a vector, in the reference's order."""
    return TrainingKernel(
        as_inferred(moves.flatten(op, x)),
        lambda on, way: (moves.unflattened(way.dy, x.shape),),
    )
