"""A network as the text of a graph.json."""

from __future__ import annotations

from archforge.analysis.counts import count
from archforge.analysis.ledger import source_line
from archforge.analysis.network import Network
from archforge.interchange.graph_json.form import (
    CountsEntry,
    GraphDocument,
    InputEntry,
    NodeEntry,
    OutputEntry,
    ParameterEntry,
    ScopeEntry,
    StoredNetwork,
)
from archforge.ir import Node, Scope
from archforge.json_text import json_lines

__all__ = ["graph_json_text", "stored"]


def stored(network: Network) -> StoredNetwork:
    """The part of a network that graph.json holds."""
    header = network.spec.header
    lines = {node.name: source_line(node) for node in network.graph.nodes}
    return StoredNetwork(
        network.name,
        header.title,
        header.paper,
        network.profile,
        network.model,
        network.graph,
        lines,
        network.expansion.setting_texts,
    )


def graph_json_text(network: StoredNetwork) -> str:
    """One value, node, parameter or scope on each line; the same network gives the same text."""
    typed = network.graph
    document = GraphDocument(
        name=network.name,
        title=network.title,
        paper=network.paper,
        profile=network.profile,
        settings=network.settings,
        model=network.model,
        counts=CountsEntry(**count(typed).by_cell()),
        inputs=[InputEntry(name=name, shape=type_.shape) for name, type_ in typed.inputs.items()],
        outputs=[
            OutputEntry(name=name, value=value, shape=typed.types[value].shape)
            for name, value in typed.outputs.items()
        ],
        parameters=[
            ParameterEntry(name=name, shape=decl.shape, role=decl.role)
            for name, decl in typed.params().items()
        ],
        nodes=[_node(network, node) for node in typed.nodes],
        scopes=[_scope(scope) for scope in typed.scopes],
    )
    return json_lines(document.model_dump(exclude=None if network.settings else {"settings"}))


def _node(network: StoredNetwork, node: Node) -> NodeEntry:
    declared = node.op.params(*network.graph.input_types(node))
    return NodeEntry(
        name=node.name,
        op=node.op.kind,
        attributes=node.op.attributes(),
        inputs=node.inputs,
        shape=network.graph.types[node.name].shape,
        parameters={name: node.param_name(name) for name in declared},
        scope=node.scope,
        line=network.lines[node.name],
    )


def _scope(scope: Scope) -> ScopeEntry:
    return ScopeEntry(
        index=scope.index,
        name=scope.name,
        kind=scope.kind,
        is_block=scope.is_block,
        parent=scope.parent,
        inputs=scope.inputs,
        output=scope.output,
    )
