"""Convolutions and pools, over a window or over all of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.interchange.flows import Flow
from archforge.interchange.keras.families.elementwise import activated
from archforge.interchange.keras.use import KerasUse, Translate
from archforge.interchange.translation import bound_op, require

__all__ = ["READ"]


def _padding(use: KerasUse, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Any:
    """The padding of a window: what Keras calls `same` is `same_upper` here."""
    given = use.given("padding", "valid")
    if given == "causal":
        return tuple((d * (k - 1), 0) for k, d in zip(kernel, dilation, strict=True))
    require(given in ("valid", "same"), f"`padding` = {given!r}")
    return "same_upper" if given == "same" else "valid"


def _window(use: KerasUse, axes: int) -> dict[str, Any]:
    kernel = use.sizes("kernel_size", axes)
    dilation = use.sizes("dilation_rate", axes)
    padding = _padding(use, kernel, dilation)
    return {
        "kernel": kernel,
        "stride": use.sizes("strides", axes),
        "dilation": dilation,
        "padding": padding,
    }


def _conv(axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        bias, out = use.flag("use_bias", True), use.given("filters")
        op = bound_op("conv", out=out, groups=use.given("groups", 1), bias=bias, **_window(use, axes))
        return activated(use, use.add(op, use.map(axes), params=use.params("weight", "bias")))

    return read


def _depthwise(axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        x, bias = use.map(axes), use.flag("use_bias", True)
        (multiplier,) = use.sizes("depth_multiplier", 1)
        groups = x.type.channels
        op = bound_op("conv", out=groups * multiplier, groups=groups, bias=bias, **_window(use, axes))
        return activated(use, use.add(op, x, params=use.params("weight", "bias")))

    return read


def _separable(axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        x, bias, out = use.map(axes), use.flag("use_bias", True), use.given("filters")
        (multiplier,) = use.sizes("depth_multiplier", 1)
        groups = x.type.channels
        op = bound_op("conv", out=groups * multiplier, groups=groups, bias=False, **_window(use, axes))
        x = use.add(op, x, ".depthwise", use.params("weight", scope="depthwise."))
        op = bound_op("conv", out=out, bias=bias)
        return activated(use, use.add(op, x, ".pointwise", use.params("weight", "bias", scope="pointwise.")))

    return read


def _conv_transpose(axes: int) -> Translate:
    """`same` gives the input's extent times the stride, `valid` at least all of the last kernel; what is too
    much is cut off on both sides, the odd element behind."""

    def read(use: KerasUse) -> Flow:
        x, window = use.map(axes), _window(use, axes)
        use.only("output_padding", None)
        is_same = window["padding"] == "same_upper"
        sizes = zip(window["kernel"], window["stride"], window["dilation"], strict=True)
        excess = [d * (k - 1) + 1 - s for k, s, d in sizes]  # over the input's extent times the stride
        cut = [max(e, 0) if is_same else 0 for e in excess]
        op = bound_op(
            "conv_transpose",
            out=use.given("filters"),
            bias=use.flag("use_bias", True),
            groups=use.given("groups", 1),
            output_padding=tuple(max(-e, 0) for e in excess),
            **window | {"padding": tuple((n // 2, n - n // 2) for n in cut)},
        )
        return activated(use, use.add(op, x, params=use.params("weight", "bias")))

    return read


def _pool(kind: str, axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        kernel = use.sizes("pool_size", axes, 2)
        stride = use.sizes("strides", axes, kernel)
        attributes = {"kernel": kernel, "stride": stride, "padding": _padding(use, kernel, (1,) * axes)}
        if kind == "avg_pool":
            attributes["count_include_pad"] = False
        return use.add(bound_op(kind, **attributes), use.map(axes))

    return read


def _global_pool(kind: str, axes: int) -> Translate:
    def read(use: KerasUse) -> Flow:
        x = use.map(axes)
        gives = x.axes if use.flag("keepdims", False) else (0, 1)
        return use.add(bound_op(kind), x, gives=gives)

    return read


_AXES = (1, 2, 3)
_GLOBAL = {"GlobalAveragePooling": "global_avg_pool", "GlobalMaxPooling": "global_max_pool"}
_POOLS = {"AveragePooling": "avg_pool", "MaxPooling": "max_pool"}

READ: Mapping[str, Translate] = {
    **{f"Conv{n}D": _conv(n) for n in _AXES},
    **{f"Conv{n}DTranspose": _conv_transpose(n) for n in _AXES},
    **{f"DepthwiseConv{n}D": _depthwise(n) for n in _AXES[:2]},
    **{f"SeparableConv{n}D": _separable(n) for n in _AXES[:2]},
    **{f"{word}{n}D": _pool(kind, n) for word, kind in _POOLS.items() for n in _AXES},
    **{f"{word}{n}D": _global_pool(kind, n) for word, kind in _GLOBAL.items() for n in _AXES},
}
