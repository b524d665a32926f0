"""Kernels that the numba backend alone has on odd shapes: transposed convolutions, rows of several tiles, and
Winograd's tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge.backends import available
from archforge.ir import Node, TensorType, TypedGraph
from archforge.ops.conv import Conv
from tests.deviation import deviation
from tests.graphs import graph, node
from tests.kernels import TOLERANCE, WINOGRAD_TOLERANCE, attentions, tiled, transposed, with_epilogue

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
cost = pytest.importorskip("archforge.backends.numba.families.winograd_cost")
moves = pytest.importorskip("archforge.backends.numba.families.moves")


@given(transposed())
@settings(max_examples=60)
def test_transposed_convolutions_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


@st.composite
def wide_windows(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """A depthwise convolution whose rows take several tiles, of which the last overlaps another."""
    channels, kernel = draw(st.sampled_from([2, 16, 20])), draw(st.integers(2, 7))
    size = (draw(st.integers(kernel, 9)), draw(st.integers(15, 70)))
    conv = node(
        "conv",
        "conv",
        "input",
        out=channels,
        kernel=(kernel, kernel),
        stride=draw(st.integers(1, 3)),
        padding=tuple((draw(st.integers(0, 8)), draw(st.integers(0, 8))) for _ in range(2)),
        dilation=(1, draw(st.integers(1, 2))),
        groups=channels,
        bias=draw(st.booleans()),
    )
    return with_epilogue(draw, conv, (channels, *size)), draw(st.integers(1, 2))


@given(wide_windows())
@settings(max_examples=40)
def test_rows_of_several_tiles_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert not planned.fallbacks


@given(attentions())
@settings(max_examples=40)
def test_attention_of_any_geometry_equals_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


# Winograd -----------------------------------------------------------------------------------------------

FAMILIES = "archforge.backends.numba.families"


def first_form(op: Conv, x: TensorType, *, bfloat16: bool = False) -> Any:
    """Takes the first tile of Winograd, whether it pays or not."""
    return next(cost.possible_forms(op, x), None)


def last_form(op: Conv, x: TensorType, *, bfloat16: bool = False) -> Any:
    return [*cost.possible_forms(op, x), None][-2]


@pytest.mark.parametrize("choice", [first_form, last_form])
@given(case=tiled())
@settings(max_examples=40)
def test_winograd_equals_the_reference_whether_it_pays_or_not(
    choice: Callable[[Conv, TensorType], Any], case: tuple[TypedGraph, int]
) -> None:
    with mock.patch(f"{FAMILIES}.winograd_cost.expected_form", choice):
        distance, planned = deviation(*case)
    assert distance < WINOGRAD_TOLERANCE
    assert len(planned.steps) == 1


@pytest.mark.parametrize(
    "move",
    [
        node("move", "slice", "conv", start=3),
        node("move", "slice", "conv", start=16),
        node("move", "slice", "conv", start=1, end=-1, axis=1),
        node("move", "shuffle", "conv", groups=4),
        node("move", "pad", "conv", sides=(0, 1, 2, 3)),
        node("move", "concat", "conv", "conv"),
    ],
    ids=lambda move: str(move.op.kind),
)
def test_moves_over_maps_of_several_units_equal_the_reference(move: Node) -> None:
    """Such maps are moved in chunks of pixels, of which small maps have one."""
    first = node("conv", "conv", "input", out=40, kernel=1)
    side = int(moves.CHUNK**0.5) * 2 + 1
    distance, planned = deviation(graph(first, move, inputs={"input": (3, side, side)}), 2)
    assert distance < TOLERANCE
    assert not planned.fallbacks


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_winograd_computes_the_same_in_chunks_and_stage_by_stage(chunks: int) -> None:
    typed = graph(node("conv", "conv", "input", out=33, kernel=3, padding=1), inputs={"input": (20, 18, 21)})
    with (
        mock.patch(f"{FAMILIES}.winograd_cost.expected_form", last_form),
        mock.patch(f"{FAMILIES}.winograd._chunks", return_value=chunks),
    ):
        assert deviation(typed, 2)[0] < WINOGRAD_TOLERANCE


def test_the_cost_model_takes_winograd_for_large_maps_and_not_for_large_weights() -> None:
    conv = Conv(out=512, kernel=3, padding=1)
    assert str(cost.expected_form(conv, TensorType((512, 28, 28)))) == "F(4x4, 3x3)"
    assert str(cost.expected_form(conv, TensorType((512, 3, 3)))) != "F(4x4, 3x3)"
    wide = Conv(out=160, kernel=(1, 7), padding=((0, 0), (3, 3)))
    assert str(cost.expected_form(wide, TensorType((160, 17, 17)))) == "F(1x6, 1x7)"
    assert not cost.expected_form(Conv(out=512, kernel=3, stride=2, padding=1), TensorType((512, 28, 28)))
    assert not cost.expected_form(Conv(out=512, kernel=3, padding=1, groups=2), TensorType((512, 28, 28)))
    assert not cost.expected_form(Conv(out=512, kernel=1), TensorType((512, 28, 28)))
