"""Convolutions and pools, over a window or over all of a map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from archforge.interchange.foreign import MaxAlong, MeanAlong, NormAlong
from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate
from archforge.interchange.onnx.writing import OnnxUse, Write, around_map, sides_of
from archforge.interchange.translation import bound_op, require
from archforge.ops.adaptive_pool import windows
from archforge.ops.base import per_axis
from archforge.ops.lazy_numpy import np
from archforge.ops.pool import window_counts
from archforge.ops.window import Window

__all__ = ["PARTS", "READ", "WRITTEN"]


def _window(node: OnnxNode, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Kernel, stride, dilation and padding of a node that slides over its input."""
    axes = len(kernel)
    strides = node.ints("strides") or (1,) * axes
    dilations = node.ints("dilations") or (1,) * axes
    pads = node.ints("pads") or (0,) * 2 * axes
    auto = node.attributes.get("auto_pad", "NOTSET")
    padding: Any = tuple(zip(pads[:axes], pads[axes:], strict=True))
    if auto == "VALID":
        padding = "valid"
    elif auto == "SAME_UPPER":
        padding = "same_upper"
    elif auto == "SAME_LOWER":  # as `same_upper`, with the odd element before
        padding = tuple(
            (total - total // 2, total // 2)
            for n, k, s, d in zip(node.x[2:], kernel, strides, dilations, strict=True)
            for total in [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)]
        )
    return {"kernel": kernel, "stride": strides, "dilation": dilations, "padding": padding}


def _conv(node: OnnxNode) -> list[OnnxTranslation]:
    weight, bias = node.weight(1), node.constant(2)
    attributes = _window(node, weight.shape[2:]) | {"groups": node.attributes.get("group", 1)}
    op = bound_op("conv", out=len(weight), bias=bias is not None, **attributes)
    params = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _conv_transpose(node: OnnxNode) -> list[OnnxTranslation]:
    weight, bias, groups = node.weight(1), node.constant(2), node.attributes.get("group", 1)
    attributes = _window(node, weight.shape[2:]) | {"groups": groups}
    sizes, strides, dilations = node.x[2:], attributes["stride"], attributes["dilation"]
    excess = node.ints("output_padding") or (0,) * len(sizes)
    wanted = node.ints("output_shape")
    if attributes["padding"] == "same_upper":
        wanted = tuple(n * s for n, s in zip(sizes, strides, strict=True))
    if wanted:  # padding is what the output would have too much, the odd element after
        full = zip(sizes, strides, weight.shape[2:], dilations, excess, wanted, strict=True)
        totals = [(n - 1) * s + d * (k - 1) + 1 + e - o for n, s, k, d, e, o in full]
        excess = tuple(e + max(-t, 0) for e, t in zip(excess, totals, strict=True))
        attributes["padding"] = tuple((max(t, 0) // 2, (max(t, 0) + 1) // 2) for t in totals)
    out = weight.shape[1] * groups
    op = bound_op("conv_transpose", out=out, bias=bias is not None, output_padding=excess, **attributes)
    params = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _pool(kind: str) -> Translate:
    """A pool over a window."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        attributes = _window(node, node.ints("kernel_shape") or ())
        sides = zip(attributes["kernel"], attributes["dilation"], node.ints("pads") or (), strict=False)
        for k, d, before in sides:
            reach = d * (k - 1) + 1
            require(before <= reach // 2, "padding above half of the window, which torch refuses")
        if kind != "max_pool":
            require({*attributes.pop("dilation")} == {1}, "a dilated window, which torch has for maxima only")
        if kind == "avg_pool":
            attributes["count_include_pad"] = bool(node.attributes.get("count_include_pad", 0))
        if kind == "lp_pool":
            attributes["norm"] = node.attributes.get("p", 2)
        op = bound_op(kind, ceil=bool(node.attributes.get("ceil_mode", 0)), **attributes)
        return [OnnxTranslation((op,), is_batched=True)]

    return translate


def _global_pool(kind: str) -> Translate:
    """A pool over all of a map."""
    return lambda node: [OnnxTranslation((bound_op(kind),), is_batched=True)]


def _reduction(kind: str) -> Translate:
    """A mean or maximum over all of a map, which is a global pool, or over other axes."""
    along = MeanAlong if kind == "global_avg_pool" else MaxAlong

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        given = node.constant(1)
        axes = range(len(node.x)) if given is None else [int(axis) % len(node.x) for axis in given]
        keep = bool(node.attributes.get("keepdims", 1))
        require(node.axes is not None and None not in node.axes, "an array that is no batch of maps")
        ours = node.axes or ()
        spatial = {ours.index(axis) for axis in range(2, len(ours))}
        if spatial != {*axes}:
            gives = ours if keep else tuple(axis for place, axis in enumerate(ours) if place not in {*axes})
            return [OnnxTranslation((along(axes=tuple(sorted(map(node.axis, axes)))),), gives=gives)]
        require(bool(spatial), "no axes")
        gives = ours if keep else tuple(a for i, a in enumerate(ours) if i not in spatial)
        return [OnnxTranslation((bound_op(kind, keep=keep),), gives=gives)]

    return translate


def _norm(node: OnnxNode) -> list[OnnxTranslation]:
    given = node.constant(1)
    require(given is not None and bool(node.attributes.get("keepdims", 1)), "axes that do not stay")
    axes = () if given is None else tuple(sorted(node.axis(int(axis)) for axis in given))
    return [OnnxTranslation((NormAlong(axes=axes),))]


def _window_written(window: Window) -> dict[str, Any]:
    """The attributes that every window has; those of one without dilation leave it out."""
    attributes = {"kernel_shape": window.kernel, "strides": window.stride, "pads": sides_of(window.padding)}
    return attributes if {*window.dilation} == {1} else attributes | {"dilations": window.dilation}


def _conv_written(use: OnnxUse) -> str:
    attributes = _window_written(use.op.window(use.types[0])) | {"group": use.op.groups}
    return use.node("Conv", use.x, *use.own, **attributes)


def _standardized_conv_written(use: OnnxUse) -> str:
    """The weight of the convolution from the stored one."""
    op, weight = use.op, use.params["weight"]
    axes = use.whole("axes", range(1, use.rank))
    centred = use.node("Sub", weight, use.node("ReduceMean", weight, axes))
    variance = use.node("ReduceMean", use.node("Mul", centred, centred), axes)
    deviation = use.node("Sqrt", use.node("Add", variance, use.numbers("eps", op.eps)))
    weight = use.node("Div", centred, deviation)
    if op.gamma is not None:
        scale = op.gamma / math.sqrt(math.prod(use.arrays["weight"].shape[1:]))
        weight = use.node("Mul", weight, use.node("Mul", use.params["gain"], use.numbers("scale", scale)))
    bias = [use.params["bias"]] if op.bias else []
    attributes = _window_written(op.window(use.types[0])) | {"group": op.groups}
    return use.node("Conv", use.x, weight, *bias, **attributes)


def _conv_transpose_written(use: OnnxUse) -> str:
    attributes = _window_written(use.op.window(use.types[0])) | {"group": use.op.groups}
    excess = per_axis(use.op.output_padding, use.rank - 2, "output_padding")
    return use.node("ConvTranspose", use.x, *use.own, output_padding=excess, **attributes)


def _unfold_written(use: OnnxUse) -> str:
    """A convolution that copies: one output for each tap of each channel."""
    (x,), window = use.types, use.op.window(use.types[0])
    taps = math.prod(window.kernel)
    copies = np.tile(np.eye(taps).reshape(taps, 1, *window.kernel), (x.channels, *(1,) * (use.rank - 1)))
    attributes = _window_written(window) | {"group": x.channels}
    found = use.node("Conv", use.x, use.numbers("taps", copies), **attributes)
    return use.shaped(found, use.output.shape)


def _max_pool_written(use: OnnxUse) -> str:
    attributes = _window_written(use.op.window(use.types[0]))
    return use.node("MaxPool", use.x, ceil_mode=int(use.op.ceil), **attributes)


def _avg_pool_written(use: OnnxUse) -> str:
    attributes = _window_written(use.op.window(use.types[0]))
    counted = int(use.op.count_include_pad)
    return use.node("AveragePool", use.x, ceil_mode=int(use.op.ceil), count_include_pad=counted, **attributes)


def _lp_pool_written(use: OnnxUse) -> str:
    """ONNX's norm is a whole number, and runtimes do not agree on the last, partial window of a ceil."""
    (x,), norm = use.types, float(use.op.norm)
    window = use.op.window(x)
    margins = window.margins(x.spatial)
    if norm.is_integer() and margins == window.padding:
        return use.node("LpPool", use.x, p=int(norm), **_window_written(window))
    powers = use.node("Pow", use.node("Abs", use.x), use.numbers("norm", norm))
    around = use.whole("sides", around_map(margins))
    means = use.node(
        "AveragePool", use.node("Pad", powers, around), kernel_shape=window.kernel, strides=window.stride
    )
    axes = range(2, use.rank)
    corners = [use.whole(word, ends) for word, ends in (("starts", [0] * len(axes)), ("ends", window.output))]
    kept = use.node("Slice", means, *corners, use.whole("axes", axes))
    # A mean becomes a sum, and the sum of a partial window is scaled up to that of a full one.
    counts = window_counts(window, x.spatial, include_padding=True)
    sums = use.node("Mul", kept, use.numbers("elements", math.prod(window.kernel) ** 2 / counts[None, None]))
    return use.node("Pow", sums, use.numbers("root", 1 / norm))


def _global_pool_written(onnx_op: str, reduction: str) -> Write:
    """The pool that keeps the axes of a map, or the reduction that does not."""

    def write(use: OnnxUse) -> str:
        if use.op.keep:
            return use.node(onnx_op, use.x)
        return use.node(reduction, use.x, use.whole("axes", range(2, use.rank)), keepdims=0)

    return write


def _adaptive_written(kind: str, combined: Callable[[OnnxUse, str, int, list[slice]], str]) -> Write:
    """A pool where all windows are alike; where they are not, those of each axis `combined` in turn."""

    def write(use: OnnxUse) -> str:
        sizes, counts = use.types[0].spatial, use.output.spatial
        if {*counts} == {1}:
            return use.node(f"Global{kind}Pool", use.x)
        if not any(size % count for size, count in zip(sizes, counts, strict=True)):
            kernel = [size // count for size, count in zip(sizes, counts, strict=True)]
            return use.node(f"{kind}Pool", use.x, kernel_shape=kernel, strides=kernel)
        x = use.x
        for axis, (size, count) in enumerate(zip(sizes, counts, strict=True), start=2):
            x = combined(use, x, axis, windows(size, count))
        return x

    return write


def _means(use: OnnxUse, x: str, axis: int, parts: list[slice]) -> str:
    """A product with the shares that elements have in the means."""
    shares, last = np.zeros((parts[-1].stop, len(parts))), use.rank - 1
    for column, window in enumerate(parts):
        shares[window, column] = 1 / (window.stop - window.start)
    order = [{axis: last, last: axis}.get(a, a) for a in range(use.rank)]
    product = use.node("MatMul", use.transposed(x, order), use.numbers("shares", shares))
    return use.transposed(product, order)


def _largest(use: OnnxUse, x: str, axis: int, parts: list[slice]) -> str:
    """The largest elements of each part side by side."""
    along = use.whole("axis", [axis])
    cut = [
        use.node("Slice", x, use.whole("start", [part.start]), use.whole("end", [part.stop]), along)
        for part in parts
    ]
    return use.node("Concat", *(use.node("ReduceMax", part, along) for part in cut), axis=axis)


READ: Mapping[str, OnnxOp] = {
    "AveragePool": OnnxOp("avg_pool", _pool("avg_pool")),
    "Conv": OnnxOp("conv", _conv),
    "ConvTranspose": OnnxOp("conv_transpose", _conv_transpose),
    "GlobalAveragePool": OnnxOp("global_avg_pool", _global_pool("global_avg_pool")),
    "GlobalMaxPool": OnnxOp("global_max_pool", _global_pool("global_max_pool")),
    "LpPool": OnnxOp("lp_pool", _pool("lp_pool")),
    "MaxPool": OnnxOp("max_pool", _pool("max_pool")),
    "ReduceMax": OnnxOp("global_max_pool", _reduction("global_max_pool")),
    "ReduceMean": OnnxOp("global_avg_pool", _reduction("global_avg_pool")),
}

PARTS: Mapping[str, Translate] = {"ReduceL2": _norm}

WRITTEN: Mapping[str, Write] = {
    "adaptive_avg_pool": _adaptive_written("Average", _means),
    "adaptive_max_pool": _adaptive_written("Max", _largest),
    "avg_pool": _avg_pool_written,
    "conv": _conv_written,
    "conv_transpose": _conv_transpose_written,
    "global_avg_pool": _global_pool_written("GlobalAveragePool", "ReduceMean"),
    "global_max_pool": _global_pool_written("GlobalMaxPool", "ReduceMax"),
    "lp_pool": _lp_pool_written,
    "max_pool": _max_pool_written,
    "standardized_conv": _standardized_conv_written,
    "unfold": _unfold_written,
}
