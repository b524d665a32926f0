"""Ops that return their input as it is at inference are gone: identities, dropout, pools to the same size."""

from __future__ import annotations

from archforge.ir import TypedGraph
from archforge.passes.graph_pass import Pass, Rewrite

__all__ = ["PASS", "drop_identities"]


def drop_identities(typed: TypedGraph, taps: frozenset[str] = frozenset()) -> Rewrite:
    """Reconnect users of each identity to its input, following chains."""
    dropped = {
        node.name: node.inputs[0]
        for node in typed.nodes
        if node.name not in taps and node.op.passes_through(*typed.input_types(node))
    }
    return Rewrite(typed.graph.replace_uses(dropped))


# First: an identity between two ops would hide them from the passes that join them.
PASS = Pass("drop_identities", 0, drop_identities)
