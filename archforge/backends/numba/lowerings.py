"""The table of this backend's kernels, by kind of op. What is missing or None runs on the reference.

A kernel here does not compute: it records calls on the tape of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from archforge.backends.numba.choices import chosen_form, kept
from archforge.backends.numba.families.epilogues import ACTIVATIONS
from archforge.ir import TensorType
from archforge.ops.base import Op
from archforge.ops.conv import Conv
from archforge.plan import Kernel, Lowering

__all__ = ["LOWERINGS", "lowerings"]


# Layers of at most so many weights stay in float32: the narrow ones in which networks begin, whose rounding
# all others carry on. With MobileNetV2 on photographs they are half of the error and a tenth of the time.
FEW_WEIGHTS = 1 << 13
# Ops whose kernels can multiply bfloat16. They read and write float32 all the same, as all others do.
PRODUCTS = ("conv", "conv_transpose", "linear")


def lowerings(
    dtype: str, without: frozenset[str], choices: Mapping[str, str] | None = None
) -> Mapping[str, Lowering]:
    """The table of lowerings, but for `without`. `choices` are kernels by use; None for those that are
    kept, of which there are none in bfloat16."""
    bfloat16 = dtype == "bfloat16"
    table = LOWERINGS
    if "winograd" not in without:
        if choices is None:
            choices = {} if bfloat16 else kept()
        table = {**LOWERINGS, "conv": partial(convolution, choices)}
    return {**table, **{kind: partial(rounding, table[kind]) for kind in PRODUCTS}} if bfloat16 else table


def rounding(lowering: Lowering, op: Op, x: TensorType) -> Kernel | None:
    """The kernel of a lowering that multiplies bfloat16 where an op has more than a few weights."""
    return lowering(op, x, bfloat16=op.params(x)["weight"].size > FEW_WEIGHTS)


def convolution(
    choices: Mapping[str, str], op: Conv, x: TensorType, *, bfloat16: bool = False
) -> Kernel | None:
    """A kernel for a convolution: Winograd's by the chosen form, always in float32, or a direct one."""
    form = chosen_form(op, x, choices, bfloat16=bfloat16)
    if form is None:
        return direct_convolution(op, x, bfloat16=bfloat16)
    return of_family("winograd.convolution", op, x, form)


def direct_convolution(op: Conv, x: TensorType, *, bfloat16: bool = False) -> Kernel | None:
    """A kernel for a convolution without Winograd's method."""
    if op.groups == op.out == x.channels > 1:
        return of_family("channel_windows.depthwise", op, x)
    return of_family("direct_conv.direct", op, x, bfloat16=bfloat16)


def of_family(place: str, *given: Any, **options: Any) -> Kernel | None:
    """The kernel of `family.lowering`. A family is loaded when its first lowering is asked, since a network
    needs few of them."""
    family, _, name = place.partition(".")
    lowering: Lowering = getattr(import_module(f"archforge.backends.numba.families.{family}"), name)
    return lowering(*given, **options)


# The family and the lowering of each kind but convolutions.
PLACES: Mapping[str, str] = {
    **dict.fromkeys(ACTIVATIONS, "elementwise.activation"),
    **dict.fromkeys(("channel_dropout", "dropout", "identity", "stochastic_depth"), "elementwise.alias"),
    **dict.fromkeys(("add", "subtract"), "elementwise.merge"),
    "adaptive_avg_pool": "channel_windows.adaptive_avg_pool",
    "attention": "attention.attention",
    "avg_pool": "channel_windows.avg_pool",
    "bn": "elementwise.batch_norm",
    "concat": "moves.concat",
    "conv_transpose": "transposed_conv.conv_transpose",
    "flatten": "moves.flatten",
    "global_avg_pool": "channel_windows.global_pool",
    "global_max_pool": "channel_windows.global_pool",
    "global_response_norm": "across_channels.global_response_norm",
    "layer_norm": "across_channels.layer_norm",
    "layer_scale": "elementwise.layer_scale",
    "linear": "direct_conv.linear",
    "log_softmax": "across_channels.softmax",
    "lrn": "across_channels.lrn",
    "max_pool": "channel_windows.max_pool",
    "multiply": "elementwise.multiply",
    "pad": "moves.pad",
    "permute": "moves.permute",
    "prelu": "elementwise.prelu",
    "reshape": "moves.reshape",
    "resize": "resample.resize",
    "scale": "elementwise.scale",
    "shuffle": "moves.shuffle",
    "slice": "moves.slice_",
    "softmax": "across_channels.softmax",
    "upsample": "resample.upsample",
    "window_attention": "attention.window_attention",
}

LOWERINGS: Mapping[str, Lowering] = {
    "conv": direct_convolution,
    **{kind: partial(of_family, place) for kind, place in PLACES.items()},
}
