"""Deviation of a backend from the reference in float64 on random numbers."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from archforge.backends import get
from archforge.ir import TypedGraph
from archforge.plan import Plan, load, plan

__all__ = ["deviation"]


def deviation(
    typed: TypedGraph, batch: int, *, backend: str = "numba", without: Collection[str] = (), seed: int = 0
) -> tuple[float, Plan]:
    """The largest difference in float32, for values of about 1, over all outputs, and the plan."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.uniform(0.5, 1.5, d.shape)
        if d.role == "buffer"
        else rng.standard_normal(d.shape) / math.sqrt(math.prod(d.shape[1:]))
        for name, d in typed.params().items()
    }
    inputs = {n: rng.standard_normal((batch, *t.shape)) for n, t in typed.inputs.items()}
    expected = load(plan(typed, get("numpy"), "float64"), weights).run(inputs).outputs
    planned = plan(typed, get(backend), "float32", without=without)
    found = load(planned, weights).run(inputs).outputs
    assert {name: y.shape for name, y in found.items()} == {name: y.shape for name, y in expected.items()}
    return max(float(np.abs(found[name] - y).max()) for name, y in expected.items()), planned
