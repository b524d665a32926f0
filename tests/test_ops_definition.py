"""Each kernel equals loops written from its definition: on its examples, and on windows drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge.ir import ShapeError, TensorType
from archforge.ops import all_ops
from tests.op_definitions import DEFINITIONS
from tests.op_examples import EXAMPLES, OpExample, bind
from tests.recurrent_definitions import RECURRENT_PRODUCTS
from tests.token_definitions import TOKEN_PRODUCTS
from tests.window_definitions import PRODUCTS as WINDOW_PRODUCTS
from tests.window_definitions import axis_starts

# Sums of up to a few hundred products of numbers up to about 10, in another order.
ROUNDING = 1e-12
PRODUCTS: Mapping[str, Callable[..., Iterable[object]]] = {
    **WINDOW_PRODUCTS,
    **RECURRENT_PRODUCTS,
    **TOKEN_PRODUCTS,
}


def test_every_op_has_a_definition() -> None:
    assert set(DEFINITIONS) == {cls.op for cls in all_ops().values()}


def assert_as_defined(example: OpExample) -> None:
    params, inputs = example.params("float64"), example.inputs("float64")
    found = example.op.reference(params, *inputs)
    define = DEFINITIONS[example.op.kind]
    for number, images in enumerate(zip(*inputs, strict=True)):
        np.testing.assert_allclose(
            found[number], define(example.op, params, *images), rtol=ROUNDING, atol=ROUNDING
        )


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_kernel_computes_the_definition(example: OpExample) -> None:
    assert_as_defined(example)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.op.kind in PRODUCTS], ids=str)
def test_macs_are_the_products_of_the_definition(example: OpExample) -> None:
    images = (x[0] for x in example.inputs("float64", batch=1))
    products = PRODUCTS[example.op.kind](example.op, example.params("float64"), *images)
    assert example.op.macs(*example.types) == sum(1 for _ in products)


def test_no_other_op_has_macs() -> None:
    assert {e.op.kind for e in EXAMPLES if e.op.macs(*e.types)} == set(PRODUCTS)


# At random ---------------------------------------------------------------------------------------

SMALL = st.integers(1, 3)


def per_axis(values: st.SearchStrategy[Any], axes: int) -> st.SearchStrategy[Any]:
    return values | st.tuples(*[values] * axes)


@st.composite
def windowed(draw: st.DrawFn, kind: str) -> tuple[Any, TensorType]:
    """An op with a window, and an input that it may or may not fit."""
    axes = draw(st.integers(1, 2))
    side = st.integers(0, 2)
    attributes = {"kernel": draw(per_axis(SMALL, axes)), "stride": draw(per_axis(SMALL, axes))}
    channels = 2
    if kind == "conv_transpose":
        padding = per_axis(side | st.tuples(side, side), axes)
        attributes["output_padding"] = draw(per_axis(st.integers(0, 1), axes))
    else:
        padding = st.sampled_from(("same", "same_upper", "valid")) | per_axis(
            side | st.tuples(side, side), axes
        )
    attributes["padding"] = draw(padding)
    if "pool" in kind:
        attributes["ceil"] = draw(st.booleans())
    if kind == "avg_pool":
        attributes["count_include_pad"] = draw(st.booleans())
    if "conv" in kind:
        channels = draw(st.sampled_from((2, 4)))
        attributes |= {"out": draw(st.sampled_from((2, 4))), "groups": draw(st.sampled_from((1, 2)))}
        attributes["bias"] = draw(st.booleans())
    if "dilation" in all_ops()[kind].model_fields:
        attributes["dilation"] = draw(per_axis(st.integers(1, 2), axes))
    sizes = draw(st.tuples(*[st.integers(1, 6)] * axes))
    return bind(kind, **attributes), TensorType((channels, *sizes))


@pytest.mark.parametrize("kind", ["conv", "conv_transpose", "max_pool", "avg_pool", "lp_pool"])
@settings(max_examples=300)
@given(data=st.data())
def test_windows_at_random_compute_the_definition(kind: str, data: st.DataObject) -> None:
    op, x = data.draw(windowed(kind))
    try:
        y = op.infer(x)
    except ShapeError:
        return  # that only what does not fit is refused: the next test
    example = OpExample(op, (x,), "drawn")
    assert example.reference("float64", batch=1).shape == (1, *y.shape)
    assert_as_defined(example)


@settings(max_examples=500)
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 3),
    sides=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    ceil=st.booleans(),
)
def test_output_size_counts_the_windows_that_fit(
    size: int, kernel: int, stride: int, dilation: int, sides: tuple[int, int], ceil: bool
) -> None:
    reach = dilation * (kernel - 1) + 1
    starts = axis_starts(size, sides, reach, stride, ceil=ceil)
    op = bind("max_pool", kernel=kernel, stride=stride, dilation=dilation, padding=(sides,), ceil=ceil)
    try:
        found = op.infer(TensorType((1, size))).spatial[0]
    except ShapeError:
        assert not starts or max(sides) > reach // 2
    else:
        assert found == len(starts)
