"""NumPy as a language of generated source: each op is a function of `templates/kernels.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archforge.export.module.arguments import kernel_call
from archforge.export.module.dialect import WrittenOp
from archforge.export.module.kernels import kernel_file, kernel_name
from archforge.ir import Node, TensorType, TypedGraph
from archforge.passes.drop_identities import drop_identities

__all__ = ["INFIX", "NUMPY", "NumpyDialect", "operator_of"]

# Merges that Python has an operator for.
INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


class NumpyDialect:
    """Ops as calls of the layers in the module; merges of values of one rank as operators."""

    file = "model.py"
    keeps_levels = False

    def prepared(self, typed: TypedGraph) -> TypedGraph:
        """The graph without ops that do nothing at inference."""
        return replace(typed, graph=drop_identities(typed).graph)

    def lacks(self, node: Node, types: Sequence[TensorType]) -> tuple[str, str] | None:
        """A layer of the op's name, where there is none."""
        if operator_of(node.op.kind, types) or kernel_name(node.op.kind) in kernel_file().kernels:
            return None
        return f"layer for `{node.op.kind}`", "a function of that name in templates/kernels.py adds it"

    def call(self, node: Node, types: Sequence[TensorType]) -> WrittenOp:
        """The layer with its arguments, or the operator."""
        if operator := operator_of(node.op.kind, types):
            return WrittenOp(operator, {})
        return kernel_call(node, types, kernel_file().kernels[kernel_name(node.op.kind)])

    def extents(self, type_: TensorType) -> tuple[int, ...]:
        """The extents in the order of the spec."""
        return type_.shape

    def is_size(self, argument: str) -> bool:
        """No argument: the layers see sizes in the shapes of arrays."""
        return False

    def defaults(self, callee: str) -> Mapping[str, Any] | None:
        """The keyword arguments of a layer."""
        kernel = kernel_file().kernels.get(callee)
        return kernel.keywords if kernel else None


def operator_of(kind: str, types: Sequence[TensorType]) -> str | None:
    """The operator for a merge whose values the library aligns as the op does."""
    return INFIX.get(kind) if len({len(t.shape) for t in types}) == 1 else None


NUMPY = NumpyDialect()
