"""Bfloat16 on the numba backend: products of numbers that it holds are exact, others are rounded once, and
machines without it say so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings

import archforge
from archforge.backends import available, get
from archforge.data.stored_arrays import narrowed, widened
from archforge.ir import TensorType, TypedGraph
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.plan import load, plan
from archforge.weights import rule_weights
from tests.deviation import deviation
from tests.graphs import graph, node
from tests.kernels import TOLERANCE, convolutions, transposed

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
cost = pytest.importorskip("archforge.backends.numba.families.winograd_cost")
needs_bfloat16 = pytest.mark.skipif(
    "numba" not in available() or "bfloat16" not in get("numba").dtypes, reason="this CPU lacks avx512_bf16"
)

lowerings = pytest.importorskip("archforge.backends.numba.lowerings")


@pytest.fixture(autouse=True, scope="module")
def _layers_of_any_size() -> Iterator[None]:
    """Layers of few weights, as most here are, would stay in float32."""
    with mock.patch.object(lowerings, "FEW_WEIGHTS", 0):
        yield


ROUNDING = 2.0**-8  # the most that a number loses, as a part of it
DEEP = graph(
    node("wide", "conv", "input", out=48, kernel=3, padding=1),
    node("relu", "relu", "wide"),
    node("depth", "conv", "relu", out=48, kernel=3, groups=48),
    node("narrow", "conv", "depth", out=20, kernel=1),
    node("pool", "global_avg_pool", "narrow"),
    node("flat", "flatten", "pool"),
    node("fc", "linear", "flat", out=10),
    inputs={"input": (24, 12, 12)},
)


# Products -----------------------------------------------------------------------------------------------


@needs_bfloat16
@given(case=convolutions())
@settings(max_examples=40)
def test_convolutions_of_any_geometry_sum_exact_products(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case, dtype="bfloat16", without=("winograd",))
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


@needs_bfloat16
@given(case=transposed())
@settings(max_examples=25)
def test_transposed_convolutions_of_any_geometry_sum_exact_products(case: tuple[TypedGraph, int]) -> None:
    assert deviation(*case, dtype="bfloat16")[0] < TOLERANCE


@needs_bfloat16
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("features", "out"), [(1, 1), (7, 40), (64, 16), (100, 1000)])
def test_linear_layers_sum_exact_products(features: int, out: int, batch: int) -> None:
    typed = graph(node("fc", "linear", "input", out=out), inputs={"input": (features,)})
    assert deviation(typed, batch, dtype="bfloat16")[0] < TOLERANCE


@needs_bfloat16
@pytest.mark.parametrize("kind", ["linear", "relu"])
def test_what_products_read_is_rounded_and_nothing_else(kind: str) -> None:
    layer: dict[str, Any] = {"out": 32, "bias": False} if kind == "linear" else {}
    typed = graph(node("y", kind, "input", **layer), inputs={"input": (32,)})
    x = np.float32(1 + 2.0**-20) * np.linspace(1, 2, 32, dtype=np.float32).reshape(1, 32)
    found = load(plan(typed, get("numba"), "bfloat16"), {n: np.eye(32) for n in typed.params()})(x)
    np.testing.assert_array_equal(found, widened(narrowed(x)) if kind == "linear" else x)


@needs_bfloat16
def test_a_network_stays_within_the_rounding_of_its_layers() -> None:
    weights = rule_weights(DEEP.params())
    x = np.random.default_rng(0).standard_normal((2, 24, 12, 12)).astype(np.float32)
    low, high = (load(plan(DEEP, get("numba"), d), weights)(x) for d in ("bfloat16", "float32"))
    off = np.abs(low - high).max() / high.std()
    assert 0 < off < 4 * ROUNDING


@needs_bfloat16
def test_weights_take_half_the_memory() -> None:
    typed = graph(node("conv", "conv", "input", out=32, bias=False), inputs={"input": (64, 6, 6)})
    run = load(plan(typed, get("numba"), "bfloat16"), rule_weights(typed.params()))
    assert run.params[0]["weight"].nbytes == 64 * 32 * 2


@needs_bfloat16
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("spoilt", ["input", "conv.weight"])
def test_what_is_not_finite_is_not_lost(spoilt: str, number: float) -> None:
    typed = graph(node("conv", "conv", "input", out=32, kernel=1), inputs={"input": (32, 3, 3)})
    arrays = {name: np.array(a, np.float32) for name, a in rule_weights(typed.params()).items()}
    x = np.ones((2, 32, 3, 3), np.float32)
    (x if spoilt == "input" else arrays[spoilt]).flat[0] = number
    y = load(plan(typed, get("numba"), "bfloat16"), arrays)(x)
    assert not np.isfinite(y[0, :, 0, 0] if spoilt == "input" else y[:, 0]).any()
    assert np.isfinite(y[1] if spoilt == "input" else y[:, 1:]).all()


@needs_bfloat16
@pytest.mark.parametrize(("out", "is_rounded"), [(128, False), (129, True)])
def test_layers_of_few_weights_stay_in_float32(out: int, is_rounded: bool) -> None:
    typed = graph(node("conv", "conv", "input", out=out, kernel=1), inputs={"input": (64, 5, 5)})
    weights, x = rule_weights(typed.params()), np.full((1, 64, 5, 5), 1.001, np.float32)
    with mock.patch.object(lowerings, "FEW_WEIGHTS", 128 * 64):
        low, high = (load(plan(typed, get("numba"), d), weights)(x) for d in ("bfloat16", "float32"))
    assert (low != high).any() == is_rounded


def test_the_cost_model_knows_that_direct_products_are_faster() -> None:
    conv = Conv(out=512, kernel=3, padding=1)
    for size, takes_winograd in ((28, True), (7, False)):
        x = TensorType((512, size, size))
        assert cost.expected_form(conv, x)
        assert bool(cost.expected_form(conv, x, bfloat16=True)) == takes_winograd


# Rounding -----------------------------------------------------------------------------------------------


def neighbours(x: Array) -> Array:
    """The two numbers of bfloat16 around each number, the nearer to 0 first."""
    low: Any = (x.view(np.uint32) >> 16).astype(np.uint16)
    return np.stack([widened(low), widened(low + np.uint16(1))])


def test_numbers_are_rounded_to_the_nearest_of_two_the_even_one() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << 32, 20_000, dtype=np.uint32)
    ties = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x8000)
    x = np.concatenate([bits, ties]).view(np.float32)
    x = x[np.abs(x) < 3e38].astype(np.float32)
    found = widened(narrowed(x))
    near = neighbours(x).astype(np.float64)
    error = np.abs(near - x)
    nearest = np.where(error[0] < error[1], near[0], near[1])
    is_even = narrowed(x) % 2 == 0
    tie = error[0] == error[1]
    np.testing.assert_array_equal(found[~tie], nearest[~tie])
    assert is_even[tie].all()
    assert tie.any()


def test_numbers_that_are_not_finite_stay() -> None:
    x = np.array([np.inf, -np.inf, np.nan, -np.nan], np.float32)
    every = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    np.testing.assert_array_equal(widened(narrowed(x)), x)
    assert np.isnan(widened(narrowed(every))).all()
    assert widened(narrowed(np.array([3.4e38], np.float32)))[0] == np.inf  # as the hardware rounds it


# Refusal ------------------------------------------------------------------------------------------------


def test_nothing_trains_in_it() -> None:
    with pytest.raises(archforge.DiagnosticError, match="E0703: nothing trains in bfloat16"):
        archforge.train("lenet_5", dtype="bfloat16")
