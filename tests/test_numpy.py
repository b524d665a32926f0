"""Particulars of NumPy in float32: bands, Winograd, and where values lie."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings

from archforge.backends import get
from archforge.backends.numpy import winograd
from archforge.backends.numpy.call_memory import ArenaLayout, Scratch
from archforge.backends.numpy.lowerings import MOVING
from archforge.ir import TensorType, TypedGraph
from archforge.ops.conv import Conv
from archforge.plan import kinds_on_reference, load, plan
from tests.deviation import deviation
from tests.graphs import GRAPHS, WEIGHTS, graph, inputs_of, node
from tests.kernels import TOLERANCE, WINOGRAD_TOLERANCE, convolutions, pools, tiled
from tests.op_examples import EXAMPLES, OpExample

FOLDER = "archforge.backends.numpy"


@pytest.mark.parametrize("rows", [1, 4])
@given(case=convolutions() | pools())
@settings(max_examples=40)
def test_bands_of_any_height_compute_the_same(rows: int, case: tuple[TypedGraph, int]) -> None:
    with (
        mock.patch(f"{FOLDER}.bands.rows_within", return_value=rows),
        mock.patch(f"{FOLDER}.channel_windows.LONG", 8 * rows),  # several stretches of narrow maps
    ):
        assert deviation(*case, backend="numpy", without=("winograd",))[0] < TOLERANCE


@pytest.mark.parametrize("rows", [1, 7])
@given(case=tiled())
@settings(max_examples=40)
def test_winograd_equals_the_reference_whether_it_pays_or_not(
    rows: int, case: tuple[TypedGraph, int]
) -> None:
    with (
        mock.patch(f"{FOLDER}.winograd.pays", winograd.can_take),
        mock.patch(f"{FOLDER}.bands.rows_within", return_value=rows),
    ):
        assert deviation(*case, backend="numpy")[0] < WINOGRAD_TOLERANCE


def test_winograd_is_taken_for_large_maps_alone() -> None:
    conv = Conv(out=512, kernel=3, padding=1)
    assert winograd.pays(conv, TensorType((512, 28, 28)))
    assert not winograd.pays(conv, TensorType((512, 7, 7)))
    assert not winograd.pays(conv, TensorType((512, 1, 64)))
    assert not winograd.pays(conv, TensorType((3, 28, 28)))
    assert not winograd.pays(Conv(out=512, kernel=3, stride=2, padding=1), TensorType((512, 28, 28)))
    assert not winograd.pays(Conv(out=512, kernel=3, padding=1, groups=2), TensorType((512, 28, 28)))


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 5, 7), -1), ((40, 5, 7), -1), ((35, 6), -1), ((5, 4, 3), 0)]
)
def test_linear_layers_over_maps_of_any_width_equal_the_reference(
    shape: tuple[int, ...], axis: int, rows: int
) -> None:
    typed = graph(
        node("wide", "linear", "input", out=6, axis=axis),
        node("gelu", "gelu", "wide"),
        node("narrow", "linear", "gelu", out=4, axis=axis, bias=False),
        node("sum", "add", "narrow", "narrow"),
        inputs={"input": shape},
    )
    with mock.patch(f"{FOLDER}.bands.rows_within", return_value=rows):
        assert deviation(typed, 2, backend="numpy")[0] < TOLERANCE


def test_ops_that_run_on_slow_reference_kernels_are_named() -> None:
    typed = graph(
        node("up", "conv_transpose", "input", out=4, kernel=2),
        node("wide", "linear", "up", out=3, axis=1),
        node("tall", "linear", "wide", out=3, axis=0),
        node("flat", "flatten", "tall"),
        inputs={"input": (3, 4, 4)},
    )
    assert plan(typed, get("numpy"), "float32", strict=True).slow_kinds == ("conv_transpose", "linear")
    assert plan(typed, get("numpy"), "float64").slow_kinds == ()  # where all is reference by intent
    kinds = kinds_on_reference(get("numpy"), "float32")
    assert {"conv_transpose", "softmax"} <= {*kinds}
    assert not {"conv", "linear", "flatten", "dropout"} & {*kinds}


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.op.kind in MOVING], ids=str)
def test_reference_kernels_that_are_not_called_slow_only_copy(example: OpExample) -> None:
    given = np.concatenate([x.ravel() for x in example.inputs("float64")])
    kept = np.isin(example.reference("float64"), [*given, example.op.attributes().get("value", 0)])
    assert kept.all()


def test_columns_of_a_convolution_are_never_whole() -> None:
    typed = graph(node("conv", "conv", "input", out=8, kernel=3, padding=1), inputs={"input": (64, 112, 112)})
    (step,) = plan(typed, get("numpy"), "float32", without=["winograd"]).steps
    params = step.kernel.pack({name: np.ones(decl.shape, np.float32) for name, decl in step.params.items()})
    x = np.ones((2, 112, 112, 64), np.float32)
    scratch = Scratch()
    step.kernel.run(params, x, out=np.empty((2, 112, 112, 8), np.float32), scratch=scratch)
    assert scratch.nbytes < 9 * x.nbytes / 10


@pytest.mark.parametrize(
    ("switch", "in_place"), [("", True), ("concat_in_place", False), ("share_memory", True)]
)
def test_what_planning_does_shows_in_where_values_lie(switch: str, in_place: bool) -> None:
    whole = ArenaLayout(plan(GRAPHS["branches"], get("numpy"), "float32"))
    layout = ArenaLayout(plan(GRAPHS["branches"], get("numpy"), "float32", without=[switch]))
    values = layout.views(2, np.empty(2 * layout.size, np.float32))
    assert np.shares_memory(values["joint"], values["both"]) is in_place
    assert (layout.size > whole.size) is (switch == "share_memory")


def test_results_outlive_the_next_call() -> None:
    run = load(plan(GRAPHS["branches"], get("numpy"), "float32"), WEIGHTS["branches"])
    (x,) = inputs_of(GRAPHS["branches"]).values()
    first = run(x)
    kept = first.copy()
    run(-x)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(run(x[:1]), kept[:1])
