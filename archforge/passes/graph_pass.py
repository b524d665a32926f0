"""What a pass is: a typed graph to a graph, with what must happen to its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from archforge.ir import Graph, TypedGraph
from archforge.ops.base import Array

__all__ = ["ParamTransform", "Pass", "Rewrite"]


class ParamTransform(Protocol):
    """New parameters computed from old ones when the weights are loaded; weights are not there yet
    while a graph is rewritten."""

    @property
    def reads(self) -> tuple[str, ...]: ...
    @property
    def makes(self) -> Mapping[str, tuple[int, ...]]:
        """Full name and shape of each array that `apply` returns."""
        ...

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        """The new arrays from those that it reads, of any floating dtype: computed in float64."""
        ...


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What a pass returns; the pipeline infers the types again and verifies them."""

    graph: Graph
    transforms: tuple[ParamTransform, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite that keeps the value of every output, every tap and every name that survives.

    `run` takes the graph and the names of tapped values, which are barriers. Passes run by rising
    `rank`, then by name.
    """

    name: str
    rank: int
    run: Callable[[TypedGraph, frozenset[str]], Rewrite]
