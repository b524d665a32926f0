"""The profile of a spec that given weights belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archforge.analysis.network import Network
from archforge.errors import DiagnosticError, fail
from archforge.ir import shape_text
from archforge.passes import optimise
from archforge.weights.bind import COUNTER, shape_of
from archforge.weights.given import prefix_diagnostic, prefixes

__all__ = ["fitting"]


def fitting(networks: Sequence[Network], given: Mapping[str, Any]) -> Network:
    """The one of a spec's networks whose parameters have the names and shapes of `given`.

    Networks that compute the same from the same weights are one. Raises E0606 for none, with the
    first difference to each, or several; E0602 for names that all have a prefix.
    """
    fits: list[Network] = []
    misfits: list[str] = []
    for network in networks:
        misfit = _first_misfit(network, given)
        if misfit:
            misfits.append(f"{network.profile}: {misfit}")
        elif not any(_wiring(network) == _wiring(other) for other in fits):
            fits.append(network)
    if len(fits) == 1:
        return fits[0]
    name = networks[0].name
    if fits:
        names = ", ".join(f"`{n.profile}`" for n in fits)
        fail("E0606", f"the weights fit several profiles of {name}: {names}", help="name one with `profile`")
    for network in networks:
        if found := prefixes(network.params, given):
            raise DiagnosticError((prefix_diagnostic(found),))
    fail("E0606", f"the weights fit no profile of {name}: {'; '.join(misfits)}")


def _first_misfit(network: Network, given: Mapping[str, Any]) -> str:
    """The first entry that differs, in words; empty if all fit."""
    for name, decl in network.params.items():
        if name not in given:
            return f"`{name}` is not in the weights"
        shape = shape_of(given[name])
        if shape != decl.shape:
            return f"`{name}` is {shape_text(shape)} in the weights, {shape_text(decl.shape)} here"
    extra = next((n for n in given if n not in network.params and not n.endswith(COUNTER)), None)
    return f"the weights hold `{extra}` besides" if extra else ""


def _wiring(network: Network) -> list[tuple[Any, ...]]:
    """Each op that does something, its parameters' scope and where its inputs come from."""
    graph = optimise(network.graph, without=("fold_batch_norm",)).graph
    place = {name: i for i, name in enumerate([*graph.inputs, *(n.name for n in graph.nodes)])}
    owned = {name.rpartition(".")[0] for name in network.params}
    steps: list[tuple[Any, ...]] = [
        (node.op, node.params_of if node.params_of in owned else "", *(place[v] for v in node.inputs))
        for node in graph.nodes
    ]
    return [*steps, tuple(place[v] for v in graph.outputs.values())]
