"""The table of our ops in torch as text: layers that own parameters, and functions.

A callee with braces is an expression: `{0}` is the first input, `{name}` an argument. All else is called with
its inputs and arguments. `SIGNATURES` has the arguments of torch's own; what torch lacks is in
`templates/torch_layers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.layer_text import (
    APPLY,
    LayerNode,
    LayerText,
    Writer,
    activation,
    attention,
    conv_args,
    free_extent,
    is_even,
    layer_text,
    plain,
    stochastic_depth,
    window_attention,
)
from archforge.interchange.torch.ops import interpolation_mode, pad_sides, pixel_factor
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op, TensorType
from archforge.ops.base import per_axis
from archforge.ops.window import Window

__all__ = ["CALLS", "SIGNATURES", "torch_text"]


def torch_text(op: Op, types: Sequence[TensorType]) -> LayerText:
    """The words for an op with inputs of these types. Raises `Unsupported`."""
    return layer_text(CALLS, op, types)


def _same(node: LayerNode) -> bool:
    return bool(node.op.padding == "same_upper")


def _conv(node: LayerNode) -> LayerText:
    window, args = node.window, conv_args(node)
    if _same(node):
        return LayerText(f"SameConv{node.axes}d", args | {"padding": 0}, owns=True)
    if not is_even(window):
        padded = args | {"padding": 0, "sides": pad_sides(window.padding)}
        return LayerText(f"PaddedConv{node.axes}d", padded, owns=True)
    return LayerText(f"nn.Conv{node.axes}d", args, owns=True)


def _standardized_conv(node: LayerNode) -> LayerText:
    op, window = node.op, node.window
    if node.axes != 2:
        raise Unsupported("`standardized_conv` of what is no image")
    args = conv_args(node)
    if not is_even(window):
        args |= {"padding": 0, "sides": pad_sides(window.padding)}
    return LayerText("StandardizedConv2d", args | {"eps": op.eps, "gamma": op.gamma}, owns=True)


def _conv_transpose(node: LayerNode) -> LayerText:
    op, window = node.op, node.window
    least = [min(sides) for sides in window.padding]
    args = {
        "in_channels": node.channels,
        "out_channels": op.out,
        "kernel_size": plain(window.kernel),
        "stride": plain(window.stride),
        "padding": plain(least),
        "output_padding": plain(per_axis(op.output_padding, node.axes, "output_padding")),
        "groups": op.groups,
        "bias": op.bias,
        "dilation": plain(window.dilation),
    }
    if is_even(window):
        return LayerText(f"nn.ConvTranspose{node.axes}d", args, owns=True)
    cut = pad_sides(
        (least_ - before, least_ - after)
        for least_, (before, after) in zip(least, window.padding, strict=True)
    )
    return LayerText(f"CroppedConvTranspose{node.axes}d", args | {"sides": cut}, owns=True)


def _linear(node: LayerNode) -> LayerText:
    op, (x,) = node.op, node.types
    axis = op.feature_axis(x)
    args = {"in_features": x.shape[axis], "out_features": op.out, "bias": op.bias}
    return LayerText("nn.Linear", args, owns=True, use=_along(node, axis))


def _batch_norm(node: LayerNode) -> LayerText:
    op = node.op
    args = {"num_features": node.channels, "eps": op.eps, "momentum": op.momentum, "affine": op.affine}
    layer = {"bias": "CenteredBatchNorm", "weight": "ScaledBatchNorm"}.get(op.only_parameter, "nn.BatchNorm")
    return LayerText(f"{layer}{max(node.axes, 1)}d", args, owns=True)


def _layer_norm(node: LayerNode) -> LayerText:
    op, (x,) = node.op, node.types
    axes, rank = op.axes(x), node.rank
    shape = _single([x.shape[a] for a in axes])
    args = {"normalized_shape": shape, "eps": op.eps, "elementwise_affine": op.affine}
    if tuple(axes) == tuple(range(rank - len(axes), rank)):
        return LayerText("nn.LayerNorm", args, owns=True)
    if tuple(axes) == (0,):
        return LayerText("ChannelLayerNorm", args, owns=True)
    if len(axes) > 1:
        raise Unsupported("`layer_norm` along several axes that are not the last ones")
    return LayerText("nn.LayerNorm", args, owns=True, use=_along(node, axes[0]))


def _rms_norm(node: LayerNode) -> LayerText:
    op = node.op
    extent = node.types[0].shape[op.axis]
    args = {"normalized_shape": extent, "eps": op.eps, "elementwise_affine": op.affine}
    return LayerText("nn.RMSNorm", args, owns=True, use=_along(node, op.axis))


def _l2_normalize(node: LayerNode) -> LayerText:
    args = {"dim": node.dim(node.op.axis), "eps": node.op.eps}
    return LayerText("F.normalize", args)


def _roll(node: LayerNode) -> LayerText:
    args = {"shifts": node.op.shift, "dims": node.dim(node.op.axis)}
    return LayerText("{0}.roll({shifts}, {dims})", args)


def _maximum(node: LayerNode) -> LayerText:
    return LayerText(reduce("torch.maximum({}, {})".format, _aligned(node)))


def _along(node: LayerNode, axis: int) -> str:
    """The use of a layer of the last axis along any one."""
    dim = node.dim(axis)
    return APPLY if dim == node.rank else f"{{self}}({{0}}.movedim({dim}, -1)).movedim(-1, {dim})"


def _single(values: Sequence[int]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _response_norm(node: LayerNode) -> LayerText:
    shape, dim = node.types[0].shape, node.dim(node.op.axis)
    others = tuple(d for d in range(1, len(shape) + 1) if d != dim)
    args = {"channels": shape[dim - 1], "dim": dim, "others": others, "eps": node.op.eps}
    return LayerText("GlobalResponseNorm", args, owns=True)


def _parameter(node: LayerNode) -> LayerText:
    op = node.op
    stored = (*((1,) if op.batch_axis else ()), *op.shape)
    start = f"({', '.join(map(str, stored))},)" if len(stored) == 1 else f"({', '.join(map(str, stored))})"
    mean = "{mean} + " if op.mean else ""
    callee = f"nn.Parameter({mean}{{std}} * torch.randn({', '.join(map(str, stored))}))"
    if not op.std:
        callee = f"nn.Parameter(torch.full({start}, {{mean}}))"
    shape = ", ".join(["len({0})", *(["-1"] * len(op.shape))])
    args = ({"std": op.std} if op.std else {}) | ({"mean": op.mean} if op.mean or not op.std else {})
    return LayerText(callee, args, owns=True, use=f"{{self}}.expand({shape})")


def _embedding(node: LayerNode) -> LayerText:
    op = node.op
    args = {"num_embeddings": op.entries, "embedding_dim": op.out}
    use = f"{{self}}({{0}}.clamp(0, {op.entries - 1}).long())"
    return LayerText("nn.Embedding", args, owns=True, use=use)


def _matmul(node: LayerNode) -> LayerText:
    first = "{0}.mT" if node.op.transpose_first else "{0}"
    return LayerText(f"{first} @ " + ("{1}.mT" if node.op.transpose_second else "{1}"))


def _prelu(node: LayerNode) -> LayerText:
    return LayerText("nn.PReLU", {"num_parameters": node.channels if node.op.per_channel else 1}, owns=True)


def _layer_scale(node: LayerNode) -> LayerText:
    op, axes = node.op, node.axes
    shape = f"({{channels}}{', 1' * axes})" if op.keep and axes else "({channels},)"
    use = "{0} * {self}" if op.keep or not axes else f"{{0}} * {{self}}[:{', None' * axes}]"
    callee = f"nn.Parameter(torch.full({shape}, {{init}}))"
    return LayerText(callee, {"channels": node.channels, "init": op.init}, owns=True, use=use)


def _recurrent(node: LayerNode) -> LayerText:
    op, features = node.op, node.types[0].shape[1]
    args = {"input_size": features, "hidden_size": op.hidden}
    both = {"bidirectional": op.bidirectional}
    if op.kind == "gru" and not op.linear_before_reset:
        return LayerText("ResetBeforeGRU", args | {"biases": op.biases} | both, owns=True)
    args |= {"nonlinearity": op.activation} if op.kind == "rnn" else {}
    layer = op.kind.upper()
    if op.biases == 1:
        return LayerText(
            f"OneBias{layer}", args | {"batch_first": True} | both, owns=True, use="{self}({0})[0]"
        )
    args |= {"bias": op.biases > 0, "batch_first": True} | both
    return LayerText(f"nn.{layer}", args, owns=True, use="{self}({0})[0]")


def _max_pool(node: LayerNode) -> LayerText:
    window = node.window
    args = {
        "kernel_size": plain(window.kernel),
        "stride": _stride(window),
        "padding": node.padding,
        "dilation": plain(window.dilation),
        "ceil_mode": node.op.ceil,
    }
    if _same(node) and not node.op.ceil:
        return _same_pool("max", window, dilation=args["dilation"])
    if not is_even(window):
        return _padded_pool(f"F.max_pool{node.axes}d", node, args, -math.inf)
    return LayerText(f"F.max_pool{node.axes}d", args, layer=f"nn.MaxPool{node.axes}d")


def _stride(window: Window) -> Any:
    """The stride, None where it is the kernel's extent, as torch has it."""
    return None if window.stride == window.kernel else plain(window.stride)


def _same_pool(which: str, window: Window, **more: Any) -> LayerText:
    args = {"kernel_size": plain(window.kernel), "stride": plain(window.stride)} | more
    return LayerText(f"same_{which}_pool", args)


def _padded_pool(function: str, node: LayerNode, args: dict[str, Any], value: float) -> LayerText:
    """A pool after `F.pad`, with all that the last windows reach beyond the input."""
    sides = pad_sides(node.window.margins(node.types[0].spatial))
    named = {} if args["stride"] is None else {"stride": args["stride"]}
    named |= {"dilation": args["dilation"]} if args.get("dilation", 1) != 1 else {}
    rest = "".join(f", {name}={{{name}}}" for name in named)
    fill = "" if value == 0 else ', value=float("-inf")'
    text = f"{function}(F.pad({{0}}, {{sides}}{fill}), {{kernel_size}}{rest})"
    return LayerText(text, {"kernel_size": args["kernel_size"], "sides": sides} | named)


def _avg_pool(node: LayerNode) -> LayerText:
    op, window = node.op, node.window
    args = {
        "kernel_size": plain(window.kernel),
        "stride": _stride(window),
        "padding": node.padding,
        "ceil_mode": op.ceil,
        "count_include_pad": op.count_include_pad,
    }
    if is_even(window) and not _same(node):
        return LayerText(f"F.avg_pool{node.axes}d", args, layer=f"nn.AvgPool{node.axes}d")
    if op.ceil:
        raise Unsupported("`avg_pool` with partial windows that pads one side more than the other")
    if _same(node):
        return _same_pool("avg", window, count_include_pad=op.count_include_pad)
    if op.count_include_pad:
        return _padded_pool(f"F.avg_pool{node.axes}d", node, args, 0)
    given = {
        "kernel_size": args["kernel_size"],
        "stride": plain(window.stride),
        "sides": pad_sides(window.padding),
    }
    return LayerText("padded_avg_pool", given)


def _lp_pool(node: LayerNode) -> LayerText:
    op, window = node.op, node.window
    if op.ceil and not is_even(window):
        raise Unsupported("`lp_pool` with partial windows that pads one side more than the other")
    args = {
        "norm": int(op.norm) if op.norm == int(op.norm) else op.norm,
        "kernel_size": plain(window.kernel),
        "stride": plain(window.stride),
    }
    if is_even(window):
        args |= {"padding": node.padding, "ceil_mode": op.ceil}
    else:
        args["sides"] = pad_sides(window.padding)
    return LayerText("lp_pool", args)


def _adaptive_pool(node: LayerNode) -> LayerText:
    args, kind = {"output_size": plain(node.op.infer(*node.types).spatial)}, node.op.kind
    layer = {"adaptive_avg_pool": "nn.AdaptiveAvgPool", "adaptive_max_pool": "nn.AdaptiveMaxPool"}[kind]
    return LayerText(f"F.{kind}{node.axes}d", args, layer=f"{layer}{node.axes}d")


def _global_pool(node: LayerNode) -> LayerText:
    kind = "avg" if node.op.kind == "global_avg_pool" else "max"
    if not node.op.keep:
        dims = tuple(range(2, 2 + node.axes))
        return LayerText("{0}." + {"avg": "mean", "max": "amax"}[kind] + "({dim})", {"dim": _single(dims)})
    args = {"output_size": 1}
    layer = f"nn.Adaptive{kind.title()}Pool{node.axes}d"
    return LayerText(f"F.adaptive_{kind}_pool{node.axes}d", args, layer=layer)


def _merge(sign: str) -> Writer:
    return lambda node: LayerText(f" {sign} ".join(_aligned(node)))


def _aligned(node: LayerNode) -> list[str]:
    """All values, each with the axes of the one that has most."""
    rank = max(len(t.shape) for t in node.types)
    lacks = [rank - len(t.shape) for t in node.types]
    return [f"{{{i}}}" + (f"[...{', None' * n}]" if n else "") for i, n in enumerate(lacks)]


def _concat(node: LayerNode) -> LayerText:
    each = ", ".join(f"{{{i}}}" for i in range(len(node.types)))
    return LayerText(
        f"torch.cat(({each},), {{dim}})" if len(node.types) == 1 else f"torch.cat(({each}), {{dim}})",
        {"dim": node.dim(node.op.axis)},
    )


def _dropout(node: LayerNode) -> LayerText:
    by_channel = node.op.kind == "channel_dropout" and node.axes
    end = f"{node.axes}d" if by_channel else ""
    args = {"p": node.op.rate}
    return LayerText(f"F.dropout{end}({{0}}, {{p}}, self.training)", args, layer=f"nn.Dropout{end}")


def _clip(node: LayerNode) -> LayerText:
    return LayerText("{0}.clamp({min}, {max})", {"min": node.op.min, "max": node.op.max})


def _softmax(node: LayerNode) -> LayerText:
    layer = {"softmax": "nn.Softmax", "log_softmax": "nn.LogSoftmax"}[node.op.kind]
    return LayerText(f"F.{node.op.kind}", {"dim": node.dim(node.op.axis)}, layer=layer)


def _group_norm(node: LayerNode) -> LayerText:
    op, channels = node.op, node.channels
    if op.kind == "instance_norm":
        args = {"num_features": channels, "eps": op.eps, "affine": op.affine}
        return LayerText(f"nn.InstanceNorm{node.axes}d", args, owns=True)
    args = {"num_groups": op.groups, "num_channels": channels, "eps": op.eps, "affine": op.affine}
    return LayerText("nn.GroupNorm", args, owns=True)


def _pad(node: LayerNode) -> LayerText:
    op = node.op
    args = {"padding": pad_sides(op.widths(node.types[0]))}
    if op.mode == "constant":
        return LayerText("F.pad", args | {"value": op.value}, layer=f"nn.ConstantPad{node.axes}d")
    if min(args["padding"]) < 0:
        raise Unsupported(f"`pad` with `mode: {op.mode}` that cuts off too")
    return LayerText("F.pad", args | {"mode": op.mode})


def _pixel_move(node: LayerNode) -> LayerText:
    layer = {"pixel_shuffle": "nn.PixelShuffle", "pixel_unshuffle": "nn.PixelUnshuffle"}[node.op.kind]
    return LayerText(f"F.{node.op.kind}", pixel_factor(node.op), layer=layer)


def _unfold(node: LayerNode) -> LayerText:
    window = node.window
    if node.axes != 2:
        raise Unsupported("`unfold` of what is no image")
    args = {"kernel_size": plain(window.kernel), "dilation": plain(window.dilation)}
    if is_even(window):
        args |= {"padding": node.padding, "stride": plain(window.stride)}
        return LayerText("F.unfold", args, layer="nn.Unfold")
    text = "F.unfold(F.pad({0}, {sides}), {kernel_size}, {dilation}, 0, {stride})"
    return LayerText(text, args | {"stride": plain(window.stride), "sides": pad_sides(window.padding)})


def _permute(node: LayerNode) -> LayerText:
    args = {"dims": (0, *(axis + 1 for axis in node.op.order))}
    return LayerText("{0}.permute({dims})", args, layer="Permute")


def _reshape(node: LayerNode) -> LayerText:
    shape = node.op.infer(*node.types).shape
    flat = "{0}" if node.rank == 1 else "{0}.flatten(1)"
    if len(shape) == 1:
        return LayerText("{0}.flatten(1)", layer="nn.Flatten")
    return LayerText(f"{flat}.unflatten(1, {{shape}})", {"shape": free_extent(shape)})


def _slice(node: LayerNode) -> LayerText:
    (x,) = node.types
    axis, stretch = node.op.stretch(x)
    if part := node.op.part(x):
        args = {"parts": part[1], "dim": axis + 1, "part": part[0]}
        return LayerText("{0}.chunk({parts}, {dim})[{part}]", args)
    args = {"dim": axis + 1, "start": stretch.start, "length": stretch.stop - stretch.start}
    return LayerText("{0}.narrow({dim}, {start}, {length})", args)


def _take(node: LayerNode) -> LayerText:
    return LayerText("take", {"indices": node.op.indices, "dim": node.dim(node.op.axis)})


def _shuffle(node: LayerNode) -> LayerText:
    args = {"groups": node.op.groups}
    if node.axes:
        return LayerText("F.channel_shuffle", args, layer="nn.ChannelShuffle")
    return LayerText("{0}.unflatten(1, ({groups}, -1)).transpose(1, 2).flatten(1)", args)


def _upsample(node: LayerNode) -> LayerText:
    op = node.op
    args = {"scale_factor": plain(per_axis(op.factor, node.axes, "factor")), "mode": op.mode}
    args |= {"align_corners": op.align_corners} if op.mode != "nearest" else {}
    return LayerText("F.interpolate", args, layer="nn.Upsample")


def _resize(node: LayerNode) -> LayerText:
    op = node.op
    args = {"size": plain(op.infer(*node.types).spatial), "mode": interpolation_mode(op, node.axes)}
    if "nearest" not in args["mode"]:
        args["align_corners"] = op.corners == "align_corners"
    return LayerText("F.interpolate", args, layer="nn.Upsample")


def _lrn(node: LayerNode) -> LayerText:
    args = {name: getattr(node.op, name) for name in ("size", "alpha", "beta", "k")}
    return LayerText("F.local_response_norm", args, layer="nn.LocalResponseNorm")


# For each kind of op, what writes it; an op that is missing cannot be written.
CALLS: Mapping[str, Writer] = {
    "abs": lambda node: LayerText("{0}.abs()"),
    "adaptive_avg_pool": _adaptive_pool,
    "adaptive_max_pool": _adaptive_pool,
    "add": _merge("+"),
    "attention": attention,
    "avg_pool": _avg_pool,
    "bn": _batch_norm,
    "channel_dropout": _dropout,
    "clip": _clip,
    "concat": _concat,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dropout": _dropout,
    "divide": _merge("/"),
    "embedding": _embedding,
    "elu": activation("F.elu", "nn.ELU", ("alpha", "alpha")),
    "flatten": lambda node: LayerText("{0}.flatten(1)", layer="nn.Flatten"),
    "gelu": activation("F.gelu", "nn.GELU", ("approximate", "approximate")),
    "global_avg_pool": _global_pool,
    "global_max_pool": _global_pool,
    "global_response_norm": _response_norm,
    "group_norm": _group_norm,
    "gru": _recurrent,
    "hard_sigmoid": activation("F.hardsigmoid", "nn.Hardsigmoid"),
    "hard_swish": activation("F.hardswish", "nn.Hardswish"),
    "instance_norm": _group_norm,
    "l2_normalize": _l2_normalize,
    "layer_norm": _layer_norm,
    "layer_scale": _layer_scale,
    "leaky_relu": activation("F.leaky_relu", "nn.LeakyReLU", ("negative_slope", "slope")),
    "linear": _linear,
    "log_softmax": _softmax,
    "lp_pool": _lp_pool,
    "lrn": _lrn,
    "lstm": _recurrent,
    "matmul": _matmul,
    "maximum": _maximum,
    "max_pool": _max_pool,
    "mish": activation("F.mish", "nn.Mish"),
    "multiply": _merge("*"),
    "offset": lambda node: LayerText("{0} + {number}", {"number": node.op.number}),
    "pad": _pad,
    "parameter": _parameter,
    "permute": _permute,
    "pixel_shuffle": _pixel_move,
    "pixel_unshuffle": _pixel_move,
    "prelu": _prelu,
    "relu": activation("F.relu", "nn.ReLU"),
    "relu6": activation("F.relu6", "nn.ReLU6"),
    "reshape": _reshape,
    "resize": _resize,
    "rms_norm": _rms_norm,
    "rnn": _recurrent,
    "roll": _roll,
    "scale": lambda node: LayerText("{0} * {factor}", {"factor": node.op.factor}),
    "selu": activation("F.selu", "nn.SELU"),
    "shuffle": _shuffle,
    "sigmoid": activation("torch.sigmoid", "nn.Sigmoid"),
    "silu": activation("F.silu", "nn.SiLU"),
    "slice": _slice,
    "softmax": _softmax,
    "softplus": activation("F.softplus", "nn.Softplus"),
    "softsign": activation("F.softsign", "nn.Softsign"),
    "standardized_conv": _standardized_conv,
    "stochastic_depth": stochastic_depth,
    "subtract": _merge("-"),
    "take": _take,
    "tanh": activation("torch.tanh", "nn.Tanh"),
    "unfold": _unfold,
    "upsample": _upsample,
    "window_attention": window_attention,
}

_CONV = {
    "in_channels": REQUIRED,
    "out_channels": REQUIRED,
    "kernel_size": REQUIRED,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
}
_CONV_TRANSPOSE = {
    "in_channels": REQUIRED,
    "out_channels": REQUIRED,
    "kernel_size": REQUIRED,
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "groups": 1,
    "bias": True,
    "dilation": 1,
}
_BATCH_NORM = {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": True}
_RNN = {
    "input_size": REQUIRED,
    "hidden_size": REQUIRED,
    "bias": True,
    "batch_first": False,
    "bidirectional": False,
}
_MAX_POOL = {"kernel_size": REQUIRED, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
_AVG_POOL = {
    "kernel_size": REQUIRED,
    "stride": None,
    "padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
}
_RESIZE = {"size": None, "scale_factor": None, "mode": "nearest", "align_corners": None}
_OF_ANY_RANK: Mapping[str, Mapping[str, Any]] = {
    "nn.Conv{}d": _CONV,
    "nn.ConvTranspose{}d": _CONV_TRANSPOSE,
    "nn.BatchNorm{}d": _BATCH_NORM,
    "F.max_pool{}d": _MAX_POOL,
    "nn.MaxPool{}d": _MAX_POOL,
    "F.avg_pool{}d": _AVG_POOL,
    "nn.AvgPool{}d": _AVG_POOL,
    "F.adaptive_avg_pool{}d": {"output_size": REQUIRED},
    "nn.AdaptiveAvgPool{}d": {"output_size": REQUIRED},
    "F.adaptive_max_pool{}d": {"output_size": REQUIRED},
    "nn.AdaptiveMaxPool{}d": {"output_size": REQUIRED},
    "nn.Dropout{}d": {"p": 0.5},
    "nn.ConstantPad{}d": {"padding": REQUIRED, "value": REQUIRED},
    "nn.InstanceNorm{}d": {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": False},
}
_UNFOLD = {"kernel_size": REQUIRED, "dilation": 1, "padding": 0, "stride": 1}
_LRN = {"size": REQUIRED, "alpha": 1e-4, "beta": 0.75, "k": 1.0}

_PLAIN = (
    "F.hardsigmoid", "F.hardswish", "F.mish", "F.relu", "F.relu6", "F.selu", "F.silu", "F.softplus",
    "F.softsign", "torch.sigmoid", "torch.tanh", "nn.Hardsigmoid", "nn.Hardswish", "nn.Mish", "nn.ReLU",
    "nn.ReLU6", "nn.SELU", "nn.SiLU", "nn.Softplus", "nn.Softsign", "nn.Sigmoid", "nn.Tanh", "nn.Flatten",
    "nn.Identity",
)  # fmt: skip

# The arguments that the calls above give, in torch's order, with torch's defaults.
SIGNATURES: Mapping[str, Mapping[str, Any]] = {
    **{name.format(rank): args for name, args in _OF_ANY_RANK.items() for rank in (1, 2, 3)},
    **{name: {} for name in _PLAIN},
    "F.elu": {"alpha": 1.0},
    "nn.ELU": {"alpha": 1.0},
    "F.gelu": {"approximate": "none"},
    "nn.GELU": {"approximate": "none"},
    "F.leaky_relu": {"negative_slope": 0.01},
    "nn.LeakyReLU": {"negative_slope": 0.01},
    "nn.Embedding": {"num_embeddings": REQUIRED, "embedding_dim": REQUIRED},
    "nn.Linear": {"in_features": REQUIRED, "out_features": REQUIRED, "bias": True},
    "nn.LayerNorm": {"normalized_shape": REQUIRED, "eps": 1e-5, "elementwise_affine": True},
    "nn.RMSNorm": {"normalized_shape": REQUIRED, "eps": None, "elementwise_affine": True},
    "F.normalize": {"p": 2.0, "dim": 1, "eps": 1e-12},
    "nn.GroupNorm": {"num_groups": REQUIRED, "num_channels": REQUIRED, "eps": 1e-5, "affine": True},
    "nn.PReLU": {"num_parameters": 1},
    "nn.RNN": {**_RNN, "nonlinearity": "tanh"},
    "nn.LSTM": _RNN,
    "nn.GRU": _RNN,
    "F.softmax": {"dim": None},
    "nn.Softmax": {"dim": None},
    "F.log_softmax": {"dim": None},
    "nn.LogSoftmax": {"dim": None},
    "F.pad": {"padding": REQUIRED, "mode": "constant", "value": 0.0},
    "F.channel_shuffle": {"groups": REQUIRED},
    "nn.ChannelShuffle": {"groups": REQUIRED},
    "F.pixel_shuffle": {"upscale_factor": REQUIRED},
    "nn.PixelShuffle": {"upscale_factor": REQUIRED},
    "F.pixel_unshuffle": {"downscale_factor": REQUIRED},
    "nn.PixelUnshuffle": {"downscale_factor": REQUIRED},
    "F.unfold": _UNFOLD,
    "nn.Unfold": _UNFOLD,
    "F.interpolate": _RESIZE,
    "nn.Upsample": _RESIZE,
    "F.local_response_norm": _LRN,
    "nn.LocalResponseNorm": _LRN,
    "nn.Dropout": {"p": 0.5},
}  # fmt: skip
