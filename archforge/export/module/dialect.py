"""The differences of libraries as languages of generated source: how ops are called, what calls leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from archforge.ir import Node, TensorType, TypedGraph

__all__ = ["Dialect", "WrittenOp", "channels_last"]


@dataclass(frozen=True, slots=True)
class WrittenOp:
    """A node as a call, `callee(inputs, args)`; an operator stands between the inputs.

    owns: the op has parameters, which are found by their name. is_activation: it takes one value and gives
    one of its shape, without parameters or arguments. use: the value of the layer that the callee makes, if
    it makes one. layer: a class of them that compute the same, for an op without parameters.
    """

    callee: str
    args: Mapping[str, Any]
    owns: bool = False
    is_activation: bool = False
    use: str = ""
    layer: str = ""


class Dialect(Protocol):
    """A library, and the form of source for it. The same functions are found for all of them: `functions.py`.

    file: what messages call the source. keeps_levels: each level of the parameters' names is a function, so
    that named sequences become one as blocks do.
    """

    file: str
    keeps_levels: bool

    def prepared(self, typed: TypedGraph) -> TypedGraph:
        """The graph without the ops that the source leaves out."""

    def lacks(self, node: Node, types: Sequence[TensorType]) -> tuple[str, str] | None:
        """The thing that is missing for a node with these inputs, and a way out; None for nothing."""

    def call(self, node: Node, types: Sequence[TensorType]) -> WrittenOp:
        """The call for a node with inputs of these types."""

    def extents(self, type_: TensorType) -> tuple[int, ...]:
        """The extents of a value without the batch, in the order of the library's axes."""

    def is_size(self, argument: str) -> bool:
        """True for an argument that is a number of channels or features: a function takes few of them, and
        works the others out."""

    def defaults(self, callee: str) -> Mapping[str, Any] | None:
        """The arguments of what ops call, each with its default; None for an operator."""


def channels_last(type_: TensorType) -> tuple[int, ...]:
    """The extents of a value where maps have their channels last; what has two axes is no map."""
    channels, *sizes = type_.shape
    return (*sizes, channels) if len(sizes) > 1 else type_.shape
