"""The graph as JSON, for programs in any language; the form is described in docs/graph_json.md."""

from __future__ import annotations

from archforge.export.target import Subject, Target
from archforge.interchange.graph_json import graph_json_text, stored

__all__ = ["TARGETS", "graph_json"]


def graph_json(subject: Subject) -> str:
    """The chosen profile's graph, with one value, node, parameter or scope on each line."""
    return graph_json_text(stored(subject.network))


TARGETS = (
    Target(
        "graph",
        "graph.json",
        "the graph for programs in any language: docs/graph_json.md",
        graph_json,
        by_default=True,
    ),
)
