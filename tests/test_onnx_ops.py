"""Nodes of ONNX in our ops where ONNX's own tests have no case; these need no package onnx."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archforge.interchange.onnx import families
from archforge.interchange.onnx.nodes import OnnxNode
from archforge.interchange.onnx.ops import ONNX_OPS, translations_of
from archforge.interchange.unsupported import Unsupported
from tests.op_examples import bind

IMAGE = (1, 4, 6, 6)
WEIGHT = np.zeros((8, 4, 3, 3))


def node(*constants: Any, outputs: int = 1, shape: tuple[int, ...] = IMAGE, **attributes: Any) -> OnnxNode:
    """A node whose first input is computed and whose others are these arrays, None for one left empty."""
    known = {position: array for position, array in enumerate(constants, 1) if array is not None}
    shapes = (shape, *(None if array is None else np.shape(array) for array in constants))
    return OnnxNode(attributes, shapes, (True,) * outputs, known)


def test_a_clip_from_0_to_6_is_relu6() -> None:
    by_inputs, by_attributes = node(np.array(0.0), np.array(6.0)), node(min=0.0, max=6.0)
    for each in (by_inputs, by_attributes):
        (found,) = ONNX_OPS["Clip"].translate(each)
        assert found.ops == (bind("relu6"),)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (None, 6.0), (0.0, None)])
def test_another_clip_has_its_bounds(bounds: tuple[float | None, ...]) -> None:
    (found,) = ONNX_OPS["Clip"].translate(node(*(None if b is None else np.array(b) for b in bounds)))
    assert found.ops == (bind("clip", min=bounds[0], max=bounds[1]),)


def test_a_convolution_takes_its_attributes_from_its_weight() -> None:
    (found,) = ONNX_OPS["Conv"].translate(node(WEIGHT, np.zeros(8), pads=(1, 1, 1, 1), strides=(2, 2)))
    (op,) = found.ops
    assert op.attributes() == bind("conv", out=8, kernel=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)),
                                   dilation=(1, 1)).attributes()  # fmt: skip
    assert list(found.params) == ["weight", "bias"]
    assert found.is_batched


@pytest.mark.parametrize(
    ("onnx_op", "position"),
    [("Conv", 1), ("Conv", 2), ("Gemm", 1), ("MatMul", 1), ("BatchNormalization", 3), ("Reshape", 1)],
)
def test_weights_that_another_node_computes_are_refused(onnx_op: str, position: int) -> None:
    arrays = {p: WEIGHT if p == 1 else np.zeros(8) for p in range(1, 5) if p != position}
    shapes = (IMAGE, *((8, 4, 3, 3) if p == 1 else (8,) for p in range(1, 5)))
    with pytest.raises(Unsupported, match=f"an input {position} that another node computes"):
        ONNX_OPS[onnx_op].translate(OnnxNode({}, shapes, (True,), arrays))


RECURRENT = (np.zeros((1, 5, 6)), np.zeros((1, 5, 5)), None)
IN_BOTH = (np.zeros((2, 5, 6)), np.zeros((2, 5, 5)), None)
NO_ROI, TWICE, LARGER = None, np.array([1.0, 1, 2, 2]), np.array([1.0, 1, 1.5, 1])
BATCHED = (0, 1, 2, 3)  # our axes of an image in a network


def within(*constants: Any, axes: tuple[int | None, ...] = BATCHED, **attributes: Any) -> OnnxNode:
    """A node within a network, the axes of whose first input are these of ours."""
    return replace(node(*constants, **attributes), axes=axes)


REFUSED = [
    ("Relu", node(alpha=1.0), "attribute `alpha`, which ours does not have"),
    ("Clip", node(), "no bounds"),
    ("Swish", node(alpha=2.0), "a slope other than 1 inside the sigmoid"),
    ("HardSigmoid", node(alpha=1 / 6, beta=0.25), "an offset other than 0.5"),
    ("Pow", node(np.array([1.0, 2.0])), "exponents of single elements"),
    ("Max", OnnxNode({}, (IMAGE, (4, 6, 6))), "values of other numbers of axes"),
    ("Max", node(np.array(0.0), np.array(1.0)), "a constant among more than two values"),
    ("Max", node(np.zeros(6)), "bounds of single elements"),
    ("Dropout", node(np.array(0.5), np.array(True)), "training mode"),
    ("PRelu", node(np.zeros(6)), "slopes aligned at the last axis; ours are one, or one per channel"),
    ("Add", within(np.ones((2, 1, 1, 1))), "a constant that repeats a value"),
    ("Div", OnnxNode({}, ((), IMAGE), (True,), {0: np.array(2.0)}), "a constant over a value"),
    ("Gather", within(np.array([[[0, 1]]]), axis=1), "entries by a table of places"),
    ("Gather", within(np.array([4]), axis=1), "places outside the array"),
    ("MaxPool", node(kernel_shape=(3, 3), pads=(1, 2, 1, 2)),
     "padding above half of the window, which torch refuses"),
    ("AveragePool", node(kernel_shape=(3, 3), dilations=(1, 2)),
     "a dilated window, which torch has for maxima only"),
    ("Gemm", node(np.zeros((4, 8)), shape=(1, 4), transA=1), "a transposed input"),
    ("Gemm", node(np.zeros((4, 8)), shape=(1, 4), alpha=2.0), "factors `alpha` and `beta`"),
    ("Gemm", node(np.zeros((4, 8)), shape=(1, 4), beta=0.5), "factors `alpha` and `beta`"),
    ("Gemm", node(np.zeros((4, 8)), np.zeros((2, 8)), shape=(2, 4)), "a bias for each image"),
    ("MatMul", node(np.zeros((2, 6, 8))), "a second factor that is no matrix"),
    ("MatMul", OnnxNode({}, ((6, 4), (4, 6))), "matrices without a batch in front"),
    ("BatchNormalization", node(*[np.zeros(4)] * 4, training_mode=1), "training mode"),
    ("LayerNormalization", node(np.zeros(6)), "no bias, which ours has wherever it has a weight"),
    ("RNN", node(*RECURRENT, shape=(3, 2, 6), direction="bidirectional"),
     "weights for another number of directions"),
    ("RNN", node(*IN_BOTH, shape=(3, 2, 6)), "weights for another number of directions"),
    ("RNN", node(*IN_BOTH, shape=(3, 2, 6), direction="bidirectional", activations=["Tanh", "Relu"]),
     "other functions in each direction"),
    ("RNN", node(*RECURRENT, np.array([3, 2]), shape=(3, 2, 6)), "sequences of several lengths"),
    ("RNN", node(*RECURRENT, np.array([2, 2]), shape=(3, 2, 6)), "sequences of several lengths"),
    ("RNN", node(*RECURRENT, None, np.zeros((1, 2, 5)), shape=(3, 2, 6)), "an initial state"),
    ("LSTM", node(*RECURRENT, None, None, np.ones((1, 2, 5)), shape=(3, 2, 6)), "an initial state"),
    ("LSTM", node(*RECURRENT, None, None, None, np.zeros((1, 15)), shape=(3, 2, 6)),
     "peepholes from the cell to the gates"),
    ("Flatten", node(axis=2), "an axis that flattens the batch too"),
    ("Pad", node(np.zeros(8, int), mode="wrap"), "a map that goes on at its other end"),
    ("Pad", node(np.array([0, 1, 0, 0, 0, 0, 0, 0])), "padding of the batch or the channels"),
    ("Pad", node(np.array([0, 0, 0, 0, 1, 0, 0, 0])), "padding of the batch or the channels"),
    ("Slice", node(*map(np.array, ([0], [4], [1], [2]))), "steps other than 1, along no axis of a map"),
    ("Slice", node(*map(np.array, ([4], [0], [2], [-1]))), "steps backwards"),
    ("Slice", node(*map(np.array, ([0, 1], [4, 2], [2, 0], [2, 1])), shape=(2, 4, 6, 6)),
     "a part of the batch"),
    ("Slice", node(*map(np.array, ([0], [7], [2]))), "bounds outside the array, which ours refuses"),
    ("Slice", node(*map(np.array, ([6], [6], [2]))), "bounds outside the array, which ours refuses"),
    ("ReduceMean", node(np.array([1])), "an array that is no batch of maps"),
    ("ReduceMax", replace(within(np.array([], int), axes=(0, 1)), inputs=((1, 4), (0,))), "no axes"),
    ("Gather", OnnxNode({}, ((2, 3, 4), (1, 5)), (True,), {0: np.zeros((2, 3, 4))}),
     "entries of no table of rows"),
    ("ReduceL2", within(np.array([1]), keepdims=0), "axes that do not stay"),
    ("LayerNormalization", within(np.zeros(6), axis=0), "an axis that is the batch's"),
    ("Softmax", replace(node(axis=1), opset=12), "a softmax over several axes together"),
    ("RNN", node(*RECURRENT, shape=(3, 2, 6), clip=1.0), "sums that are clipped"),
    ("LSTM", node(*RECURRENT, shape=(3, 2, 6), input_forget=1), "an input gate tied to the forget gate"),
    ("RNN", node(*RECURRENT, shape=(3, 2, 6), activations=["Elu"]),
     "another function of the sums than tanh and relu"),
    ("GRU", node(*RECURRENT, shape=(3, 2, 6), activations=["Tanh", "Tanh"]),
     "other functions of the gates"),
    ("Resize", node(NO_ROI, TWICE, mode="cubic", cubic_coeff_a=-0.5), "another cubic kernel than torch's"),
    ("Resize", node(NO_ROI, TWICE, mode="cubic", exclude_outside=1),
     "shares of elements outside that are left out"),
    ("Resize", node(NO_ROI, TWICE, coordinate_transformation_mode="tf_crop_and_resize"), "cropping"),
    ("Resize", node(NO_ROI, np.array([1.0, 1, 1.4, 1])), "a factor that leaves a part of an element"),
    ("Resize", node(NO_ROI, LARGER), "another nearest element than torch's"),
    ("Resize", node(NO_ROI, TWICE, nearest_mode="ceil"), "another nearest element than torch's"),
    ("Resize", node(NO_ROI, TWICE, mode="linear", antialias=1),
     "an average over the elements that a smaller map leaves out"),
    ("Resize", node(NO_ROI, TWICE, mode="linear", coordinate_transformation_mode="half_pixel_symmetric"),
     "interpolation from other places than ours"),
    ("Resize", node(NO_ROI, None, np.array([1, 4, 1, 1]), mode="linear",
                    coordinate_transformation_mode="pytorch_half_pixel"), "a single element from the edge"),
    ("Resize", node(), "neither factors nor sizes"),
    ("Resize", node(NO_ROI, None, np.array([1, 4, 12, 12]), keep_aspect_ratio_policy="not_larger"),
     "sizes that keep the aspect ratio"),
    ("Upsample", node(LARGER), "a factor that is no whole number"),
    ("Upsample", node(TWICE, mode="linear"),
     "interpolation, of which this version does not say the places"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("onnx_op", "other", "reason"), REFUSED, ids=[f"{op}-{why}" for op, _, why in REFUSED]
)
def test_another_op_than_ours_is_refused_for_its_reason(onnx_op: str, other: OnnxNode, reason: str) -> None:
    with pytest.raises(Unsupported) as caught:
        translations_of(onnx_op, other)
    assert str(caught.value) == reason


def test_each_reason_for_a_refusal_is_met() -> None:
    sources = [path.read_text("utf-8") for folder in families.__path__ for path in Path(folder).glob("*.py")]
    calls = [n for text in sources for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    said = [c.args[1] for c in calls if getattr(c.func, "id", "") == "require"]
    reasons = {why.value for why in said if isinstance(why, ast.Constant)}
    assert reasons
    assert reasons <= {why for *_, why in REFUSED}


def test_inputs_that_may_be_left_out_have_their_default_and_are_taken_where_they_are_there() -> None:
    sides = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    for onnx_op, name, given, default in (
        ("Pad", "value", node(sides, np.array(2.5)), node(sides)),
        ("Dropout", "rate", node(np.array(0.25)), node()),
    ):
        values = [ONNX_OPS[onnx_op].translate(n)[0].ops[0].attributes()[name] for n in (given, default)]
        assert values == {"value": [2.5, 0.0], "rate": [0.25, 0.5]}[name]


def test_an_input_that_is_left_out_is_refused() -> None:
    with pytest.raises(Unsupported, match="no input 1"):
        ONNX_OPS["Conv"].translate(node())


def test_what_our_op_cannot_take_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"`padding` = .*, which `conv` cannot take"):
        ONNX_OPS["Conv"].translate(node(WEIGHT, pads=(-1, 0, 0, 0)))


def test_a_transposed_convolution_keeps_its_bias() -> None:
    (found,) = ONNX_OPS["ConvTranspose"].translate(node(np.zeros((4, 2, 3, 3)), np.zeros(2)))
    assert list(found.params) == ["weight", "bias"]


def test_the_outputs_that_are_asked_for_come_in_order() -> None:
    arrays = [np.zeros((1, 5, 4)), np.zeros((1, 5, 5))]
    shapes = ((7, 1, 4), *(a.shape for a in arrays))
    for asked, kinds in (((True, True), [1, 2]), ((True, False), [1]), ((False, True), [2])):
        found = ONNX_OPS["RNN"].translate(OnnxNode({}, shapes, asked, dict(enumerate(arrays, 1))))
        assert [len(each.ops) for each in found] == kinds
