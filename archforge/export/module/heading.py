"""The words of generated source for the function that computes a network."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.ir import TensorType, TypedGraph

__all__ = ["forward_says"]


def forward_says(typed: TypedGraph, inputs: Sequence[str]) -> str:
    """The docstring of the function that computes a network with inputs of these names."""
    arrays = ", ".join(
        f"{n} float[N, {_by_comma(t)}]" for n, t in zip(inputs, typed.inputs.values(), strict=True)
    )
    types = [typed.types[value] for value in typed.outputs.values()]
    says = f"float[N, {_by_comma(types[0])}]" if len(types) == 1 else "Arrays by the names of outputs"
    return f"{says} for {arrays}."


def _by_comma(type_: TensorType) -> str:
    return ", ".join(map(str, type_.shape))
