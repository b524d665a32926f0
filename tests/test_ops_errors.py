"""Messages of ops about inputs that do not fit: each with its code, place, arithmetic and way out."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import archforge.ops
from archforge.ir import ShapeError, TensorType
from tests.op_examples import bind


class Refusal(NamedTuple):
    kind: str
    attributes: Mapping[str, Any]
    inputs: tuple[tuple[int, ...], ...]
    code: str
    message: str
    attribute: str | None = None
    label: str = ""
    help: str = ""


REFUSALS = (
    Refusal(
        "pad",
        {"sides": 1, "mode": "reflect", "value": 1.0},
        ((3, 5, 5),),
        "E0404",
        "`value` has no meaning for `reflect`, which adds elements of the map",
        "value",
        "",
        "`mode: constant`",
    ),
    Refusal(
        "pad",
        {"sides": 5, "mode": "reflect"},
        ((3, 5, 5),),
        "E0404",
        "a mirror adds less than the extent of the map, found 3x5x5",
        "sides",
        "5 of 5",
        "at most 4, or `mode: replicate`",
    ),
    Refusal(
        "resize",
        {"size": (4, 4), "mode": "nearest", "corners": "align_corners"},
        ((3, 5, 5),),
        "E0404",
        "`corners` has no meaning for `nearest`, which does not interpolate",
        "corners",
        "",
        "`mode: linear` or `mode: cubic`",
    ),
    Refusal(
        "pixel_shuffle",
        {"factor": 2},
        ((3, 4, 4),),
        "E0404",
        "the square of `factor` must divide the channels",
        "factor",
        "3 % 4 = 3",
        "",
    ),
    Refusal(
        "pixel_unshuffle",
        {"factor": 2},
        ((3, 5, 4),),
        "E0404",
        "`factor` must divide height and width, found 3x5x4",
        "factor",
        "5 % 2 = 1",
        "",
    ),
    Refusal(
        "conv",
        {"out": 4, "kernel": (3, 2), "padding": "same"},
        ((3, 9, 9),),
        "E0404",
        "`same` pads both sides alike, which cannot keep the size under an even kernel",
        "padding",
        "2 - 1 = 1 is odd",
        "`same_upper` puts the odd pixel after the map, or give a number",
    ),
    Refusal(
        "max_pool",
        {"kernel": 4, "dilation": 3, "padding": "same"},
        ((3, 19, 19),),
        "E0404",
        "`same` pads both sides alike, which cannot keep the size under an even kernel",
        "padding",
        "3 * (4 - 1) = 9 is odd",
        "`same_upper` puts the odd pixel after the map, or give a number",
    ),
    Refusal(
        "conv",
        {"out": 4},
        ((9,),),
        "E0401",
        "`conv` takes inputs of 2 to 4 axes, found 9",
        label="1 axis, the batch not counted",
    ),
    Refusal(
        "conv",
        {"out": 48, "kernel": 3, "groups": 48},
        ((64, 9, 9),),
        "E0402",
        "groups must divide in_channels",
        "groups",
        "64 % 48 = 16",
        "nearest that fit: 4, 8, 16",
    ),
    Refusal(
        "conv",
        {"out": 10, "groups": 4},
        ((12, 9, 9),),
        "E0402",
        "groups must divide out",
        "groups",
        "10 % 4 = 2",
        "nearest that fit: 1, 2",
    ),
    Refusal(
        "conv",
        {"out": 4, "kernel": 3, "dilation": 2, "padding": (0, 1)},
        ((3, 4, 9),),
        "E0403",
        "the window does not fit its input of 3x4x9",
        "kernel",
        "reaches over 5, of 4 with padding",
        "a smaller kernel, more padding or a larger input",
    ),
    Refusal(
        "conv",
        {"out": 4, "kernel": (3, 3, 3)},
        ((3, 9, 9),),
        "E0404",
        "`kernel` has 3 values for an input with 2 spatial axes",
        "kernel",
        help="one whole number, or a list of 2",
    ),
    Refusal(
        "conv",
        {"out": 4, "padding": (1,)},
        ((3, 9, 9),),
        "E0404",
        "`padding` has 1 values for an input with 2 spatial axes",
        "padding",
        help="one whole number, or a list of 2",
    ),
    Refusal(
        "conv_transpose",
        {"out": 4, "kernel": 3, "padding": (1,)},
        ((3, 9, 9),),
        "E0404",
        "`padding` has 1 values for an input with 2 spatial axes",
        "padding",
        help="one whole number, or a list of 2",
    ),
    Refusal(
        "conv_transpose",
        {"out": 4, "kernel": 3, "stride": 2, "output_padding": 2},
        ((3, 9, 9),),
        "E0404",
        "output_padding must be smaller than stride or dilation",
        "output_padding",
        "2 >= 2",
    ),
    Refusal(
        "conv_transpose",
        {"out": 4, "kernel": 2, "padding": 1},
        ((3, 1, 4),),
        "E0403",
        "padding leaves nothing of the output of 2x5",
        "padding",
        help="less padding, a larger kernel or a larger input",
    ),
    Refusal(
        "linear",
        {"out": 10},
        ((512, 7, 7),),
        "E0401",
        "`linear` takes (features,) or (time, features), found 512x7x7",
        help="`flatten` first, or say which axis holds the features: `axis: -1`",
    ),
    Refusal("lstm", {"hidden": 8}, ((3, 4, 5),), "E0401", "`lstm` takes (time, features), found 3x4x5"),
    Refusal(
        "softmax",
        {"axis": 3},
        ((5, 7, 7),),
        "E0404",
        "there is no axis 3 in an input of 5x7x7",
        "axis",
        "3 axes: from -3 to 2",
    ),
    Refusal("layer_norm", {"axis": (1, -1)}, ((4, 5),), "E0404", "an axis of 4x5 is named twice", "axis"),
    Refusal(
        "max_pool",
        {"kernel": 3, "padding": 2},
        ((4, 9, 9),),
        "E0404",
        "padding must be at most half of the window, or a window could see nothing else",
        "padding",
        "2 > 3 // 2",
    ),
    Refusal(
        "reshape",
        {"shape": (-1, -1)},
        ((4, 6),),
        "E0404",
        "a shape holds positive whole numbers, and -1 at most once",
        "shape",
    ),
    Refusal(
        "reshape",
        {"shape": (0, -1)},
        ((4, 6),),
        "E0404",
        "a shape holds positive whole numbers, and -1 at most once",
        "shape",
    ),
    Refusal(
        "reshape",
        {"shape": (5, -1)},
        ((4, 6),),
        "E0404",
        "the shape must hold the 24 elements of 4x6",
        "shape",
        "24 % 5 = 4",
    ),
    Refusal(
        "reshape",
        {"shape": (2, 6)},
        ((4, 6),),
        "E0404",
        "the shape must hold the 24 elements of 4x6",
        "shape",
        "2 * 6 = 12",
    ),
    Refusal(
        "permute",
        {"order": (0, 2)},
        ((4, 5, 6),),
        "E0404",
        "`order` must name each axis of 4x5x6 once",
        "order",
        help="some order of 0, 1, 2",
    ),
    Refusal(
        "upsample",
        {"mode": "trilinear"},
        ((4, 5, 6),),
        "E0404",
        "`trilinear` does not fit an input of 4x5x6",
        "mode",
        help="`bilinear` or `nearest`",
    ),
    Refusal(
        "upsample",
        {"align_corners": True},
        ((4, 5, 6),),
        "E0404",
        "`align_corners` has no meaning for `nearest`",
        "align_corners",
        help="`mode: bilinear`",
    ),
    Refusal(
        "clip", {}, ((4,),), "E0404", "a clip has a bound, or two", None, help="{clip: {min: 0, max: 6}}"
    ),
    Refusal("clip", {"min": 2.0, "max": 1.0}, ((4,),), "E0404", "`min` is 2, above `max` of 1", "min"),
    Refusal(
        "pad",
        {"sides": (1, 1)},
        ((4, 5, 6),),
        "E0404",
        "`sides` has 2 values for an input with 2 spatial axes",
        "sides",
        help="one whole number, or a list of 4",
    ),
    Refusal(
        "pad",
        {"sides": (0, 0, -4, -2)},
        ((4, 5, 6),),
        "E0404",
        "cropping leaves nothing of an input of 4x5x6",
        "sides",
        "6 -4 -2 = 0",
        "less cropping, or a larger input",
    ),
    Refusal(
        "slice",
        {"start": 4},
        ((4, 5),),
        "E0404",
        "the slice must lie within the 4 entries of axis 0 of 4x5",
        "start",
        "from 4 to 4",
        "a smaller slice, or more channels",
    ),
    Refusal(
        "slice",
        {"start": 1, "end": 9, "axis": -1},
        ((4, 5),),
        "E0404",
        "the slice must lie within the 5 entries of axis 1 of 4x5",
        "end",
        "from 1 to 9",
        "a smaller slice, or a larger input",
    ),
    Refusal(
        "shuffle",
        {"groups": 3},
        ((8, 5),),
        "E0402",
        "groups must divide in_channels",
        "groups",
        "8 % 3 = 2",
        "nearest that fit: 1, 2, 4",
    ),
    Refusal(
        "add",
        {},
        ((8, 5, 5), (8, 5, 5), (8, 4, 4)),
        "E0405",
        "the branches of `add` do not fit together, found 8x5x5 and 8x5x5 and 8x4x4",
        help="equal shapes, or a branch of fewer axes or with extents of 1",
    ),
    Refusal(
        "attention",
        {"heads": 2},
        ((8,),),
        "E0401",
        "`attention` takes (tokens, features), found 8",
        help="`reshape` to the channels and the positions, then `permute: [1, 0]`",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (2, 2)},
        ((8, 8),),
        "E0401",
        "a window of 2 axes is for maps with as many and the channels behind, found 8x8",
        "window_size",
        help="`permute: [1, 2, 0]` puts the channels of an image last",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (2, 2), "shift_size": (1,)},
        ((4, 4, 8),),
        "E0404",
        "`shift_size` has 1 values, `window_size` 2",
        "shift_size",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (4, 2), "shift_size": 2},
        ((4, 4, 8),),
        "E0404",
        "a shift is less than the window",
        "shift_size",
        help="half of the window, as Swin has it",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (2, 2), "cosine": True, "scale": 1.0},
        ((4, 4, 8),),
        "E0404",
        "with `cosine` the scale is trained",
        "scale",
        help="leave it out",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (1, 2), "cosine": True},
        ((4, 4, 8),),
        "E0404",
        "with `cosine` a window has 2 tokens or more along each axis",
        "window_size",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (2, 3), "grid": True},
        ((4, 4, 8),),
        "E0402",
        "the windows of a grid must divide the map, 2x3 in 4x4x8",
        "window_size",
    ),
    Refusal(
        "window_attention",
        {"heads": 2, "window_size": (2, 2), "grid": True, "shift_size": 1},
        ((4, 4, 8),),
        "E0404",
        "the windows of a grid are not shifted",
        "shift_size",
        help="leave it out",
    ),
    Refusal(
        "matmul",
        {},
        ((2, 3),),
        "E0405",
        "`matmul` is of two values, found 1",
        help="one product inside another",
    ),
    Refusal(
        "matmul",
        {},
        ((2, 3, 4), (4, 2)),
        "E0405",
        "`matmul` takes two values of equally many axes, 2 or more, found 2x3x4 and 4x2",
        help="`reshape` brings them there",
    ),
    Refusal(
        "matmul",
        {},
        ((3, 4), (5, 4)),
        "E0405",
        "the matrices of 3x4 and 5x4 do not fit together",
        label="3x4 times 5x4",
        help="the columns of the first are the rows of the second; `transpose_first` and "
        "`transpose_second` exchange the two",
    ),
    Refusal(
        "matmul",
        {},
        ((2, 3, 4), (3, 4, 5)),
        "E0405",
        "the axes before the matrices differ: 2x3x4 and 3x4x5",
        help="equal extents, or 1 where one value is repeated",
    ),
    Refusal(
        "take",
        {"indices": ((0, 1), (1,))},
        ((4, 4),),
        "E0404",
        "`indices` holds numbers, or equally long lists of them, none of them empty",
        "indices",
    ),
    Refusal(
        "take",
        {"indices": (0, 4)},
        ((4, 4),),
        "E0404",
        "axis 0 of 4x4 has the entries 0 to 3, `indices` asks for 4",
        "indices",
    ),
    Refusal(
        "multiply",
        {},
        ((8, 5, 5), (4,)),
        "E0405",
        "the branches of `multiply` do not fit together, found 8x5x5 and 4",
        help="equal shapes, or a branch of fewer axes or with extents of 1",
    ),
    Refusal(
        "concat",
        {},
        ((8, 5, 5), (3, 5, 4)),
        "E0405",
        "the branches of `concat` must be equal outside axis 0, found 8x5x5 and 3x5x4",
    ),
)


def refused(kind: str, attributes: Mapping[str, Any], inputs: tuple[tuple[int, ...], ...]) -> ShapeError:
    with pytest.raises(ShapeError) as caught:
        bind(kind, **attributes).infer(*map(TensorType, inputs))
    return caught.value


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: f"{r.kind}-{r.message[:40]}")
def test_a_refusal_says_what_where_and_the_way_out(refusal: Refusal) -> None:
    error = refused(refusal.kind, refusal.attributes, refusal.inputs)
    found = (error.code, error.message, error.attribute, error.label, error.help)
    assert found == (refusal.code, refusal.message, refusal.attribute, refusal.label, refusal.help)


def test_every_refusal_in_the_ops_is_shown_here() -> None:
    """Each line that raises `ShapeError` is reached by a refusal above."""
    raised = set()
    for path in Path(archforge.ops.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and "ShapeError" in ast.unparse(node):
                raised.add((path.name, node.lineno))
    reached = set()
    for refusal in REFUSALS:
        trace = refused(refusal.kind, refusal.attributes, refusal.inputs).__traceback__
        while trace is not None:
            reached.add((Path(trace.tb_frame.f_code.co_filename).name, trace.tb_lineno))
            trace = trace.tb_next
    assert raised <= reached


def test_a_huge_number_of_channels_is_refused_at_once() -> None:
    error = refused("conv", {"out": 2 * 10**17, "groups": 7}, ((2 * 10**17, 3),))
    assert error.help == "nearest that fit: 4, 5, 8"
