"""The words of generated source for the function that computes a network."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.export.module.dialect import Dialect
from archforge.ir import TensorType, TypedGraph

__all__ = ["forward_says"]


def forward_says(typed: TypedGraph, inputs: Sequence[str], dialect: Dialect) -> str:
    """The docstring of the function that computes a network with inputs of these names."""

    def array(type_: TensorType) -> str:
        return f"float[N, {', '.join(map(str, dialect.extents(type_)))}]"

    arrays = ", ".join(f"{n} {array(t)}" for n, t in zip(inputs, typed.inputs.values(), strict=True))
    types = [typed.types[value] for value in typed.outputs.values()]
    says = array(types[0]) if len(types) == 1 else "Arrays by the names of outputs"
    return f"{says} for {arrays}."
