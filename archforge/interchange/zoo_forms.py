"""Forms that authors choose between for one computation: one for both, so that a network is known in each."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize import rewritten
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.interchange.same_graph import with_holes
from archforge.ir import Node, TypedGraph

__all__ = ["RULES", "in_one_form"]


def in_one_form(typed: TypedGraph) -> TypedGraph:
    """A graph with sums of sums as one sum, and without maps of one pixel that are flattened at once."""
    return rewritten(with_holes(typed), RULES)[0].graph


def _joined_sum(node: Node, sight: Sight) -> Replacement | None:
    """A sum whose summand is a sum that nothing else reads, all of one type."""
    if node.op.kind != "add":
        return None
    inner = [sight.only(value, "add") for value in node.inputs]
    summands = [
        v for value, sum_ in zip(node.inputs, inner, strict=True) for v in (sum_.inputs if sum_ else [value])
    ]
    if not any(inner) or any(sight.type(value) != sight.type(node.name) for value in summands):
        return None
    return Replacement(node.op, tuple(summands))


def _flat_pool(node: Node, sight: Sight) -> Replacement | None:
    """A global pool whose extents of 1 are taken away behind it."""
    pool = (
        sight.only(node.inputs[0], "global_avg_pool", "global_max_pool")
        if node.op.kind == "flatten"
        else None
    )
    return Replacement(pool.op.model_copy(update={"keep": False}), pool.inputs) if pool else None


def _sums() -> Iterator[ForeignGraph]:
    units = [step(f"unit_{i}", "conv", "x", out=4) for i in range(3)]
    yield draft(*units, step("two", "add", "unit_0", "unit_1"), step("three", "add", "unit_2", "two"))


def _pools() -> Iterator[ForeignGraph]:
    for kind in ("global_avg_pool", "global_max_pool"):
        yield draft(step("pool", kind, "x"), step("flat", "flatten", "pool"))


RULES = (Rule("joined_sum", 0, _joined_sum, _sums), Rule("flat_pool", 0, _flat_pool, _pools))
