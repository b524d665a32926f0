"""The table of TensorFlow Lite's ops: how each is said in our ops.

Maps have their channels last there; a value of ours is seen by axes of another order, and transposed by
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from archforge.interchange.flows import FixedValue, Flow, Lost, channels_last, common_axes, viewed
from archforge.interchange.translation import axes_behind_map, bound_op, number, require
from archforge.interchange.unsupported import Unsupported
from archforge.interchange.with_constants import along, axis_of, with_constants
from archforge.ops.base import Array, Op
from archforge.ops.lazy_numpy import np

__all__ = ["MAP_AXES", "TFLITE_OPS", "TfliteUse"]

TfliteValue = FixedValue | Flow | Lost
MAP_AXES = channels_last(3)  # of maps of two spatial axes
_SAME, _VALID = 0, 1


class TfliteUse(Protocol):
    """An op with the values that it reads, by position. `option` gives an attribute, `result` the shape of an
    output in the file; `add` makes a node whose values are seen by the axes of the first, or by `axes`;
    `seen_as` brings a value into another order of axes, `ours` into ours. `scaled` gives what a value is a
    multiple of, `flattened` a value as one row in the file's order, and `turned` the value that such a row
    is of."""

    op: str

    def flow(self, position: int = 0) -> Flow: ...
    def value(self, position: int) -> TfliteValue | None: ...
    def constant(self, position: int) -> Array | None: ...
    def needed(self, position: int) -> Array: ...
    def option(self, name: str) -> Any: ...
    def result(self, position: int = 0) -> tuple[int, ...]: ...
    def inputs(self) -> int: ...
    def outputs(self) -> int: ...
    def add(self, op: Op, *flows: Flow, axes: tuple[int | None, ...] = (), **params: Array) -> Flow: ...
    def seen_as(self, flow: Flow, axes: tuple[int, ...]) -> Flow: ...
    def ours(self, flow: Flow) -> Flow: ...
    def scaled(self, flow: Flow) -> tuple[str, float] | None: ...
    def turned(self, flow: Flow) -> Flow | None: ...
    def flattened(self, flow: Flow) -> Flow: ...


Translated = Callable[[TfliteUse], Sequence[Flow]]


def _activated(use: TfliteUse, flow: Flow) -> Flow:
    """The value behind the activation that an op has within."""
    kind = use.option("FusedActivationFunction")
    acts = {
        1: bound_op("relu"),
        2: bound_op("clip", min=-1, max=1),
        3: bound_op("relu6"),
        4: bound_op("tanh"),
    }
    require(kind == 0 or kind in acts, f"an activation of kind {kind} within")
    return use.add(acts[kind], flow) if kind else flow


def _map(use: TfliteUse, position: int = 0) -> Flow:
    flow = use.flow(position)
    require(len(flow.axes) == 4, f"an array of {len(flow.axes)} axes")
    return use.seen_as(flow, MAP_AXES)


def _sides(use: TfliteUse, *parts: str) -> tuple[int, int]:
    height, width = (int(use.option(part)) for part in parts)
    return height, width


def _padding(use: TfliteUse) -> Any:
    kind = use.option("Padding")
    require(kind in (_SAME, _VALID), f"padding of kind {kind}")
    return "same_upper" if kind == _SAME else "valid"


def _conv(use: TfliteUse) -> Sequence[Flow]:
    """A convolution; of a depthwise one each channel has as many kernels as its multiplier says."""
    x, weight, bias = _map(use), use.needed(1), use.constant(2)
    require(weight.ndim == 4, f"a kernel of {weight.ndim} axes")
    channels = x.type.shape[0]
    if use.op == "DEPTHWISE_CONV_2D":
        kernel, groups = weight.transpose(3, 0, 1, 2).reshape(-1, 1, *weight.shape[1:3]), channels
    else:
        require(weight.shape[3] > 0 and channels % weight.shape[3] == 0, "a kernel for other channels")
        kernel, groups = weight.transpose(0, 3, 1, 2), channels // weight.shape[3]
    op = bound_op(
        "conv",
        out=len(kernel),
        kernel=kernel.shape[2:],
        stride=_sides(use, "StrideH", "StrideW"),
        dilation=_sides(use, "DilationHFactor", "DilationWFactor"),
        padding=_padding(use),
        groups=groups,
        bias=bias is not None,
    )
    params = {"weight": kernel} | ({} if bias is None else {"bias": bias})
    return [_activated(use, use.add(op, x, axes=MAP_AXES, **params))]


def _transpose_conv(use: TfliteUse) -> Sequence[Flow]:
    """A transposed convolution to a size that is given: its padding is what the output has too much."""
    weight, x, bias = use.needed(1), _map(use, 2), use.constant(3)
    require(weight.ndim == 4, f"a kernel of {weight.ndim} axes")
    stride, wanted, sides = _sides(use, "StrideH", "StrideW"), use.result()[1:3], []
    for n, s, k, o in zip(x.type.shape[1:], stride, weight.shape[1:3], wanted, strict=True):
        total = (n - 1) * s + k - o
        sides.append((max(total, 0) // 2, (max(total, 0) + 1) // 2, max(-total, 0)))
    op = bound_op(
        "conv_transpose",
        out=weight.shape[0],
        kernel=weight.shape[1:3],
        stride=stride,
        padding=tuple((before, after) for before, after, _ in sides),
        output_padding=tuple(excess for _, _, excess in sides),
        bias=bias is not None,
    )
    params = {"weight": weight.transpose(3, 0, 1, 2)} | ({} if bias is None else {"bias": bias})
    return [_activated(use, use.add(op, x, axes=MAP_AXES, **params))]


def _pool(kind: str) -> Translated:
    def translate(use: TfliteUse) -> Sequence[Flow]:
        x = _map(use)
        kernel, stride = _sides(use, "FilterHeight", "FilterWidth"), _sides(use, "StrideH", "StrideW")
        if kernel == x.type.shape[1:] and use.option("Padding") == _VALID:
            op = bound_op(f"global_{kind}")
        else:
            op = bound_op(kind, kernel=kernel, stride=stride, padding=_padding(use), **_COUNTED[kind])
        return [_activated(use, use.add(op, x, axes=MAP_AXES))]

    return translate


_COUNTED: Mapping[str, dict[str, Any]] = {"avg_pool": {"count_include_pad": False}, "max_pool": {}}


def _reduction(kind: str) -> Translated:
    """A mean or maximum over all of a map."""

    def translate(use: TfliteUse) -> Sequence[Flow]:
        x, keep = use.flow(), bool(use.option("KeepDims"))
        gives = axes_behind_map(x, use.needed(1).reshape(-1), keep=keep)
        return [use.add(bound_op(kind, keep=keep), x, axes=gives)]

    return translate


def _fully_connected(use: TfliteUse) -> Sequence[Flow]:
    """A product with a matrix. Behind a map its columns are put in our order, channels first."""
    weight, bias = use.needed(1), use.constant(2)
    require(weight.ndim == 2, f"a matrix of {weight.ndim} axes")
    require(use.option("WeightsFormat") == 0, "a matrix that is stored in another way")
    x, bias_too = use.flow(), bias is not None
    params: dict[str, Any] = {} if bias is None else {"bias": bias}
    is_row = len(x.axes) > 2 and not use.option("KeepNumDims")
    turned = x if is_row else use.turned(x)
    if turned is not None:
        shape = turned.shape[1:]
        require(math.prod(shape) == weight.shape[1], f"a matrix of {weight.shape} behind {shape}")
        order = sorted(range(len(shape)), key=lambda i: turned.axes[i + 1] or 0)
        columns = weight.reshape(-1, *shape).transpose(0, *(i + 1 for i in order)).reshape(weight.shape)
        x = use.add(bound_op("flatten"), turned, axes=(0, 1))
        op = bound_op("linear", out=len(weight), bias=bias_too)
        return [_activated(use, use.add(op, x, axes=(0, 1), weight=columns, **params))]
    axis = axis_of(x, -1) if len(x.axes) > 2 else None
    op = bound_op("linear", out=len(weight), bias=bias_too, axis=axis)
    return [_activated(use, use.add(op, x if axis is not None else use.ours(x), weight=weight, **params))]


def _moved(use: TfliteUse) -> Sequence[Flow]:
    """Numbers of a value under another shape."""
    x, shape = use.flow(), use.result()
    require(math.prod(shape) == math.prod(x.shape), f"{shape} of {x.shape}")
    view = viewed(x, shape)
    if view is not None:
        return [view]
    require(shape[:1] == (1,), "an array without the batch in front")
    if len(shape) == 2:
        return [use.flattened(x)]
    return [use.add(bound_op("reshape", shape=shape[1:]), use.ours(x), axes=tuple(range(len(shape))))]


def _transposed(use: TfliteUse) -> Sequence[Flow]:
    x, order = use.flow(), [int(axis) for axis in use.needed(1).reshape(-1)]
    require(sorted(order) == list(range(len(x.axes))), f"an order of {order}")
    return [Flow(x.value, x.type, tuple(x.axes[axis] for axis in order))]


def _softmax(kind: str) -> Translated:
    def translate(use: TfliteUse) -> Sequence[Flow]:
        require(kind == "log_softmax" or use.option("Beta") == 1, "a factor other than 1 within")
        x = use.flow()
        return [use.add(bound_op(kind, axis=axis_of(x, -1)), x)]

    return translate


def _plain(kind: str, **attributes: Any) -> Translated:
    return lambda use: [use.add(bound_op(kind, **attributes), use.flow())]


def _leaky(use: TfliteUse) -> Sequence[Flow]:
    return [use.add(bound_op("leaky_relu", slope=number(use.option("Alpha"))), use.flow())]


def _gelu(use: TfliteUse) -> Sequence[Flow]:
    kind = "tanh" if use.option("Approximate") else "none"
    return [use.add(bound_op("gelu", approximate=kind), use.flow())]


def _prelu(use: TfliteUse) -> Sequence[Flow]:
    x, slopes = use.flow(), use.needed(1)
    found = along(x, slopes)
    require(found is None or found[0] == 0, "slopes along other axes than the channels'")
    return [use.add(bound_op("prelu", per_channel=found is not None), x, weight=slopes.reshape(-1))]


def _arithmetic(use: TfliteUse) -> Sequence[Flow]:
    """A sum, difference, product or quotient of two values, one of which may be constant."""
    is_product = use.op in ("MUL", "DIV")
    arrays = [value.array if isinstance(value := use.value(i), FixedValue) else None for i in range(2)]
    if arrays[0] is None and arrays[1] is None:
        return [_activated(use, _merged(use, [use.flow(0), use.flow(1)]))]
    is_first = arrays[0] is None
    x, constants = (use.flow(0), arrays[1]) if is_first else (use.flow(1), arrays[0])
    assert constants is not None
    if use.op == "SUB" and is_first:
        constants = -constants
    elif use.op == "SUB":
        x = use.add(bound_op("scale", factor=-1.0), x)
    elif use.op == "DIV":
        require(is_first and bool(np.all(constants != 0)), "a quotient of constants")
        constants = 1 / constants
    return [_activated(use, with_constants(use.add, x, constants, is_product=is_product))]


def _merged(use: TfliteUse, flows: list[Flow]) -> Flow:
    kinds = {"ADD": "add", "SUB": "subtract", "MUL": "multiply", "DIV": "divide"}
    same_rank = len({len(flow.type.shape) for flow in flows}) == 1
    require(same_rank or use.op == "MUL", "values of other numbers of axes")
    axes = common_axes(flows)
    if axes is None or (use.op != "MUL" and len({flow.type for flow in flows}) > 1):
        flows = [use.ours(flow) for flow in flows]
        axes = flows[0].axes
    return use.add(bound_op(kinds[use.op]), *flows, axes=axes)


def _bounded(use: TfliteUse) -> Sequence[Flow]:
    """The larger of a value and a part of it, which is a leaky rectifier, or a bound."""
    name = {"MAXIMUM": "min", "MINIMUM": "max"}[use.op]
    for first, second in ((0, 1), (1, 0)):
        bound = use.value(second)
        if isinstance(bound, FixedValue):
            require(bound.array.size == 1, "several bounds")
            return [use.add(bound_op("clip", **{name: number(bound.array)}), use.flow(first))]
    for first, second in ((0, 1), (1, 0)):
        found = use.scaled(use.flow(second))
        if use.op == "MAXIMUM" and found and found[0] == use.flow(first).value and 0 < found[1] < 1:
            return [use.add(bound_op("leaky_relu", slope=found[1]), use.flow(first))]
    raise Unsupported("the largest or smallest of several values")


def _concat(use: TfliteUse) -> Sequence[Flow]:
    flows = [use.flow(i) for i in range(use.inputs())]
    axes = common_axes(flows)
    if axes is None or None in axes:
        flows = [use.ours(flow) for flow in flows]
        axes = flows[0].axes
    op = bound_op("concat", axis=axis_of(flows[0], use.option("Axis")))
    return [_activated(use, use.add(op, *flows, axes=axes))]


def _cut(use: TfliteUse, x: Flow, axis: int, ends: Sequence[int]) -> list[Flow]:
    """The parts of a value between these entries of an axis."""
    starts = ends[:-1]
    return [
        use.add(bound_op("slice", start=a, end=b, axis=axis), x)
        for a, b in zip(starts, ends[1:], strict=True)
    ]


def _split(use: TfliteUse) -> Sequence[Flow]:
    position = 1 if use.op == "SPLIT" else 0
    x, at = use.flow(position), int(use.needed(0 if use.op == "SPLIT" else 2).reshape(-1)[0])
    axis, sizes = axis_of(x, at), [use.result(i)[at] for i in range(use.outputs())]
    require(sum(sizes) == x.type.shape[axis], "parts that are not all")
    return _cut(use, x, axis, [sum(sizes[:i]) for i in range(len(sizes) + 1)])


def _slice(use: TfliteUse) -> Sequence[Flow]:
    """The entries from some to others along each axis, one after the other."""
    x, begins, third = use.flow(), use.needed(1).reshape(-1).tolist(), use.needed(2).reshape(-1).tolist()
    sizes = use.result()
    require(len(begins) == len(sizes) == len(x.axes), "axes that come or go")
    if use.op == "STRIDED_SLICE":
        require({*use.needed(3).reshape(-1).tolist()} == {1}, "strides other than 1")
        masks = [use.option(name) for name in ("EllipsisMask", "NewAxisMask", "ShrinkAxisMask")]
        require(not any(masks), "axes that come or go")
        open_ends = use.option("BeginMask")
        begins = [
            0 if open_ends >> i & 1 else b % max(n, 1)
            for i, (b, n) in enumerate(zip(begins, x.shape, strict=True))
        ]
    require(len(third) == len(begins), "other numbers of axes")
    for at, (begin, size, extent) in enumerate(zip(begins, sizes, x.shape, strict=True)):
        if (begin, size) != (0, extent):
            x = use.add(bound_op("slice", start=begin, end=begin + size, axis=axis_of(x, at)), x)
    return [x]


def _pad(use: TfliteUse) -> Sequence[Flow]:
    """Numbers around a map; channels of zeros behind those that are there."""
    x, widths = use.flow(), use.needed(1).tolist()
    value = use.constant(2) if use.op == "PADV2" else None
    fill = 0.0 if value is None else number(value)
    require(len(widths) == len(x.axes) and not any(widths[0]), "around the batch")
    ours = {axis: (before, after) for axis, (before, after) in zip(x.axes, widths, strict=True) if axis}
    before, after = ours.pop(1, (0, 0))
    if any(map(any, ours.values())):
        sides = tuple(side for axis in range(2, len(x.type.shape) + 1) for side in ours.get(axis, (0, 0)))
        x = use.add(bound_op("pad", sides=sides, value=fill), x)
    if after or before:
        require(not before and not fill and after <= x.type.shape[0], "channels other than zeros behind")
        zeros = use.add(bound_op("slice", end=after), x) if after < x.type.shape[0] else x
        x = use.add(bound_op("concat"), x, use.add(bound_op("scale", factor=0.0), zeros))
    return [x]


def _resize(mode: str) -> Translated:
    """A map that is a whole number of times as large."""

    def translate(use: TfliteUse) -> Sequence[Flow]:
        x, wanted = _map(use), use.result()[1:3]
        sizes = x.type.shape[1:]
        require(all(o % n == 0 for n, o in zip(sizes, wanted, strict=True)), f"from {sizes} to {wanted}")
        corners, halves = bool(use.option("AlignCorners")), bool(use.option("HalfPixelCenters"))
        if mode == "nearest":
            require(not corners, "corners that are aligned")
        else:
            require(corners or halves or sizes == wanted, "positions that are aligned at neither end")
        factor = tuple(o // n for n, o in zip(sizes, wanted, strict=True))
        op = bound_op("upsample", factor=factor, mode=mode, align_corners=corners)
        return [use.add(op, x, axes=MAP_AXES)]

    return translate


def _square(use: TfliteUse) -> Sequence[Flow]:
    return [use.add(bound_op("multiply"), use.flow(), use.flow())]


def _negative(use: TfliteUse) -> Sequence[Flow]:
    return [use.add(bound_op("scale", factor=-1.0), use.flow())]


TFLITE_OPS: Mapping[str, Translated] = {
    "ABS": _plain("abs"),
    "ADD": _arithmetic,
    "AVERAGE_POOL_2D": _pool("avg_pool"),
    "CONCATENATION": _concat,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _conv,
    "DIV": _arithmetic,
    "ELU": _plain("elu"),
    "EXPAND_DIMS": _moved,
    "FULLY_CONNECTED": _fully_connected,
    "GELU": _gelu,
    "HARD_SWISH": _plain("hard_swish"),
    "LEAKY_RELU": _leaky,
    "LOGISTIC": _plain("sigmoid"),
    "LOG_SOFTMAX": _softmax("log_softmax"),
    "MAXIMUM": _bounded,
    "MAX_POOL_2D": _pool("max_pool"),
    "MEAN": _reduction("global_avg_pool"),
    "MINIMUM": _bounded,
    "MUL": _arithmetic,
    "NEG": _negative,
    "PAD": _pad,
    "PADV2": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _reduction("global_max_pool"),
    "RELU": _plain("relu"),
    "RELU6": _plain("relu6"),
    "RELU_0_TO_1": _plain("clip", min=0.0, max=1.0),
    "RELU_N1_TO_1": _plain("clip", min=-1.0, max=1.0),
    "RESHAPE": _moved,
    "RESIZE_BILINEAR": _resize("bilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    "SLICE": _slice,
    "SOFTMAX": _softmax("softmax"),
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SQUARE": _square,
    "SQUEEZE": _moved,
    "STRIDED_SLICE": _slice,
    "SUB": _arithmetic,
    "TANH": _plain("tanh"),
    "TRANSPOSE": _transposed,
    "TRANSPOSE_CONV": _transpose_conv,
}
