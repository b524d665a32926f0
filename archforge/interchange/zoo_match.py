"""The network of the zoo that a graph is, whole or with its batch norms folded away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from archforge.analysis.counts import count
from archforge.errors import DiagnosticError
from archforge.interchange.same_graph import comparable, is_same
from archforge.interchange.zoo_forms import in_one_form
from archforge.interchange.zoo_networks import documented_params
from archforge.ir import TypedGraph, infer
from archforge.passes.fold_batch_norm import fold_batch_norm
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.spec import Spec

__all__ = ["ZooMatch", "zoo_matches"]

# Exporters that fold batch norms leave at least this share of the parameters, in every network of the zoo.
LEAST_LEFT = 0.9
SYMMETRIC = ("add", "maximum", "multiply")  # of which exporters write the values in either order


class ZooMatch(NamedTuple):
    """A profile of a network, how many of its batch norms the graph has folded into convolutions, the kinds
    of the ops that the graph has besides, fixed norms of inputs and a softmax of outputs, and the network's
    last outputs that the graph is without, such as those of heads that help to train."""

    network: str
    profile: str
    folded: int
    besides: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def zoo_matches(typed: TypedGraph, zoo: Iterable[Spec]) -> Iterator[ZooMatch]:
    """Every profile whose graph, on inputs of these shapes, is `typed` node by node but for what does nothing
    at inference, for norms that nothing trains at its inputs and a softmax at its outputs, for batch norms
    that it has folded, and for the last of several outputs with all that they alone need."""
    inner, besides = _without_ends(typed)
    forms = [(typed, ()), *([(inner, besides)] if besides else [])]
    forms = [(in_one_form(comparable(graph)), more) for graph, more in forms]
    layers, params = _layers(typed), count(typed).params
    for spec in zoo:
        for profile in _near(spec, params):
            whole = _at_inputs(spec, profile, typed)
            graph = None if whole is None else _with_outputs(whole, len(typed.outputs))
            if whole is None or graph is None or _layers(graph) != layers:
                continue
            for wanted, more in forms:
                folded = _folded_norms(graph, wanted)
                if folded is not None:
                    without = tuple(whole.outputs)[len(graph.outputs) :]
                    yield ZooMatch(spec.name, profile, folded, more, without)
                    break


def _with_outputs(typed: TypedGraph, number: int) -> TypedGraph | None:
    """The graph with its first outputs alone; None if it has fewer."""
    if number >= len(typed.outputs):
        return typed if number == len(typed.outputs) else None
    outputs = dict(islice(typed.outputs.items(), number))
    return TypedGraph(replace(typed.graph, outputs=outputs), typed.types).without_dead()


def _folded_norms(graph: TypedGraph, wanted: TypedGraph) -> int | None:
    """The number of batch norms of a graph that are folded in the wanted one; None if that is another."""
    if _is_alike(graph, wanted):
        return 0
    folded = infer(fold_batch_norm(graph, frozenset()).graph)
    norms = _norms(graph) - _norms(wanted)
    return norms if norms > 0 and _is_alike(folded, wanted) else None


def _is_alike(graph: TypedGraph, wanted: TypedGraph) -> bool:
    return is_same(in_one_form(comparable(graph)), wanted, in_any_order=SYMMETRIC)


def _norms(typed: TypedGraph) -> int:
    return sum(node.op.kind == "bn" for node in typed.nodes)


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
    """The shapes of kernels, which no normaliser changes as it does matrices, with how often each is there;
    without axes of extent 1, which some formats store."""
    shapes = (tuple(n for n in decl.shape if n != 1) for decl in typed.params().values())
    return Counter(shape for shape in shapes if len(shape) > 2)


def _near(spec: Spec, params: int) -> Iterator[str]:
    """The profiles whose documented parameters the graph may have, all of them, without its norms' or, where
    a network has several outputs, without those of some outputs. One without a figure may be any."""
    least = 0.0 if len(spec.outputs) > 1 else LEAST_LEFT
    for profile in spec.profile_names:
        said = documented_params(spec, profile)
        if isinstance(said, dict):  # a figure that needed words, which is near the truth
            said = said.get("documented")
            if isinstance(said, int) and said / 2 < params < said * 2:
                yield profile
        elif not isinstance(said, int) or least * said <= params <= said:
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
