"""Backends whose kernels are ours compute what the reference does, whatever the geometry, and whatever part
of planning is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from archforge.backends import available, get
from archforge.ir import TypedGraph
from archforge.plan import SWITCHES, GraphCompiler, load, plan
from tests.deviation import deviation
from tests.graphs import GRAPHS, WEIGHTS, graph, inputs_of, node
from tests.kernels import TOLERANCE, convolutions, pools

each_backend = pytest.mark.parametrize(
    "backend", [name for name in ("numba", "numpy") if name in available()]
)


@each_backend
@given(case=convolutions())
@settings(max_examples=80)
def test_convolutions_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int], backend: str) -> None:
    distance, planned = deviation(*case, backend=backend, without=("winograd",))
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


@each_backend
@pytest.mark.parametrize("kernel", [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["same_upper", 1, ((0, 0), (0, 2))], ids=str)
def test_convolutions_that_are_pointwise_or_nearly_equal_the_reference(
    padding: Any, stride: int, kernel: tuple[int, int], backend: str
) -> None:
    conv = node("conv", "conv", "input", out=5, kernel=kernel, padding=padding, stride=stride)
    distance, planned = deviation(graph(conv, inputs={"input": (7, 6, 5)}), 2, backend=backend)
    assert distance < TOLERANCE
    assert not planned.fallbacks


@each_backend
@given(case=pools())
@settings(max_examples=40)
def test_pools_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int], backend: str) -> None:
    distance, planned = deviation(*case, backend=backend)
    assert distance < TOLERANCE
    assert not planned.fallbacks


@each_backend
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("features", "out"), [(1, 1), (7, 40), (64, 16), (100, 1000)])
def test_linear_layers_equal_the_reference(features: int, out: int, batch: int, backend: str) -> None:
    typed = graph(
        node("fc", "linear", "input", out=out), node("relu", "relu", "fc"), inputs={"input": (features,)}
    )
    distance, planned = deviation(typed, batch, backend=backend)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("switch", ["", *SWITCHES])
@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_stay_whatever_part_of_planning_is_left_out(name: str, switch: str, backend: str) -> None:
    typed, weights = GRAPHS[name], WEIGHTS[name]
    run = load(GraphCompiler(get(backend), without=frozenset({switch} - {""})).plan(typed), weights)
    expected = load(plan(typed, get("numpy"), "float64"), weights)
    inputs = inputs_of(typed, batch=2)
    for key, y in expected.run(inputs).outputs.items():
        np.testing.assert_allclose(run.run(inputs).outputs[key], y, rtol=0, atol=2 * TOLERANCE * y.std())
