"""Kernels in training: what they are given of a node, forward and on the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.random import Generator

from archforge.backends.numba.runtime.tape import Tape, TapeValue
from archforge.ops.base import Array, Op
from archforge.plan import Kernel

__all__ = ["GradientArray", "NodeOnTape", "TrainingKernel", "TrainingLowering", "WayBack", "as_inferred"]


class GradientArray(NamedTuple):
    """The array for the gradient of a parameter, dense and in the parameter's shape. `adds`: it holds the
    gradient of another use of the parameter already, to which this one is added."""

    array: Array
    adds: bool


@dataclass(slots=True, eq=False)
class NodeOnTape:
    """A node in training on a tape, in both directions.

    params: its arrays by the op's own names; they stay where they are, and their contents change between
    batches. gradient: the array for the gradient of a parameter, None for one that it lacks or that is not
    trained; asked for once. buffers: arrays for new contents of its buffers. draw: the random numbers of the
    node, for a call in Python. activation: the op behind it that its kernel applies. saved: what the kernel
    keeps for the way back.
    """

    tape: Tape
    params: Mapping[str, Array]
    gradient: Callable[[str], GradientArray | None]
    buffers: Mapping[str, Array]
    draw: Callable[[], Generator]
    activation: Op | None = None
    saved: dict[str, Any] = field(default_factory=dict)


class WayBack(NamedTuple):
    """The way back through a node.

    output: what its kernel made, with the activation. dy: the gradient with respect to that. wanted: the
    inputs whose gradient is wanted. sums: the gradients with respect to the inputs that other users of them
    have left, None where there is none yet.
    """

    inputs: tuple[TapeValue, ...]
    output: TapeValue
    dy: TapeValue
    wanted: tuple[bool, ...]
    sums: tuple[TapeValue | None, ...]


@dataclass(frozen=True, slots=True)
class TrainingKernel:
    """A way to train one op on inputs of certain types.

    forward: records the op, and the activation of the node if it has one, and keeps what the way back needs
    besides inputs and output. backward: records the gradients of parameters, and returns those of the inputs,
    None for one that is not wanted. absorbs: kinds of activations that both take along. adds: `backward` has
    added `sums` to what it returns.
    """

    forward: Callable[..., TapeValue]
    backward: Callable[[NodeOnTape, WayBack], Sequence[TapeValue | None]]
    absorbs: frozenset[str] = frozenset()
    adds: bool = False


# lowering(op, *types of its inputs): a kernel; None where it has none for this case.
TrainingLowering = Callable[..., TrainingKernel | None]


def as_inferred(kernel: Kernel) -> Callable[..., TapeValue]:
    """Forward by a kernel of inference that can read the parameters, if it has any, where they are."""

    def forward(on: NodeOnTape, *inputs: TapeValue) -> TapeValue:
        made: TapeValue = kernel.run(on.params, *inputs)
        return made

    return forward
