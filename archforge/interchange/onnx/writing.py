"""A use of one of our ops, as a row of the table is given it, and the nodes of ONNX that the row makes.

Nothing here needs the package onnx: a graph is names, attributes and arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["NodeParts", "OnnxUse", "Write", "WrittenNode", "around_map", "sides_of"]


@dataclass(frozen=True, slots=True)
class WrittenNode:
    """A node of ONNX, of which one output is used. inputs: names of values, empty for one left out."""

    onnx_op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class NodeParts:
    """The form of one of our nodes in ONNX: nodes in order, and the constants that they read, by name."""

    nodes: list[WrittenNode] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnnxUse:
    """One use of an op of ours, as its row sees it. Names that a row makes begin with that of the node.

    types, output: of the values, the batch left out. inputs: the values by their names in the file. params:
    the names in the file of the op's parameters, by its own; arrays: their elements, read on use.
    """

    name: str
    op: Any
    types: tuple[TensorType, ...]
    output: TensorType
    inputs: tuple[str, ...]
    params: Mapping[str, str]
    arrays: Mapping[str, Array]
    parts: NodeParts = field(default_factory=NodeParts)

    @property
    def x(self) -> str:
        """The first value that the node reads."""
        return self.inputs[0]

    @property
    def rank(self) -> int:
        """The number of axes of the first input, the batch among them."""
        return len(self.types[0].shape) + 1

    @property
    def axis(self) -> int:
        """The axis that the op names, the batch counted."""
        return int(self.op.axis) % (self.rank - 1) + 1

    @property
    def own(self) -> tuple[str, ...]:
        """The names of all parameters in the file, in the op's order."""
        return tuple(self.params.values())

    def node(self, onnx_op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; gives back the name of its value."""
        name = self._free(onnx_op)
        self.parts.nodes.append(WrittenNode(onnx_op, name, inputs, name, attributes))
        return name

    def numbers(self, word: str, values: Any) -> str:
        """Add a constant in float32; gives back its name."""
        return self._constant(word, np.asarray(values, np.float32))

    def whole(self, word: str, values: int | Sequence[int] | Array) -> str:
        """Add a constant of whole numbers: shapes and axes, which are int64; gives back its name."""
        return self._constant(word, np.asarray(values, np.int64))

    def transposed(self, x: str, order: Sequence[int]) -> str:
        """`x` with its axes, the batch among them, in this order; `x` itself where that changes nothing."""
        order = list(order)
        return x if order == sorted(order) else self.node("Transpose", x, perm=order)

    def shaped(self, x: str, shape: Sequence[int], batch: Literal[0] | None = 0) -> str:
        """`x` in another shape: the batch, which stays, and `shape`; of a parameter `shape` alone."""
        whole = shape if batch is None else (batch, *shape)
        return self.node("Reshape", x, self.whole("shape", whole))

    def _constant(self, word: str, array: Array) -> str:
        name = self._free(word)
        self.parts.constants[name] = array
        return name

    def _free(self, word: str) -> str:
        """A name for a part of the node; our own names have no slash."""
        taken = {*self.parts.constants, *(n.name for n in self.parts.nodes)}
        name, number = f"{self.name}/{word}", 1
        while name in taken:
            number += 1
            name = f"{self.name}/{word}_{number}"
        return name


# Adds the nodes of one use, and gives back the name of the value that they compute. Raises `Unsupported`.
Write = Callable[[OnnxUse], str]


def sides_of(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Pairs (before, after) for each axis in ONNX's order: all that is before, then all that is after."""
    return [before for before, _ in pairs] + [after for _, after in pairs]


def around_map(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The sides for ONNX's `Pad` from those of each spatial axis; batch and channels stay."""
    return sides_of([(0, 0), (0, 0), *pairs])
