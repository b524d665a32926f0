"""Two graphs that are one: compared by what each value is computed by, not by names or order of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from hashlib import sha256

from archforge.interchange.normalize import all_rules, rewritten
from archforge.interchange.normalize.rule import ForeignGraph
from archforge.ir import TypedGraph, infer
from archforge.ops.lazy_numpy import np
from archforge.ops.parameter import FreeParameter
from archforge.passes.drop_identities import drop_identities
from archforge.passes.keep_channels_first import keep_channels_first

__all__ = ["OF_TRAINING", "comparable", "digests", "is_same", "with_holes"]

# Attributes that change nothing at inference, and that other formats do not store.
OF_TRAINING = frozenset({"momentum", "rate", "init"})

# Attributes by kind of op that say how its arrays are stored and begin.
_OF_STORAGE = {
    "attention": frozenset({"names"}),
    "layer_scale": frozenset({"keep"}),
    "parameter": frozenset({"batch_axis", "mean", "std"}),
}


def comparable(typed: TypedGraph) -> TypedGraph:
    """A graph as a file of another format would give it back: without what does nothing at inference, and as
    the normaliser leaves it."""
    left = TypedGraph(drop_identities(typed).graph, typed.types)
    return rewritten(with_holes(left), all_rules())[0].graph


def with_holes(typed: TypedGraph) -> ForeignGraph:
    """A graph with zeros as its arrays, which take no memory."""
    holes = {name: np.broadcast_to(np.float32(0), decl.shape) for name, decl in typed.params().items()}
    return ForeignGraph(typed, holes)


def digests(typed: TypedGraph, in_any_order: Collection[str] = ()) -> dict[str, str]:
    """A digest for each value: of its op, without what is of training alone, and of the digests of what it
    reads. Equal digests are computed alike from inputs of equal shapes at equal places.

    in_any_order: kinds of ops that may read their values in another order.
    """
    found = {name: f"{place}:{type_}" for place, (name, type_) in enumerate(typed.inputs.items())}
    for node in typed.nodes:
        left_out = OF_TRAINING | _OF_STORAGE.get(node.op.kind, frozenset())
        attributes = [(k, v) for k, v in node.op.attributes().items() if k not in left_out]
        # Of its input a free parameter takes the batch alone.
        read = [] if isinstance(node.op, FreeParameter) else [found[value] for value in node.inputs]
        if node.op.kind in in_any_order:
            read.sort()
        text = repr((node.op.kind, attributes, read))
        found[node.name] = sha256(text.encode()).hexdigest()
    return found


def is_same(one: TypedGraph, other: TypedGraph, in_any_order: Collection[str] = ()) -> bool:
    """True if two graphs, both as `comparable` gives them, compute the same outputs in order by the same
    ops, whether channels are first or last between permutes, and have as many parameters of each shape.

    in_any_order: kinds of ops that may read their values in another order.
    """
    one, other = (infer(keep_channels_first(graph, frozenset()).graph) for graph in (one, other))
    if len(one.nodes) != len(other.nodes) or len(one.outputs) != len(other.outputs):
        return False
    shapes = [
        Counter(tuple(n for n in decl.shape if n != 1) for decl in graph.params().values())
        for graph in (one, other)
    ]
    if shapes[0] != shapes[1]:
        return False
    found = [digests(graph, in_any_order) for graph in (one, other)]
    ends = [[d[v] for v in g.outputs.values()] for d, g in zip(found, (one, other), strict=True)]
    return ends[0] == ends[1] and Counter(found[0].values()) == Counter(found[1].values())
