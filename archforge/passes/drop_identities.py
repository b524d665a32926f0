"""Ops that return their input unchanged at inference are gone: identities, dropout."""

from __future__ import annotations

from archforge.ir import TypedGraph
from archforge.passes.base import Pass, Rewrite

__all__ = ["PASS"]


def drop_identities(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
    """Reconnect users of each identity to its input, following chains."""
    dropped = {n.name: n.inputs[0] for n in typed.nodes if n.op.is_identity and n.name not in taps}
    return Rewrite(typed.graph.replace_uses(dropped))


# First: an identity between two ops would hide them from the passes that join them.
PASS = Pass("drop_identities", 0, drop_identities)
