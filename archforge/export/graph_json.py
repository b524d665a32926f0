"""The graph as JSON, for programs in any language; the form is described in docs/graph_json.md."""

from __future__ import annotations

from typing import Any

from archforge.analysis.ledger import source_line
from archforge.export.json_text import json_lines
from archforge.export.target import Subject, Target
from archforge.ir import Node, ParamDecl, Scope, TypedGraph

__all__ = ["TARGETS", "VERSION", "graph_json"]

VERSION = 1


def graph_json(subject: Subject) -> str:
    """The chosen profile's graph, with one value, node, parameter or scope on each line."""
    network, typed = subject.network, subject.network.graph
    graph = typed.graph
    return json_lines(
        {
            "archforge_graph": VERSION,
            "name": network.name,
            "title": network.spec.header.title,
            "paper": network.spec.header.paper,
            "profile": network.profile,
            "model": network.model,
            "counts": network.counts.by_cell(),
            "inputs": [{"name": name, "shape": type_.shape} for name, type_ in graph.inputs.items()],
            "outputs": [
                {"name": name, "value": value, "shape": typed.types[value].shape}
                for name, value in graph.outputs.items()
            ],
            "parameters": [_parameter(name, decl) for name, decl in typed.params().items()],
            "nodes": [_node(typed, node) for node in typed.nodes],
            "scopes": [_scope(scope) for scope in graph.scopes],
        }
    )


def _parameter(name: str, decl: ParamDecl) -> dict[str, Any]:
    return {"name": name, "shape": decl.shape, "role": decl.role}


def _node(typed: TypedGraph, node: Node) -> dict[str, Any]:
    declared = node.op.params(*typed.input_types(node))
    return {
        "name": node.name,
        "op": node.op.kind,
        "attributes": node.op.attributes(),
        "inputs": node.inputs,
        "shape": typed.types[node.name].shape,
        "parameters": {name: node.param_name(name) for name in declared},
        "scope": node.scope,
        "line": source_line(node),
    }


def _scope(scope: Scope) -> dict[str, Any]:
    return {
        "index": scope.index,
        "name": scope.name,
        "kind": scope.kind,
        "is_block": scope.is_block,
        "parent": scope.parent,
        "inputs": scope.inputs,
        "output": scope.output,
    }


TARGETS = (
    Target(
        "graph",
        "graph.json",
        "the graph for programs in any language: docs/graph_json.md",
        graph_json,
        by_default=True,
    ),
)
