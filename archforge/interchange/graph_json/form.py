"""The form of graph.json: its version, its keys in their order, and the kind of each value."""

# No `from __future__ import annotations` here: pydantic reads the annotations when the classes are made.
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from archforge.ir import Role, TypedGraph

__all__ = [
    "VERSION",
    "CountsEntry",
    "GraphDocument",
    "InputEntry",
    "NodeEntry",
    "OutputEntry",
    "ParameterEntry",
    "ScopeEntry",
    "StoredNetwork",
]

VERSION: Literal[1] = 1  # rises when a reader would have to change

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
# Not strict themselves, so that a list of JSON becomes a tuple; what is inside is.
Shape = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]


class _JsonObject(BaseModel):
    """One object of the file, with these keys and no others."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


class CountsEntry(_JsonObject):
    """The counts of the network, as in its model card."""

    layers: Count
    weights: Count
    biases: Count
    params: Count
    buffers: Count
    macs: Count


class InputEntry(_JsonObject):
    """An input of the network. Shapes leave out the batch axis."""

    name: Name
    shape: Shape


class OutputEntry(_JsonObject):
    """An output of the network: the value of a node, or an input."""

    name: Name
    value: Name
    shape: Shape


class ParameterEntry(_JsonObject):
    """An array that the network owns, by its full name."""

    name: Name
    shape: Shape
    role: Role


class NodeEntry(_JsonObject):
    """One use of an op. parameters: the op's own name of each array -> its full name."""

    name: Name
    op: Name
    attributes: dict[str, Any]
    inputs: Names
    shape: Annotated[Shape, Field(min_length=1)]
    parameters: dict[str, Name]
    scope: Count
    line: str


class ScopeEntry(_JsonObject):
    """A block call, a named sequence, or the graph itself, which stands first."""

    index: Count
    name: str
    kind: Name
    is_block: bool
    parent: Count | None
    inputs: Names
    output: str


class GraphDocument(_JsonObject):
    """The whole file."""

    archforge_graph: Literal[1] = VERSION
    name: Name
    title: str | None
    paper: str | None
    profile: Name
    settings: Names = ()
    model: str | None
    counts: CountsEntry
    inputs: list[InputEntry]
    outputs: list[OutputEntry]
    parameters: list[ParameterEntry]
    nodes: list[NodeEntry]
    scopes: list[ScopeEntry]


@dataclass(frozen=True, slots=True, eq=False)
class StoredNetwork:
    """All that a graph.json says of a network: whose it is, its graph, the `FILE:LINE` of each node, and what
    was set by hand."""

    name: str
    title: str | None
    paper: str | None
    profile: str
    model: str | None
    graph: TypedGraph
    lines: Mapping[str, str]
    settings: tuple[str, ...] = ()
