"""One node of an ONNX graph, and the same computation in our ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from archforge.interchange.unsupported import Unsupported
from archforge.ops import op_class
from archforge.ops.base import Array, Op

__all__ = ["OnnxNode", "OnnxOp", "OnnxTranslation", "Translate", "bound_op", "require"]

OnnxShape = tuple[int, ...]  # with the batch axis, as ONNX has it


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """A node with what is known before the network runs.

    attributes: by ONNX's names. inputs, outputs: the shape of each, by position; None for one that is left
    empty. constants: the arrays of those inputs that no other node computes, by position.
    """

    attributes: Mapping[str, Any]
    inputs: tuple[OnnxShape | None, ...]
    outputs: tuple[OnnxShape | None, ...]
    constants: Mapping[int, Array] = field(default_factory=dict)

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

    def ints(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers; None where it is left out."""
        found = self.attributes.get(name)
        return None if found is None else tuple(found)


def _unchanged(x: Array) -> Array:
    return x


@dataclass(frozen=True, slots=True)
class OnnxTranslation:
    """One output of a node in our ops, applied in turn; the parameters are those of the first.

    inputs: positions of the values that the first op reads. is_batched: the first axis is the batch, as ours
    always is; otherwise a batch of one has to be put around the values. arrange brings a value into the order
    of axes that the ops take, restore their result into ONNX's.
    """

    ops: tuple[Op, ...]
    inputs: tuple[int, ...] = (0,)
    params: Mapping[str, Array] = field(default_factory=dict)
    is_batched: bool = False
    arrange: Callable[[Array], Array] = _unchanged
    restore: Callable[[Array], Array] = _unchanged


# Gives a translation for each output that is asked for, in order; outputs beyond them, such as the indices of
# a pool, are not said. Raises `Unsupported` with the reason where ours is another op.
Translate = Callable[[OnnxNode], list[OnnxTranslation]]


class OnnxOp(NamedTuple):
    """A row: our op of the same meaning, and what translates a node."""

    kind: str
    translate: Translate


def bound_op(kind: str, **attributes: Any) -> Op:
    """Our op of that kind with these attributes. Raises `Unsupported` for what it cannot take."""
    try:
        return op_class(kind).model_validate(attributes)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        raise Unsupported(f"`{name}` = {attributes.get(name)}, which `{kind}` cannot take") from None


def require(condition: bool, reason: str) -> None:
    """Raises `Unsupported` for the reason unless the condition holds."""
    if not condition:
        raise Unsupported(reason)
