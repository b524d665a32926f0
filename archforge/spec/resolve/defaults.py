"""Defaults of several owners, merged."""

from __future__ import annotations

from archforge.ops import find_op
from archforge.spec.syntax.syntax_tree import Defaults

__all__ = ["merge_defaults"]


def merge_defaults(base: Defaults, over: Defaults) -> Defaults:
    """Defaults of both, where those of `over` win. Those of an op stand under its own name, by whichever of
    its words they are given."""
    merged = dict(base)
    for word, values in over.items():
        op = find_op(word)
        name = word if op is None else op.op
        merged[name] = merged.get(name, {}) | values
    return merged
