"""The zoo's networks on small inputs, on which every law about running them is tested."""

from __future__ import annotations

from contextlib import suppress

import pytest

from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.spec.expand.expand import expand
from tests.zoo import networks

__all__ = ["each_network", "small_network"]

SMALLEST = 33  # odd, and large enough for borders, padding and rounding to show
MANY_PARAMS, MANY_NODES = 50_000_000, 1_000
VIDEO = 4  # axes of an input of several frames, whose networks take seconds at any size


def small_network(name: str, profile: str) -> TypedGraph:
    """The network at the smallest image, from 33 pixels a side, that it can take, or at as small frames of a
    video; whole if its inputs are something else."""
    spec = networks()[name]
    whole = expand(spec, profile).graph
    (first, *others) = whole.inputs.values()
    if others or len(first.shape) not in (3, VIDEO):
        return whole
    for side in range(SMALLEST, min(first.shape[-2:])):
        with suppress(DiagnosticError):
            return expand(spec, profile, input_shape=(*first.shape[:-2], side, side)).graph
    return whole


def _is_quick(name: str, profile: str) -> bool:
    """True for the first profile of each network that does not take seconds: those of a quick run."""
    if profile != networks()[name].profile_names[0]:
        return False
    graph = expand(networks()[name], profile).graph
    if any(len(x.shape) == VIDEO for x in graph.inputs.values()):
        return False
    return len(graph.nodes) < MANY_NODES and sum(d.size for d in graph.params().values()) < MANY_PARAMS


def _cases() -> list[object]:
    return [
        pytest.param(name, profile, marks=[] if _is_quick(name, profile) else [pytest.mark.slow])
        for name, spec in networks().items()
        for profile in spec.profile_names
    ]


each_network = pytest.mark.parametrize(("name", "profile"), _cases())
