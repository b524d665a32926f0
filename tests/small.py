"""The zoo's networks on small inputs, on which every law about running them is tested."""

from __future__ import annotations

from contextlib import suppress

import pytest

from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.spec.expand.expand import expand
from tests.zoo import networks

__all__ = ["AMPLIFYING", "each_network", "small_network"]

SMALLEST = 33  # odd, and large enough for borders, padding and rounding to show
MANY_PARAMS, MANY_NODES = 50_000_000, 1_000
VIDEO = 4  # axes of an input of several frames, whose networks take seconds at any size

# Networks whose outputs, under the weights by rule, move far more than their inputs are moved, and how far
# roundings of float64 may take them, in standard deviations of a value. StarNet multiplies two branches of
# equal origin in each block, which adds up what both are apart: the last bit of each input alone moves the
# output of S1 by 2.8e-9, of S3 by 3.6e-10 and of S4 by 1.1e-7 on the reference kernels (`test_small.py`).
# These are some 20 times that, since each layer rounds, and not the inputs only.
AMPLIFYING = {"starnet_s1": 5e-8, "starnet_s3": 7e-9, "starnet_s4": 2e-6}


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
