"""One node of an ONNX graph, and the same computation in our ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from archforge.interchange.flows import Axes
from archforge.interchange.translation import require
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array, Op

__all__ = [
    "OPSET",
    "OnnxNode",
    "OnnxOp",
    "OnnxTranslation",
    "Translate",
    "reshaped",
]

OPSET = 22  # of the nodes that are written; those of other versions are read in its form
OnnxShape = tuple[int, ...]  # with the batch axis, as ONNX has it


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """A node with what is known before the network runs.

    attributes: by ONNX's names. inputs: the shape of each, by position; None for one that is left empty.
    asked: which outputs are wanted, by position. constants: the arrays of those inputs that no other node
    computes, by position. axes: within a network, our axis for each of the first input's, as `Axes` says;
    None for a node by itself, whose first axis need be no batch. opset: the version of ONNX's ops.
    """

    attributes: Mapping[str, Any]
    inputs: tuple[OnnxShape | None, ...]
    asked: tuple[bool, ...] = (True,)
    constants: Mapping[int, Array] = field(default_factory=dict)
    axes: Axes | None = None
    opset: int = OPSET

    @property
    def x(self) -> OnnxShape:
        """The shape of the first input."""
        return self.shape(0)

    def shape(self, position: int) -> OnnxShape:
        """The shape of an input that must be there. Raises `Unsupported`."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise Unsupported(f"no input {position}")
        return found

    def constant(self, position: int) -> Array | None:
        """The array of an input, None for one that is left empty. Raises `Unsupported` for a computed one."""
        if position >= len(self.inputs) or self.inputs[position] is None:
            return None
        if position not in self.constants:
            raise Unsupported(f"an input {position} that another node computes")
        return self.constants[position]

    def weight(self, position: int) -> Array:
        """The array of an input that must be there. Raises `Unsupported`."""
        self.shape(position)
        array = self.constant(position)
        assert array is not None  # `shape` has looked
        return array

    def axis(self, axis: int) -> int:
        """The axis of the first input as our ops count it: without the batch in a network. Raises
        `Unsupported` for the batch's."""
        axis %= len(self.x)
        if self.axes is None:
            return axis
        ours = self.axes[axis]
        if not ours:
            raise Unsupported("an axis that is the batch's")
        return ours - 1

    def along(self, array: Array) -> tuple[int, Array] | None:
        """The only axis, as our ops count it, along which a constant that is aligned at the last axis varies,
        and its numbers; None if it is one number. Raises `Unsupported` for several axes."""
        first = len(self.x) - array.ndim
        varies = [axis + first for axis, extent in enumerate(array.shape) if extent > 1]
        if not varies:
            return None
        require(len(varies) == 1 and min(varies) >= 0, "constants along several axes")
        return self.axis(varies[0]), array.reshape(-1)

    @property
    def has_batch_in_front(self) -> bool:
        """False within a network where the first axis of an input has more than one element, since exporters
        lay heads or time there."""
        values = (s for p, s in enumerate(self.inputs) if s is not None and p not in self.constants)
        return self.axes is None or all(shape[:1] == (1,) for shape in values)

    def ints(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers; None where it is left out."""
        found = self.attributes.get(name)
        return None if found is None else tuple(found)


@dataclass(frozen=True, slots=True)
class OnnxTranslation:
    """One output of a node in our ops, applied in turn; the parameters are those of the first.

    inputs: positions of the values that the first op reads. is_batched: the first axis is the batch, as ours
    always is, and the others are in our order; else the ops take the axes in any order, and by itself a batch
    of one has to be put around the values. takes, gives: the axes of the input and of the output, where they
    are not ours in our order. is_backwards: time, our axis 1, has to be turned round before and after.
    has_batch_within: of a network, all axes of the file are taken, that of the batch of one image too, which
    need not be in front.
    """

    ops: tuple[Op, ...]
    inputs: tuple[int, ...] = (0,)
    params: Mapping[str, Array] = field(default_factory=dict)
    is_batched: bool = False
    takes: Axes | None = None
    gives: Axes | None = None
    is_backwards: bool = False
    has_batch_within: bool = False


# Gives a translation for each output that is asked for, in order; outputs beyond them, such as the indices of
# a pool, are not said. Raises `Unsupported` with the reason where ours is another op.
Translate = Callable[[OnnxNode], list[OnnxTranslation]]


class OnnxOp(NamedTuple):
    """A row: our op of the same meaning, and what translates a node."""

    kind: str
    translate: Translate


def reshaped(shape: OnnxShape, given: Array, attributes: Mapping[str, Any]) -> OnnxShape:
    """The shape that a `Reshape` to the numbers in `given` makes of another: a 0 is the extent there, unless
    an attribute says no, and -1 what is left."""
    zeros = not attributes.get("allowzero", 0)
    extents = [shape[axis] if n == 0 and zeros else int(n) for axis, n in enumerate(given)]
    known = math.prod(n for n in extents if n != -1)
    return tuple(math.prod(shape) // known if n == -1 else n for n in extents)
