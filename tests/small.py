"""The zoo's networks on small inputs, on which every law about running them is tested."""

from __future__ import annotations

from itertools import count

import pytest

from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.spec.expand import expand
from tests.zoo import networks

__all__ = ["each_network", "small_network"]

SMALLEST = 33  # odd, and large enough for borders, padding and rounding to show


def _cases() -> list[object]:
    """Every profile of every network; in a quick run only the default ones."""
    return [
        pytest.param(name, profile, marks=[pytest.mark.slow] if rank else [], id=f"{name}-{profile}")
        for name, spec in networks().items()
        for rank, profile in enumerate(spec.profile_names)
    ]


each_network = pytest.mark.parametrize(("name", "profile"), _cases())


def small_network(name: str, profile: str) -> TypedGraph:
    """The network at the smallest image, from 33 pixels a side, that it can take; whole if its inputs
    are something else."""
    spec = networks()[name]
    whole = expand(spec, profile).graph
    (first, *others) = whole.graph.inputs.values()
    if others or len(first.shape) != 3:
        return whole
    for side in count(SMALLEST):
        if side >= min(first.spatial):
            return whole
        try:
            return expand(spec, profile, input_shape=(first.channels, side, side)).graph
        except DiagnosticError:
            continue
    raise AssertionError
