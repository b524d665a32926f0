"""The network of the zoo that a graph is, whole or with its batch norms folded away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from archforge.analysis.counts import count
from archforge.errors import DiagnosticError
from archforge.interchange.same_graph import comparable, is_same
from archforge.ir import TypedGraph, infer
from archforge.passes.fold_batch_norm import fold_batch_norm
from archforge.resources import zoo_folder
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.resolve.sources import open_spec
from archforge.spec.resolve.spec import Spec

__all__ = ["ZooMatch", "zoo_matches"]

# Exporters that fold batch norms leave at least this share of the parameters, in every network of the zoo.
LEAST_LEFT = 0.9


class ZooMatch(NamedTuple):
    """A profile of a network, and how many of its batch norms the graph has folded into convolutions."""

    network: str
    profile: str
    folded: int


def zoo_matches(typed: TypedGraph) -> Iterator[ZooMatch]:
    """Every profile whose graph, on inputs of these shapes, is `typed` node by node but for what does nothing
    at inference; those with batch norms folded where the graph has none."""
    wanted, layers = comparable(typed), _layers(typed)
    params = count(typed).params
    has_norms = any(node.op.kind == "bn" for node in wanted.nodes)
    library = Library()
    for path in spec_files(zoo_folder()):
        spec = open_spec(path, library)
        if spec.header.kind == "network":
            for profile in _near(spec, params):
                graph = _at_inputs(spec, profile, typed)
                if graph is None or _layers(graph) != layers:
                    continue
                if is_same(comparable(graph), wanted):
                    yield ZooMatch(spec.name, profile, 0)
                elif not has_norms:
                    folded = infer(fold_batch_norm(graph, frozenset()).graph)
                    if is_same(comparable(folded), wanted):
                        norms = sum(node.op.kind == "bn" for node in graph.nodes)
                        yield ZooMatch(spec.name, profile, norms)


def _layers(typed: TypedGraph) -> Counter[tuple[int, ...]]:
    """The shapes of kernels and matrices, which no normaliser changes, with how often each is there."""
    shapes = (decl.shape for decl in typed.params().values())
    # A layer scale's factors may be stored with further axes of extent 1.
    return Counter(shape for shape in shapes if any(extent != 1 for extent in shape[1:]))


def _near(spec: Spec, params: int) -> Iterator[str]:
    """The profiles whose documented parameters the graph may have, all of them or without its norms'. One
    without a figure may be any."""
    entries = spec.expect.entries if spec.expect else {}
    for profile in spec.profile_names:
        cells = entries[profile].value.plain() if profile in entries else {}
        said = cells.get("params") if isinstance(cells, dict) else None
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
