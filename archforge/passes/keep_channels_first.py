"""A pass for what is computed with the channels last: ops between a permute that moves them there and one
that moves them back are computed with the channels first, and nothing is moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from archforge.ir import Node, TypedGraph
from archforge.ops.base import Op, is_pointwise
from archforge.ops.concat import Concat
from archforge.ops.global_response_norm import GlobalResponseNorm
from archforge.ops.layer_norm import LayerNorm
from archforge.ops.linear import Linear
from archforge.ops.permute import Permute
from archforge.ops.slice import Slice
from archforge.passes.example_graphs import graph, node
from archforge.passes.graph_pass import Pass, Rewrite

__all__ = ["PASS"]


def keep_channels_first(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
    """Compute each region of ops on values with their channels last on those with their channels first.

    A region begins at permutes of the one kind and ends at permutes of the other; it is left as it is where
    anything else sees one of its values. Its nodes get names of their own, since their values are others.
    """
    regions = _regions(typed)
    seen = taps.union(typed.outputs.values())
    users = typed.graph.users()
    gone: dict[str, str] = {}
    moved: dict[str, Node] = {}
    for region in regions:
        known = {*region.starts, *region.inside, *region.ends}
        values = [*region.starts, *region.inside]
        if not region.ends or seen.intersection(known):
            continue
        if any(user.name not in known for value in values for user in users[value]):
            continue
        gone |= {n.name: n.inputs[0] for n in (*region.starts.values(), *region.ends.values())}
        for n, op in region.inside.values():
            twin = f"{n.name}.channels_first"
            moved[n.name] = replace(n, name=twin, op=op)
            gone[n.name] = twin
    if not gone:
        return Rewrite(typed.graph)
    graph = replace(typed.graph, nodes=tuple(moved.get(n.name, n) for n in typed.nodes))
    return Rewrite(graph.replace_uses(gone))


@dataclass(eq=False)
class _LastChannels:
    """Nodes whose values have their channels last, with the ops that they are with channels first, and the
    permutes at the borders; all by their names."""

    starts: dict[str, Node] = field(default_factory=dict)
    inside: dict[str, tuple[Node, Op]] = field(default_factory=dict)
    ends: dict[str, Node] = field(default_factory=dict)

    def take(self, other: _LastChannels) -> None:
        for name in ("starts", "inside", "ends"):
            getattr(self, name).update(getattr(other, name))


def _regions(typed: TypedGraph) -> list[_LastChannels]:
    """The regions of a graph, joined where an op reads values of two."""
    of: dict[str, _LastChannels] = {}
    for n in typed.nodes:
        inner = [of[value] for value in n.inputs if value in of]
        if isinstance(n.op, Permute) and _is_first(n.op.order) and inner:
            inner[0].ends[n.name] = n
        elif isinstance(n.op, Permute) and _is_last(n.op.order) and not inner:
            of[n.name] = _LastChannels(starts={n.name: n})
        elif inner and len(inner) == len(n.inputs) and (op := _with_channels_first(n, typed)):
            region, *others = dict.fromkeys(inner)
            for other in others:
                region.take(other)
            region.inside[n.name] = n, op
            of |= dict.fromkeys((*region.starts, *region.inside), region)
    return list(dict.fromkeys(of.values()))


def _is_last(order: tuple[int, ...]) -> bool:
    """True if the channels go from the first place to the last, and the other axes keep their order."""
    return len(order) > 1 and order == (*range(1, len(order)), 0)


def _is_first(order: tuple[int, ...]) -> bool:
    """True if the channels go from the last place to the first, and the other axes keep their order."""
    return len(order) > 1 and order == (len(order) - 1, *range(len(order) - 1))


def _with_channels_first(n: Node, typed: TypedGraph) -> Op | None:
    """The op of a node for values with their channels first in place of last; None if there is none."""
    types = typed.input_types(n)
    axes = len(types[0].shape)
    if isinstance(n.op, LayerNorm) and isinstance(n.op.axis, int):
        return n.op.model_copy(update={"axis": (n.op.axes(types[0])[0] + 1) % axes})
    if isinstance(n.op, Concat | GlobalResponseNorm | Slice):
        return n.op.model_copy(update={"axis": (n.op.axis % axes + 1) % axes})
    if isinstance(n.op, Linear):
        return n.op.model_copy(update={"axis": (n.op.feature_axis(types[0]) + 1) % axes})
    return n.op if is_pointwise(n.op, *types) else None


def _examples() -> Iterator[TypedGraph]:
    yield graph(
        node("last", "permute", "input", order=(1, 2, 0)),
        node("norm", "layer_norm", "last", axis=2, eps=0.1),
        node("wide", "linear", "norm", out=9, axis=2),
        node("bend", "leaky_relu", "wide", slope=0.3),
        node("respond", "global_response_norm", "bend", axis=2, eps=0.2),
        node("narrow", "linear", "respond", out=4, axis=2, bias=False),
        node("part", "slice", "narrow", start=1, end=3, axis=2),
        node("joined", "concat", "part", "narrow", axis=2),
        node("columns", "layer_norm", "joined", axis=1, eps=0.2, affine=False),
        node("first", "permute", "columns", order=(2, 0, 1)),
        node("sum", "conv", "first", out=2),
        inputs={"input": (4, 5, 3)},
    )
    # Two regions that a sum joins, and one with a norm over several axes, which stays.
    yield graph(
        node("left", "permute", "a", order=(1, 0)),
        node("right", "permute", "b", order=(1, 0)),
        node("bend", "elu", "right", alpha=0.3),
        node("difference", "subtract", "left", "bend"),
        node("back", "permute", "difference", order=(1, 0)),
        node("seen", "permute", "back", order=(1, 0)),
        node("several", "layer_norm", "seen", axis=(1, 0), eps=0.1),
        node("end", "permute", "several", order=(1, 0)),
        inputs={"a": (4, 3), "b": (4, 3)},
    )


# First, with the identities: a permute between two ops would hide them from the passes that merge them.
PASS = Pass("keep_channels_first", 0, keep_channels_first, _examples)
