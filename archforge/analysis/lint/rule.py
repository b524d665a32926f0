"""A rule of `archforge lint`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from archforge.analysis.network import Network
from archforge.errors import Diagnostic
from archforge.ir import Node
from archforge.spec.resolve.spec import Spec

__all__ = ["Find", "LintRule", "along", "nodes_of"]

Find = Callable[[Spec, Sequence[Network]], Iterator[Diagnostic]]


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule by its code. by_default: it holds unless it is ignored. Others hold where they are selected, as
    faithful copies of papers break them."""

    code: str
    find: Find
    by_default: bool


def nodes_of(networks: Sequence[Network]) -> Iterator[tuple[Network, Node]]:
    """The nodes of all profiles that have a place, each with its network."""
    for network in networks:
        for node in network.graph.nodes:
            if node.span is not None:
                yield network, node


def along(value: Any, axis: int) -> Any:
    """The value of an attribute for one spatial axis."""
    return value[axis] if isinstance(value, tuple) and axis < len(value) else value
