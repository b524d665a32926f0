"""The ops of imported networks, in words that tests of several formats compare."""

from __future__ import annotations

from archforge.interchange.imported import Imported

__all__ = ["kinds", "ops"]


def kinds(made: Imported) -> list[str]:
    """The kinds of the ops in order."""
    return [n.op.kind for n in made.graph.nodes]


def ops(made: Imported) -> list[str]:
    """The ops in order, each with what is not its default."""
    found = []
    for node in made.graph.nodes:
        fields = type(node.op).model_fields
        said = {k: v for k, v in node.op.attributes().items() if v != fields[k].get_default()}
        found.append(" ".join([node.op.kind, *(f"{k}={v}" for k, v in said.items())]))
    return found
