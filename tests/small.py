"""The zoo's networks on small inputs, on which every law about running them is tested."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache, lru_cache

import pytest

from archforge.analysis.counts import count
from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.spec.expand.expand import expand
from archforge.weights import rule_weights
from tests.zoo import networks

__all__ = ["AMPLIFYING", "each_network", "small_network", "small_weights"]

SMALLEST = 33  # odd, and large enough for borders, padding and rounding to show
# Those first that networks of many halvings take; others take every image from some size on.
LIKELY = (SMALLEST, 48, 63)
MANY_PARAMS, MANY_NODES, MANY_MACS = 50_000_000, 1_000, 5_000_000_000
VIDEO = 4  # axes of an input of several frames, whose networks take seconds at any size

# Networks whose outputs, under the weights by rule, move far more than their inputs are moved, and how far
# roundings of float64 may take them, in standard deviations of a value. StarNet multiplies two branches of
# equal origin in each block, which adds up what both are apart: the last bit of each input alone moves the
# output of S1 by 2.8e-9, of S3 by 3.6e-10 and of S4 by 1.1e-7 on the reference kernels (`test_small.py`).
# These are some 20 times that, since each layer rounds, and not the inputs only.
AMPLIFYING = {"starnet_s1": 5e-8, "starnet_s3": 7e-9, "starnet_s4": 2e-6}


@lru_cache(maxsize=2)  # `conftest.py` runs what is held of one network after another
def small_network(name: str, profile: str) -> TypedGraph:
    """The network at an image of few pixels, or at such frames of a video; whole if its inputs are something
    else."""
    return _at(name, profile, _side(name, profile))


@lru_cache(maxsize=2)
def small_weights(name: str, profile: str) -> dict[str, Array]:
    """The weights by rule of `small_network`. Nobody writes to them: others are given the same."""
    weights = rule_weights(small_network(name, profile).params())
    for array in weights.values():
        array.setflags(write=False)
    return weights


def _at(name: str, profile: str, side: int | None) -> TypedGraph:
    """The network at images with that many pixels a side, else at its own input. Raises DiagnosticError for
    an image that it cannot take."""
    spec = networks()[name]
    if side is None:
        return expand(spec, profile).graph
    (first,) = expand(spec, profile).graph.inputs.values()
    return expand(spec, profile, input_shape=(*first.shape[:-2], side, side)).graph


@cache
def _side(name: str, profile: str) -> int | None:
    """Pixels a side of a small image that the network can take; None if its inputs are something else than
    one image or video, or are small already."""
    first, *others = _at(name, profile, None).inputs.values()
    if others or len(first.shape) not in (3, VIDEO) or min(first.shape[-2:]) <= SMALLEST:
        return None
    sides = range(SMALLEST, min(first.shape[-2:]))
    for side in LIKELY:
        if side in sides and _takes(name, profile, side):
            return side
    found = bisect_left(sides, True, key=lambda side: _takes(name, profile, side))
    return sides[found] if found < len(sides) else None


def _takes(name: str, profile: str, side: int) -> bool:
    try:
        _at(name, profile, side)
    except DiagnosticError:
        return False
    return True


def _is_quick(name: str, profile: str) -> bool:
    """True for the first profile of each network that does not take seconds: those of a quick run."""
    if profile != networks()[name].profile_names[0]:
        return False
    graph = _at(name, profile, None)
    if any(len(x.shape) == VIDEO for x in graph.inputs.values()):
        return False
    if len(graph.nodes) >= MANY_NODES or sum(d.size for d in graph.params().values()) >= MANY_PARAMS:
        return False
    return count(graph).macs < MANY_MACS or count(small_network(name, profile)).macs < MANY_MACS


def _cases() -> list[object]:
    return [
        pytest.param(name, profile, marks=[] if _is_quick(name, profile) else [pytest.mark.slow])
        for name, spec in networks().items()
        for profile in spec.profile_names
    ]


each_network = pytest.mark.parametrize(("name", "profile"), _cases())
