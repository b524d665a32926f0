"""The profile of a spec that given weights belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from archforge.analysis.network import Network
from archforge.errors import Diagnostic, DiagnosticError, fail, listed
from archforge.ir import shape_text
from archforge.passes import optimise
from archforge.spec.expand.expand import expand
from archforge.spec.resolve.sources import settings_of
from archforge.weights.bind import COUNTER, bind, shape_of
from archforge.weights.given import copies, copies_diagnostic, prefix_diagnostic, prefixes, shard_diagnostic

__all__ = ["equal_wiring", "fitting", "with_setting"]


# A profile nearly fits if at most one in so many names and shapes of its parameters differs.
NEARLY = 8


def fitting(networks: Sequence[Network], given: Mapping[str, Any]) -> Network:
    """The one of a spec's networks whose parameters have the names and shapes of `given`.

    Networks that compute the same from the same weights are one. Raises E0606 for none, with all that
    differs from the one that nearly fits, else with the first difference to each, or for several; E0602 for
    names that all have a prefix.
    """
    fits: list[Network] = []
    misfits: dict[str, list[str]] = {}
    for network in networks:
        misfit = _misfits(network, given)
        if misfit:
            misfits[network.profile] = misfit
        elif not any(equal_wiring(network, other) for other in fits):
            fits.append(network)
    if len(fits) == 1:
        return fits[0]
    name = networks[0].name
    if fits:
        names = ", ".join(f"`{n.profile}`" for n in fits)
        fail("E0606", f"the weights fit several profiles of {name}: {names}", help="name one with `profile`")
    if shard := shard_diagnostic(given):
        raise DiagnosticError((shard,))
    for network in networks:
        if found := prefixes(network.params, given):
            raise DiagnosticError((prefix_diagnostic(found),))
        if found := copies(network.params, given):
            raise DiagnosticError((copies_diagnostic(found),))
    nearest = min(networks, key=lambda n: len(misfits[n.profile]))
    if len(misfits[nearest.profile]) * NEARLY <= max(len(nearest.params), NEARLY):
        _refuse_nearly(nearest, given)
    told = [f"{profile}: {wrong[0]}" for profile, wrong in misfits.items()]
    fail("E0606", f"the weights fit no profile of {name}: {listed(told, between='; ')}")


def _refuse_nearly(network: Network, given: Mapping[str, Any]) -> NoReturn:
    """Raise E0606 for the profile that nearly fits, and what its own weights would be refused for."""
    message = f"the weights fit no profile of {network.name}; this keeps them from `{network.profile}`"
    found = [Diagnostic("E0606", message)]
    try:
        bind(network.params, given)
    except DiagnosticError as error:
        found += with_setting(network, given, error.diagnostics)
    raise DiagnosticError(tuple(found))


def _misfits(network: Network, given: Mapping[str, Any]) -> list[str]:
    """The entries that differ, in words; none if all fit."""
    found, params = [], network.params
    for name, decl in params.items():
        if name not in given:
            found.append(f"`{name}` is not in the weights")
        elif (shape := shape_of(given[name])) != decl.shape:
            found.append(f"`{name}` is {shape_text(shape)} in the weights, {shape_text(decl.shape)} here")
    extra = [n for n in given if n not in params and not n.endswith(COUNTER)]
    return [*found, *(f"the weights hold `{name}` besides" for name in extra)]


def with_setting(
    network: Network, given: Mapping[str, Any], found: Sequence[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """The diagnostics of weights that do not fit; the first says which value of an argument makes them fit,
    if one does: that of the classes, where only the head differs."""
    setting = _setting_that_fits(network, given)
    if not setting:
        return tuple(found)
    help = f"they fit with --set {setting}; in Python, {setting}"
    first = next((i for i, d in enumerate(found) if d.code == "E0604"), 0)
    return tuple(replace(d, help=help) if i == first else d for i, d in enumerate(found))


def _setting_that_fits(network: Network, given: Mapping[str, Any]) -> str:
    """The argument and value, `classes=2`, with which a network has parameters of the given shapes; empty
    if there is none."""
    expansion = network.expansion
    shapes = {name: decl.shape for name, decl in network.params.items()}
    if not all(name in given for name in shapes):
        return ""
    apart = [(s, t) for name, s in shapes.items() if (t := shape_of(given[name])) != s]
    for now, then in dict.fromkeys((s[0], t[0]) for s, t in apart if s and t and s[1:] == t[1:]):
        for name, value in expansion.args.items():
            if type(value) is not int or value != now:
                continue
            settings = {**expansion.settings, **settings_of({name: then})}
            with suppress(DiagnosticError):
                graph = expand(network.spec, network.profile, settings, expansion.input_shape).graph
                if all(shape_of(given[n]) == d.shape for n, d in graph.params().items() if n in given):
                    return f"{name}={then}"
    return ""


def equal_wiring(network: Network, other: Network) -> bool:
    """True for networks that compute the same from the same weights."""
    return _wiring(network) == _wiring(other)


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
