"""The network of the zoo that a graph is, whole or with its batch norms folded away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from archforge.analysis.counts import count
from archforge.errors import DiagnosticError
from archforge.interchange.same_graph import comparable, is_same
from archforge.interchange.zoo_networks import documented_params
from archforge.ir import TypedGraph, infer
from archforge.passes.fold_batch_norm import fold_batch_norm
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.spec import Spec

__all__ = ["ZooMatch", "zoo_matches"]

# Exporters that fold batch norms leave at least this share of the parameters, in every network of the zoo.
LEAST_LEFT = 0.9


class ZooMatch(NamedTuple):
    """A profile of a network, how many of its batch norms the graph has folded into convolutions, and the
    kinds of the ops that the graph has besides: fixed norms of inputs, a softmax of outputs."""

    network: str
    profile: str
    folded: int
    besides: tuple[str, ...] = ()


def zoo_matches(typed: TypedGraph, zoo: Iterable[Spec]) -> Iterator[ZooMatch]:
    """Every profile whose graph, on inputs of these shapes, is `typed` node by node but for what does nothing
    at inference, and for norms that nothing trains at its inputs and a softmax at its outputs; those with
    batch norms folded where the graph has none."""
    inner, besides = _without_ends(typed)
    forms = [(comparable(typed), ()), *([(comparable(inner), besides)] if besides else [])]
    layers, params = _layers(typed), count(typed).params
    for spec in zoo:
        for profile in _near(spec, params):
            graph = _at_inputs(spec, profile, typed)
            if graph is None or _layers(graph) != layers:
                continue
            for wanted, more in forms:
                folded = _folded_norms(graph, wanted)
                if folded is not None:
                    yield ZooMatch(spec.name, profile, folded, more)
                    break


def _folded_norms(graph: TypedGraph, wanted: TypedGraph) -> int | None:
    """The number of batch norms of a graph that are folded in the wanted one; None if that is another."""
    if is_same(comparable(graph), wanted):
        return 0
    if any(node.op.kind == "bn" for node in wanted.nodes):
        return None
    folded = infer(fold_batch_norm(graph, frozenset()).graph)
    same = is_same(comparable(folded), wanted)
    return sum(node.op.kind == "bn" for node in graph.nodes) if same else None


def _without_ends(typed: TypedGraph) -> tuple[TypedGraph, tuple[str, ...]]:
    """The graph without norms that nothing trains, of inputs, and without a softmax of outputs; their
    kinds."""
    passed: dict[str, str] = {}
    besides: list[str] = []
    ends = {*typed.outputs.values()}
    for node in reversed(typed.nodes):
        if node.name in ends and node.op.kind in ("flatten", "reshape"):
            ends.add(node.inputs[0])
    for node in typed.nodes:
        kind, x = node.op.kind, passed.get(node.inputs[0], node.inputs[0])
        is_fixed = kind == "scale" or (kind == "bn" and not node.op.attributes()["affine"])
        if (is_fixed and x in typed.inputs) or (kind == "softmax" and node.name in ends):
            passed[node.name] = x
            besides.append(kind)
    inner = TypedGraph(typed.graph.replace_uses(passed), typed.types)
    return inner.without_dead(), tuple(besides)


def _layers(typed: TypedGraph) -> Counter[tuple[int, ...]]:
    """The shapes of kernels and matrices, which no normaliser changes, with how often each is there."""
    shapes = (decl.shape for decl in typed.params().values())
    # A layer scale's factors may be stored with further axes of extent 1.
    return Counter(shape for shape in shapes if any(extent != 1 for extent in shape[1:]))


def _near(spec: Spec, params: int) -> Iterator[str]:
    """The profiles whose documented parameters the graph may have, all of them or without its norms'. One
    without a figure may be any."""
    for profile in spec.profile_names:
        said = documented_params(spec, profile)
        if isinstance(said, dict):  # a figure that needed words, which is near the truth
            said = said.get("documented")
            if isinstance(said, int) and said / 2 < params < said * 2:
                yield profile
        elif not isinstance(said, int) or LEAST_LEFT * said <= params <= said:
            yield profile


def _at_inputs(spec: Spec, profile: str, typed: TypedGraph) -> TypedGraph | None:
    """The graph of a profile on inputs of the same shapes, None where it takes none such."""
    shapes = [type_.shape for type_ in typed.inputs.values()]
    try:
        whole = expand(spec, profile).graph
        if [type_.shape for type_ in whole.inputs.values()] == shapes:
            return whole
        if len(shapes) != 1 or len(whole.inputs) != 1:
            return None
        return expand(spec, profile, input_shape=shapes[0]).graph
    except DiagnosticError:
        return None
