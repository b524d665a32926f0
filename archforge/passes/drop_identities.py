"""A pass that drops ops which return their input at inference: identity, dropout, a pool to the same size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archforge.ir import TypedGraph
from archforge.passes.example_graphs import graph, node
from archforge.passes.graph_pass import Pass, Rewrite

__all__ = ["PASS", "drop_identities", "without_idle"]


def drop_identities(typed: TypedGraph, taps: frozenset[str] = frozenset()) -> Rewrite:
    """Reconnect users of each identity to its input, following chains."""
    dropped = {
        node.name: node.inputs[0]
        for node in typed.nodes
        if node.name not in taps and node.op.passes_through(*typed.input_types(node))
    }
    return Rewrite(typed.graph.replace_uses(dropped))


def without_idle(typed: TypedGraph) -> TypedGraph:
    """The graph without ops that return their input in training too."""
    trained = frozenset(node.name for node in typed.nodes if node.op.differs_in_training)
    return replace(typed, graph=drop_identities(typed, trained).graph)


def _examples() -> Iterator[TypedGraph]:
    yield graph(
        node("conv", "conv", "input", out=4, kernel=(2, 3)),
        node("drop", "dropout", "conv", rate=0.3),
        node("id", "identity", "drop"),
        node("relu", "relu", "id"),
        node("pool", "adaptive_avg_pool", "relu", size=(5, 4)),  # of 5x4 already
        node("difference", "subtract", "pool", "drop"),
        node("end", "stochastic_depth", "difference", rate=0.1),
        outputs={"output": "end", "again": "drop"},
    )
    yield graph(node("drop", "channel_dropout", "input", rate=0.2))


# First: an identity between two ops would hide them from the passes that merge them.
PASS = Pass("drop_identities", 0, drop_identities, _examples)
