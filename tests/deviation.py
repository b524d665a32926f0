"""Deviation of a backend from the reference in float64 on random numbers."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from archforge.backends import get
from archforge.data.stored_arrays import narrowed, widened
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.plan import Plan, load, plan

__all__ = ["deviation"]


def deviation(
    typed: TypedGraph,
    batch: int,
    *,
    backend: str = "numba",
    dtype: str = "float32",
    without: Collection[str] = (),
    seed: int = 0,
) -> tuple[float, Plan]:
    """The largest difference, for values of about 1, over all outputs, and the plan. All weights and inputs
    are numbers of `dtype`, so that bfloat16 rounds none where it is all that a layer multiplies."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {
        name: rng.uniform(0.5, 1.5, d.shape)
        if d.role == "buffer"
        else rng.standard_normal(d.shape) / math.sqrt(math.prod(d.shape[1:]))
        for name, d in typed.params().items()
    }
    inputs: dict[str, Array] = {n: rng.standard_normal((batch, *t.shape)) for n, t in typed.inputs.items()}
    if dtype == "bfloat16":
        weights, inputs = (
            {name: _rounded(array) for name, array in arrays.items()} for arrays in (weights, inputs)
        )
    expected = load(plan(typed, get("numpy"), "float64"), weights).run(inputs).outputs
    planned = plan(typed, get(backend), dtype, without=without)
    found = load(planned, weights).run(inputs).outputs
    assert {name: y.shape for name, y in found.items()} == {name: y.shape for name, y in expected.items()}
    return max(float(np.abs(found[name] - y).max()) for name, y in expected.items()), planned


def _rounded(array: Array) -> Array:
    """The nearest bfloat16 to each number."""
    return widened(narrowed(np.asarray(array, np.float32)))
