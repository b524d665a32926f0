"""Steps of a training plan, and which values they read on the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archforge.ir import Node

__all__ = ["TrainingStep", "read_by"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingStep:
    """A node forward, or on the way back.

    params: full names of its parameters by the op's own. of_inputs: the inputs whose gradient is wanted, and
    of_params: True if some parameter's is; a step forward wants none. completes: the trained parameters to
    whose gradients no later step adds. frees: the values that no later step reads, or that are made again
    before it does. saves: a step forward keeps what its op saves for the gradient. again: a step forward
    among those backward, which makes what it made before.
    """

    node: Node
    params: Mapping[str, str]
    of_inputs: frozenset[str] = frozenset()
    of_params: bool = False
    completes: tuple[str, ...] = ()
    frees: tuple[str, ...] = ()
    saves: bool = False
    again: bool = False


def read_by(node: Node) -> list[str]:
    """The values whose elements the gradient of a node reads."""
    reads = node.op.gradient_reads
    return [*(node.inputs if "inputs" in reads else ()), *([node.name] if "output" in reads else ())]
