"""Passes: functions from a typed graph to a graph and what must be done to its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from archforge.ir import Graph, TypedGraph
from archforge.ops.base import Array

__all__ = ["ParamTransform", "Pass", "Rewrite"]


class ParamTransform(Protocol):
    """Parameters that are computed from others when weights are loaded: while a graph is rewritten there
    are none yet."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Full names of the arrays that `apply` needs."""
        ...

    @property
    def makes(self) -> Mapping[str, tuple[int, ...]]:
        """Full name and shape of each array that `apply` returns."""
        ...

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        """The new arrays from those that it reads, of any floating dtype: computed in float64."""
        ...


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The result of a pass: a graph, whose types `optimise` infers and verifies unless it is the one that was
    given, and how its new parameters are made."""

    graph: Graph
    transforms: tuple[ParamTransform, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite that keeps the value of every output, every tap and every name that survives.

    `run` takes the graph and the names of tapped values, which are barriers. Passes run by rising
    `rank`, then by name. `examples` returns graphs that it changes; tests hold each to the laws of
    passes, and demand that a pass which got an attribute or a value wrong would be noticed in them:
    so attributes are no defaults, and lists are not the same reversed.
    """

    name: str
    rank: int
    run: Callable[[TypedGraph, frozenset[str]], Rewrite]
    examples: Callable[[], Iterable[TypedGraph]]
