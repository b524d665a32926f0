"""Kernels of the numba backend on odd shapes: every family against the reference, whatever the geometry."""

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

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
winograd = pytest.importorskip("archforge.backends.numba.families.winograd")

TOLERANCE = 1e-5  # of the reference in float64, for values of about 1: some hundred roundings of float32
WINOGRAD_TOLERANCE = 1e-4  # its transforms subtract what they then sum

# Odd shapes ---------------------------------------------------------------------------------------------

sides = st.integers(0, 3)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """A convolution of any geometry, with or without a sum and an activation behind it, and a batch."""
    groups = draw(st.sampled_from([1, 1, 2, 3, 5, 16, 20]))
    channels = groups * draw(st.sampled_from([1, 2, 3, 7, 16, 17, 33] if groups < 5 else [1, 1, 2, 4]))
    out = groups * draw(st.sampled_from([1, 3, 8, 16, 37] if groups < 5 else [1, 1, 2, 3]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.tuples(sides, sides), st.tuples(sides, sides)))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [draw(st.integers(max(1, r - sum(p)), 13)) for r, p in zip(reach, padding, strict=True)]
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    conv = node(
        "conv",
        "conv",
        "input",
        out=out,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return with_epilogue(draw, conv, (channels, *size)), draw(st.integers(1, 3))


def with_epilogue(draw: st.DrawFn, first: Node, shape: tuple[int, ...]) -> TypedGraph:
    """The node, then perhaps a sum with a second input, then perhaps an activation."""
    inputs = {"input": shape}
    nodes = [first]
    if draw(st.booleans()):
        inputs["other"] = graph(first, inputs=inputs).types[first.name].shape
        nodes.append(node("add", "add", first.name, "other"))
    activation = draw(st.sampled_from(["", "relu", "relu6", "hard_swish", "silu"]))
    if activation:
        nodes.append(node("act", activation, nodes[-1].name))
    return graph(*nodes, inputs=inputs)


@given(convolutions())
@settings(max_examples=80)
def test_convolutions_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


@st.composite
def pools(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    attributes: dict[str, Any] = {
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in kernel),
        "ceil": draw(st.booleans()),
    }
    kind = draw(st.sampled_from(["max_pool", "avg_pool"]))
    if kind == "avg_pool":
        attributes["count_include_pad"] = draw(st.booleans())
    shape = (draw(st.sampled_from([1, 5, 16, 18])), *(k + draw(st.integers(0, 9)) for k in kernel))
    return graph(node("pool", kind, "input", **attributes), inputs={"input": shape}), draw(st.integers(1, 3))


@given(pools())
@settings(max_examples=40)
def test_pools_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert not planned.fallbacks


@st.composite
def transposed(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """A transposed convolution of any geometry, gaps between its kernels included."""
    groups = draw(st.sampled_from([1, 1, 2, 5]))
    channels = groups * draw(st.sampled_from([1, 3, 16, 17]))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, kernel, stride, dilation = (draw(pair) for _ in range(4))
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    up = node(
        "up",
        "conv_transpose",
        "input",
        out=groups * draw(st.sampled_from([1, 4, 16, 18])),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=tuple((draw(st.integers(0, (n - 1) // 2)), draw(st.integers(0, n // 2))) for n in full),
        output_padding=tuple(
            draw(st.integers(0, max(both) - 1)) for both in zip(stride, dilation, strict=True)
        ),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return with_epilogue(draw, up, (channels, *size)), draw(st.integers(1, 3))


@given(transposed())
@settings(max_examples=60)
def test_transposed_convolutions_of_any_geometry_equal_the_reference(case: tuple[TypedGraph, int]) -> None:
    distance, planned = deviation(*case)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1
    assert not planned.fallbacks


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("features", "out"), [(1, 1), (7, 40), (64, 16), (100, 1000)])
def test_linear_layers_equal_the_reference(features: int, out: int, batch: int) -> None:
    typed = graph(
        node("fc", "linear", "input", out=out), node("relu", "relu", "fc"), inputs={"input": (features,)}
    )
    distance, planned = deviation(typed, batch)
    assert distance < TOLERANCE
    assert len(planned.steps) == 1


# Winograd -----------------------------------------------------------------------------------------------

FAMILY = "archforge.backends.numba.families.winograd"


def first_form(op: Conv, x: TensorType) -> Any:
    """Takes the first tile of Winograd, whether it pays or not."""
    return next(winograd.forms(op, x), None)


def last_form(op: Conv, x: TensorType) -> Any:
    return [*winograd.forms(op, x), None][-2]


@st.composite
def tiled(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """Convolutions of stride 1 whose maps are no multiple of a tile."""
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 7), (7, 1), (3, 1), (1, 2), (5, 5), (4, 2), (6, 1)]))
    size = [draw(st.integers(k, 19)) for k in kernel]
    padding = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k - 1))) for k in kernel)
    out = draw(st.sampled_from([1, 16, 40]))
    conv = node("conv", "conv", "input", out=out, kernel=kernel, padding=padding)
    return with_epilogue(draw, conv, (draw(st.sampled_from([9, 16, 35])), *size)), draw(st.integers(1, 3))


@pytest.mark.parametrize("choice", [first_form, last_form])
@given(case=tiled())
@settings(max_examples=40)
def test_winograd_equals_the_reference_whether_it_pays_or_not(
    choice: Callable[[Conv, TensorType], Any], case: tuple[TypedGraph, int]
) -> None:
    with mock.patch(f"{FAMILY}.form_of", choice):
        distance, planned = deviation(*case)
    assert distance < WINOGRAD_TOLERANCE
    assert len(planned.steps) == 1


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_winograd_computes_the_same_in_chunks_and_stage_by_stage(chunks: int) -> None:
    typed = graph(node("conv", "conv", "input", out=33, kernel=3, padding=1), inputs={"input": (20, 18, 21)})
    with mock.patch(f"{FAMILY}.form_of", last_form), mock.patch(f"{FAMILY}._chunks", return_value=chunks):
        assert deviation(typed, 2)[0] < WINOGRAD_TOLERANCE


def test_the_cost_model_takes_winograd_for_large_maps_and_not_for_large_weights() -> None:
    conv = Conv(out=512, kernel=3, padding=1)
    assert str(winograd.form_of(conv, TensorType((512, 28, 28)))) == "4of3x4of3"
    assert str(winograd.form_of(conv, TensorType((512, 7, 7)))) != "4of3x4of3"
    wide = Conv(out=160, kernel=(1, 7), padding=((0, 0), (3, 3)))
    assert str(winograd.form_of(wide, TensorType((160, 17, 17)))) == "1of1x6of7"
    assert not winograd.form_of(Conv(out=512, kernel=3, stride=2, padding=1), TensorType((512, 28, 28)))
    assert not winograd.form_of(Conv(out=512, kernel=3, padding=1, groups=2), TensorType((512, 28, 28)))
    assert not winograd.form_of(Conv(out=512, kernel=1), TensorType((512, 28, 28)))
