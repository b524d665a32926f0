"""Small graphs written node by node, for the examples of passes and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from archforge.ir import Graph, Node, Scope, TensorType, TypedGraph, infer
from archforge.ops import op_class

__all__ = ["UNEVEN_TRANSPOSED", "UNEVEN_WINDOW", "graph", "node"]

# Attributes of a convolution, and of a transposed one, of which no number of a list equals another.
UNEVEN_WINDOW: Mapping[str, Any] = MappingProxyType(
    {"kernel": (2, 3), "stride": (1, 2), "padding": ((0, 2), (3, 1)), "dilation": (2, 1)}
)
UNEVEN_TRANSPOSED: Mapping[str, Any] = MappingProxyType(
    {"out": 6, **UNEVEN_WINDOW, "output_padding": (0, 1), "groups": 2, "bias": False}
)
IMAGE = MappingProxyType({"input": (4, 6, 6)})


def node(name: str, kind: str, *inputs: str, params_of: str = "", scope: int = 0, **attributes: Any) -> Node:
    """A node that reads the values `inputs` and owns its parameters, unless `params_of` names another."""
    return Node(name, op_class(kind)(**attributes), inputs, scope, None, params_of or name)


def graph(
    *nodes: Node,
    inputs: Mapping[str, tuple[int, ...]] = IMAGE,
    outputs: Mapping[str, str] | None = None,
    scopes: tuple[Scope, ...] = (),
) -> TypedGraph:
    """The typed graph of `nodes`, whose output is the last value unless `outputs` names others."""
    types = {name: TensorType(shape) for name, shape in inputs.items()}
    return infer(Graph("hand", types, nodes, outputs or {"output": nodes[-1].name}, scopes))
