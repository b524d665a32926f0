"""Operations element by element in training: activations, merges, and what a draw multiplies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archforge.backends.numba.families import elementwise, moves
from archforge.backends.numba.families.elementwise import record_elements
from archforge.backends.numba.runtime.opcodes import MULTIPLY
from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.training.kernel import NodeOnTape, TrainingKernel, WayBack
from archforge.backends.numba.training.streams import gradient_before
from archforge.ir import TensorType
from archforge.ops.base import Array, Op, resolve_axis
from archforge.ops.concat import Concat
from archforge.ops.identity import Dropout

__all__ = ["add", "clamp", "concat", "dropout", "flatten", "identity"]


def clamp(op: Op, x: TensorType) -> TrainingKernel:
    """An activation that clamps, behind what does not absorb it."""
    kernel = elementwise.activation(op, x)

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        made: TapeValue = kernel.run({}, x)
        return made

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        return (gradient_before(op, back.output, back.dy, None),)

    return TrainingKernel(forward, backward)


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


def add(op: Op, *inputs: TensorType) -> TrainingKernel:
    """A sum of values of equal shapes."""
    kernel = elementwise.MERGES["add"](op, *inputs)
    assert kernel is not None
    run = kernel.run

    def forward(on: NodeOnTape, *inputs: TapeValue) -> TapeValue:
        made: TapeValue = run({}, *inputs)
        return made

    return TrainingKernel(forward, lambda on, back: (back.dy,) * len(inputs))


def concat(op: Concat, *inputs: TensorType) -> TrainingKernel | None:
    """A concatenation of channels."""
    if resolve_axis(op.axis, inputs[0]):
        return None
    kernel = moves.concat(op, *inputs)

    def forward(on: NodeOnTape, *inputs: TapeValue) -> TapeValue:
        made: TapeValue = kernel.run({}, *inputs)
        return made

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        first, found = 0, []
        for x in back.inputs:
            found.append(moves.channels_from(back.dy, first, x.shape))
            first += x.channels
        return found

    return TrainingKernel(forward, backward)


def flatten(op: Op, x: TensorType) -> TrainingKernel:
    """All elements as a vector, in the reference's order."""
    kernel = moves.flatten(op, x)

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        made: TapeValue = kernel.run({}, x)
        return made

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        return (moves.unflattened(back.dy, x.shape),)

    return TrainingKernel(forward, backward)
