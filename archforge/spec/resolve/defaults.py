"""Defaults of several owners, merged."""

from __future__ import annotations

from archforge.ops import all_ops
from archforge.spec.syntax.syntax_tree import Defaults

__all__ = ["merge_defaults"]


def merge_defaults(base: Defaults, over: Defaults) -> Defaults:
    """Defaults of both, where those of `over` win. Those of an op stand under its own name, by whichever of
    its words they are given."""
    ops = all_ops()
    merged = dict(base)
    for word, values in over.items():
        name = ops[word].op if word in ops else word
        merged[name] = merged.get(name, {}) | values
    return merged
