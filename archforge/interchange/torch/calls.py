"""The table of our ops in torch as text: layers that own parameters, and functions.

A callee with braces is an expression: `{0}` is the first input, `{name}` an argument. All else is called with
its inputs and arguments. `SIGNATURES` has the arguments of torch's own; what torch lacks is in
`templates/torch_layers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.torch.ops import interpolation_mode
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op, TensorType
from archforge.ops.base import per_axis
from archforge.ops.window import Window

__all__ = ["APPLY", "CALLS", "SIGNATURES", "TorchText", "torch_text"]

APPLY = "{self}({0})"


@dataclass(frozen=True, slots=True)
class TorchText:
    """The words for an op. With `owns`, `callee` and `args` construct the layer that owns its parameters, and
    `use` is its value, where `{self}` stands for the layer. Else they are the function that computes it, and
    `layer` is a class of layers that do the same, with the same arguments."""

    callee: str
    args: Mapping[str, Any] = field(default_factory=dict)
    owns: bool = False
    use: str = APPLY
    layer: str = ""


@dataclass(frozen=True, slots=True)
class _TorchNode:
    """An op with the types of its inputs."""

    op: Any
    types: Sequence[TensorType]

    @property
    def axes(self) -> int:
        """The number of spatial axes of the first input."""
        return len(self.types[0].spatial)

    @property
    def window(self) -> Window:
        """The window of the op over its input."""
        window: Window = self.op.window(self.types[0])
        return window

    @property
    def padding(self) -> Any:
        """The elements before each spatial axis, which is all of the padding where the window is even."""
        return _plain([before for before, _ in self.window.padding])

    @property
    def channels(self) -> int:
        return self.types[0].channels

    def dim(self, axis: int) -> int:
        """An axis of the first input by its number with the batch, which ours leave out."""
        return axis % len(self.types[0].shape) + 1


def torch_text(op: Op, types: Sequence[TensorType]) -> TorchText:
    """The words for an op with inputs of these types. Raises `Unsupported`."""
    if op.kind not in CALLS:
        raise Unsupported(f"layer for `{op.kind}`")
    return CALLS[op.kind](_TorchNode(op, types))


_Writer = Callable[[_TorchNode], TorchText]


def _plain(values: Sequence[Any]) -> Any:
    """A value for each axis as torch takes it: one for all, where they are alike."""
    return values[0] if len({*values}) == 1 else tuple(values)


def _sides(pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Pairs (before, after) of each axis in the order of `F.pad`: the last axis first."""
    return tuple(side for pair in reversed(list(pairs)) for side in pair)


def _is_even(window: Window) -> bool:
    return all(before == after for before, after in window.padding)


def _activation(function: str, layer: str, *attributes: tuple[str, str]) -> _Writer:
    """An activation; attributes: the names of each in torch and of ours."""

    def write(node: _TorchNode) -> TorchText:
        args = {name: getattr(node.op, ours) for name, ours in attributes}
        return TorchText(function, args, layer=layer)

    return write


def _same(node: _TorchNode) -> bool:
    return bool(node.op.padding == "same_upper")


def _conv(node: _TorchNode) -> TorchText:
    op, window = node.op, node.window
    args = {
        "in_channels": node.channels,
        "out_channels": op.out,
        "kernel_size": _plain(window.kernel),
        "stride": _plain(window.stride),
        "padding": node.padding,
        "dilation": _plain(window.dilation),
        "groups": op.groups,
        "bias": op.bias,
    }
    if _same(node):
        return TorchText(f"SameConv{node.axes}d", args | {"padding": 0}, owns=True)
    if not _is_even(window):
        padded = args | {"padding": 0, "sides": _sides(window.padding)}
        return TorchText(f"PaddedConv{node.axes}d", padded, owns=True)
    return TorchText(f"nn.Conv{node.axes}d", args, owns=True)


def _conv_transpose(node: _TorchNode) -> TorchText:
    op, window = node.op, node.window
    least = [min(sides) for sides in window.padding]
    args = {
        "in_channels": node.channels,
        "out_channels": op.out,
        "kernel_size": _plain(window.kernel),
        "stride": _plain(window.stride),
        "padding": _plain(least),
        "output_padding": _plain(per_axis(op.output_padding, node.axes, "output_padding")),
        "groups": op.groups,
        "bias": op.bias,
        "dilation": _plain(window.dilation),
    }
    if _is_even(window):
        return TorchText(f"nn.ConvTranspose{node.axes}d", args, owns=True)
    cut = _sides(
        (least_ - before, least_ - after)
        for least_, (before, after) in zip(least, window.padding, strict=True)
    )
    return TorchText(f"CroppedConvTranspose{node.axes}d", args | {"sides": cut}, owns=True)


def _linear(node: _TorchNode) -> TorchText:
    op, (x,) = node.op, node.types
    last = len(x.shape) - 1
    axis = op.feature_axis(x)
    args = {"in_features": x.shape[axis], "out_features": op.out, "bias": op.bias}
    use = APPLY if axis == last else _along(axis + 1)
    return TorchText("nn.Linear", args, owns=True, use=use)


def _batch_norm(node: _TorchNode) -> TorchText:
    op = node.op
    args = {"num_features": node.channels, "eps": op.eps, "momentum": op.momentum, "affine": op.affine}
    if op.affine and not op.scale:
        return TorchText(f"CenteredBatchNorm{max(node.axes, 1)}d", args, owns=True)
    return TorchText(f"nn.BatchNorm{max(node.axes, 1)}d", args, owns=True)


def _layer_norm(node: _TorchNode) -> TorchText:
    op, (x,) = node.op, node.types
    axes, rank = op.axes(x), len(x.shape)
    shape = _single([x.shape[a] for a in axes])
    args = {"normalized_shape": shape, "eps": op.eps, "elementwise_affine": op.affine}
    if tuple(axes) == tuple(range(rank - len(axes), rank)):
        return TorchText("nn.LayerNorm", args, owns=True)
    if tuple(axes) == (0,):
        return TorchText("ChannelLayerNorm", args, owns=True)
    if len(axes) > 1:
        raise Unsupported("`layer_norm` along several axes that are not the last ones")
    return TorchText("nn.LayerNorm", args, owns=True, use=_along(axes[0] + 1))


def _along(axis: int) -> str:
    """A layer of the last axis, along another one."""
    return f"{{self}}({{0}}.movedim({axis}, -1)).movedim(-1, {axis})"


def _single(values: Sequence[int]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _response_norm(node: _TorchNode) -> TorchText:
    shape, dim = node.types[0].shape, node.dim(node.op.axis)
    others = tuple(d for d in range(1, len(shape) + 1) if d != dim)
    args = {"channels": shape[dim - 1], "dim": dim, "others": others, "eps": node.op.eps}
    return TorchText("GlobalResponseNorm", args, owns=True)


def _attention(node: _TorchNode) -> TorchText:
    op, (x,) = node.op, node.types
    args = {"features": x.shape[-1], "heads": op.heads, "bias": op.bias}
    return TorchText({"torch": "SelfAttention", "timm": "FusedAttention"}[op.names], args, owns=True)


def _parameter(node: _TorchNode) -> TorchText:
    op = node.op
    stored = (*((1,) if op.batch_axis else ()), *op.shape)
    start = f"({', '.join(map(str, stored))},)" if len(stored) == 1 else f"({', '.join(map(str, stored))})"
    callee = f"nn.Parameter({{mean}} + {{std}} * torch.randn{start})"
    if not op.std:
        callee = f"nn.Parameter(torch.full({start}, {{mean}}))"
    shape = ", ".join(["len({0})", *(["-1"] * len(op.shape))])
    args = {"mean": op.mean} | ({"std": op.std} if op.std else {})
    return TorchText(callee, args, owns=True, use=f"{{self}}.expand({shape})")


def _matmul(node: _TorchNode) -> TorchText:
    first = "{0}.mT" if node.op.transpose_first else "{0}"
    return TorchText(f"{first} @ " + ("{1}.mT" if node.op.transpose_second else "{1}"))


def _prelu(node: _TorchNode) -> TorchText:
    return TorchText("nn.PReLU", {"num_parameters": node.channels if node.op.per_channel else 1}, owns=True)


def _layer_scale(node: _TorchNode) -> TorchText:
    op, axes = node.op, node.axes
    shape = f"({{channels}}{', 1' * axes})" if op.keep and axes else "({channels},)"
    use = "{0} * {self}" if op.keep or not axes else f"{{0}} * {{self}}[:{', None' * axes}]"
    callee = f"nn.Parameter(torch.full({shape}, {{init}}))"
    return TorchText(callee, {"channels": node.channels, "init": op.init}, owns=True, use=use)


def _recurrent(node: _TorchNode) -> TorchText:
    op, features = node.op, node.types[0].shape[1]
    args = {"input_size": features, "hidden_size": op.hidden}
    if op.kind == "gru" and not op.linear_before_reset:
        return TorchText("ResetBeforeGRU", args | {"biases": op.biases}, owns=True)
    args |= {"nonlinearity": op.activation} if op.kind == "rnn" else {}
    layer = op.kind.upper()
    if op.biases == 1:
        return TorchText(f"OneBias{layer}", args | {"batch_first": True}, owns=True, use="{self}({0})[0]")
    args |= {"bias": op.biases > 0, "batch_first": True}
    return TorchText(f"nn.{layer}", args, owns=True, use="{self}({0})[0]")


def _max_pool(node: _TorchNode) -> TorchText:
    window = node.window
    args = {
        "kernel_size": _plain(window.kernel),
        "stride": _stride(window),
        "padding": node.padding,
        "dilation": _plain(window.dilation),
        "ceil_mode": node.op.ceil,
    }
    if _same(node) and not node.op.ceil:
        return _same_pool("max", window, dilation=args["dilation"])
    if not _is_even(window):
        return _padded_pool(f"F.max_pool{node.axes}d", node, args, -math.inf)
    return TorchText(f"F.max_pool{node.axes}d", args, layer=f"nn.MaxPool{node.axes}d")


def _stride(window: Window) -> Any:
    """The stride, None where it is the kernel's extent, as torch has it."""
    return None if window.stride == window.kernel else _plain(window.stride)


def _same_pool(which: str, window: Window, **more: Any) -> TorchText:
    args = {"kernel_size": _plain(window.kernel), "stride": _plain(window.stride)} | more
    return TorchText(f"same_{which}_pool", args)


def _padded_pool(function: str, node: _TorchNode, args: dict[str, Any], value: float) -> TorchText:
    """A pool after `F.pad`, with all that the last windows reach beyond the input."""
    sides = _sides(node.window.margins(node.types[0].spatial))
    named = {} if args["stride"] is None else {"stride": args["stride"]}
    named |= {"dilation": args["dilation"]} if args.get("dilation", 1) != 1 else {}
    rest = "".join(f", {name}={{{name}}}" for name in named)
    fill = "" if value == 0 else ', value=float("-inf")'
    text = f"{function}(F.pad({{0}}, {{sides}}{fill}), {{kernel_size}}{rest})"
    return TorchText(text, {"kernel_size": args["kernel_size"], "sides": sides} | named)


def _avg_pool(node: _TorchNode) -> TorchText:
    op, window = node.op, node.window
    args = {
        "kernel_size": _plain(window.kernel),
        "stride": _stride(window),
        "padding": node.padding,
        "ceil_mode": op.ceil,
        "count_include_pad": op.count_include_pad,
    }
    if _is_even(window) and not _same(node):
        return TorchText(f"F.avg_pool{node.axes}d", args, layer=f"nn.AvgPool{node.axes}d")
    if op.ceil:
        raise Unsupported("`avg_pool` with partial windows that pads one side more than the other")
    if _same(node):
        return _same_pool("avg", window, count_include_pad=op.count_include_pad)
    if op.count_include_pad:
        return _padded_pool(f"F.avg_pool{node.axes}d", node, args, 0)
    given = {
        "kernel_size": args["kernel_size"],
        "stride": _plain(window.stride),
        "sides": _sides(window.padding),
    }
    return TorchText("padded_avg_pool", given)


def _lp_pool(node: _TorchNode) -> TorchText:
    op, window = node.op, node.window
    if op.ceil and not _is_even(window):
        raise Unsupported("`lp_pool` with partial windows that pads one side more than the other")
    args = {
        "norm": int(op.norm) if op.norm == int(op.norm) else op.norm,
        "kernel_size": _plain(window.kernel),
        "stride": _plain(window.stride),
    }
    if _is_even(window):
        args |= {"padding": node.padding, "ceil_mode": op.ceil}
    else:
        args["sides"] = _sides(window.padding)
    return TorchText("lp_pool", args)


def _adaptive_pool(node: _TorchNode) -> TorchText:
    args, kind = {"output_size": _plain(node.op.infer(*node.types).spatial)}, node.op.kind
    layer = {"adaptive_avg_pool": "nn.AdaptiveAvgPool", "adaptive_max_pool": "nn.AdaptiveMaxPool"}[kind]
    return TorchText(f"F.{kind}{node.axes}d", args, layer=f"{layer}{node.axes}d")


def _global_pool(node: _TorchNode) -> TorchText:
    kind = "avg" if node.op.kind == "global_avg_pool" else "max"
    if not node.op.keep:
        dims = tuple(range(2, 2 + node.axes))
        return TorchText("{0}." + {"avg": "mean", "max": "amax"}[kind] + "({dim})", {"dim": _single(dims)})
    args = {"output_size": 1}
    layer = f"nn.Adaptive{kind.title()}Pool{node.axes}d"
    return TorchText(f"F.adaptive_{kind}_pool{node.axes}d", args, layer=layer)


def _merge(sign: str) -> _Writer:
    def write(node: _TorchNode) -> TorchText:
        rank = max(len(t.shape) for t in node.types)
        each = [f"{{{i}}}" + _new_axes(rank - len(t.shape)) for i, t in enumerate(node.types)]
        return TorchText(f" {sign} ".join(each))

    return write


def _new_axes(count: int) -> str:
    return f"[...{', None' * count}]" if count else ""


def _concat(node: _TorchNode) -> TorchText:
    each = ", ".join(f"{{{i}}}" for i in range(len(node.types)))
    return TorchText(
        f"torch.cat(({each},), {{dim}})" if len(node.types) == 1 else f"torch.cat(({each}), {{dim}})",
        {"dim": node.dim(node.op.axis)},
    )


def _dropout(node: _TorchNode) -> TorchText:
    by_channel = node.op.kind == "channel_dropout" and node.axes
    end = f"{node.axes}d" if by_channel else ""
    args = {"p": node.op.rate}
    return TorchText(f"F.dropout{end}({{0}}, {{p}}, self.training)", args, layer=f"nn.Dropout{end}")


def _stochastic_depth(node: _TorchNode) -> TorchText:
    args = {"p": node.op.rate}
    return TorchText("stochastic_depth({0}, {p}, self.training)", args, layer="StochasticDepth")


def _clip(node: _TorchNode) -> TorchText:
    return TorchText("{0}.clamp({min}, {max})", {"min": node.op.min, "max": node.op.max})


def _softmax(node: _TorchNode) -> TorchText:
    layer = {"softmax": "nn.Softmax", "log_softmax": "nn.LogSoftmax"}[node.op.kind]
    return TorchText(f"F.{node.op.kind}", {"dim": node.dim(node.op.axis)}, layer=layer)


def _group_norm(node: _TorchNode) -> TorchText:
    op, channels = node.op, node.channels
    if op.kind == "instance_norm":
        args = {"num_features": channels, "eps": op.eps, "affine": op.affine}
        return TorchText(f"nn.InstanceNorm{node.axes}d", args, owns=True)
    args = {"num_groups": op.groups, "num_channels": channels, "eps": op.eps, "affine": op.affine}
    return TorchText("nn.GroupNorm", args, owns=True)


def _pad(node: _TorchNode) -> TorchText:
    op = node.op
    args = {"padding": _sides(op.widths(node.types[0]))}
    if op.mode == "constant":
        return TorchText("F.pad", args | {"value": op.value}, layer=f"nn.ConstantPad{node.axes}d")
    if min(args["padding"]) < 0:
        raise Unsupported(f"`pad` with `mode: {op.mode}` that cuts off too")
    return TorchText("F.pad", args | {"mode": op.mode})


def _pixel_move(node: _TorchNode) -> TorchText:
    op = node.op
    if op.order != "channels_first":
        raise Unsupported(f"`{op.kind}` with `order: blocks_first`")
    layer, factor = _PIXEL_MOVES[op.kind]
    return TorchText(f"F.{op.kind}", {factor: op.factor}, layer=f"nn.{layer}")


_PIXEL_MOVES = {
    "pixel_shuffle": ("PixelShuffle", "upscale_factor"),
    "pixel_unshuffle": ("PixelUnshuffle", "downscale_factor"),
}


def _unfold(node: _TorchNode) -> TorchText:
    window = node.window
    if node.axes != 2:
        raise Unsupported("`unfold` of what is no image")
    args = {"kernel_size": _plain(window.kernel), "dilation": _plain(window.dilation)}
    if _is_even(window):
        args |= {"padding": node.padding, "stride": _plain(window.stride)}
        return TorchText("F.unfold", args, layer="nn.Unfold")
    text = "F.unfold(F.pad({0}, {sides}), {kernel_size}, {dilation}, 0, {stride})"
    return TorchText(text, args | {"stride": _plain(window.stride), "sides": _sides(window.padding)})


def _permute(node: _TorchNode) -> TorchText:
    args = {"dims": (0, *(axis + 1 for axis in node.op.order))}
    return TorchText("{0}.permute({dims})", args, layer="Permute")


def _reshape(node: _TorchNode) -> TorchText:
    shape = node.op.infer(*node.types).shape
    flat = "{0}" if len(node.types[0].shape) == 1 else "{0}.flatten(1)"
    if len(shape) == 1:
        return TorchText("{0}.flatten(1)", layer="nn.Flatten")
    largest = shape.index(max(shape))
    free = (*shape[:largest], -1, *shape[largest + 1 :])
    return TorchText(f"{flat}.unflatten(1, {{shape}})", {"shape": free})


def _slice(node: _TorchNode) -> TorchText:
    (x,) = node.types
    axis, stretch = node.op.stretch(x)
    if part := node.op.part(x):
        args = {"parts": part[1], "dim": axis + 1, "part": part[0]}
        return TorchText("{0}.chunk({parts}, {dim})[{part}]", args)
    args = {"dim": axis + 1, "start": stretch.start, "length": stretch.stop - stretch.start}
    return TorchText("{0}.narrow({dim}, {start}, {length})", args)


def _shuffle(node: _TorchNode) -> TorchText:
    args = {"groups": node.op.groups}
    if node.axes:
        return TorchText("F.channel_shuffle", args, layer="nn.ChannelShuffle")
    return TorchText("{0}.unflatten(1, ({groups}, -1)).transpose(1, 2).flatten(1)", args)


def _upsample(node: _TorchNode) -> TorchText:
    op = node.op
    args = {"scale_factor": _plain(per_axis(op.factor, node.axes, "factor")), "mode": op.mode}
    args |= {"align_corners": op.align_corners} if op.mode != "nearest" else {}
    return TorchText("F.interpolate", args, layer="nn.Upsample")


def _resize(node: _TorchNode) -> TorchText:
    op = node.op
    args = {"size": _plain(op.infer(*node.types).spatial), "mode": interpolation_mode(op, node.axes)}
    if "nearest" not in args["mode"]:
        args["align_corners"] = op.corners == "align_corners"
    return TorchText("F.interpolate", args, layer="nn.Upsample")


def _lrn(node: _TorchNode) -> TorchText:
    args = {name: getattr(node.op, name) for name in ("size", "alpha", "beta", "k")}
    return TorchText("F.local_response_norm", args, layer="nn.LocalResponseNorm")


# For each kind of op, what writes it; an op that is missing cannot be written.
CALLS: Mapping[str, _Writer] = {
    "abs": lambda node: TorchText("{0}.abs()"),
    "adaptive_avg_pool": _adaptive_pool,
    "adaptive_max_pool": _adaptive_pool,
    "add": _merge("+"),
    "attention": _attention,
    "avg_pool": _avg_pool,
    "bn": _batch_norm,
    "channel_dropout": _dropout,
    "clip": _clip,
    "concat": _concat,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dropout": _dropout,
    "elu": _activation("F.elu", "nn.ELU", ("alpha", "alpha")),
    "flatten": lambda node: TorchText("{0}.flatten(1)", layer="nn.Flatten"),
    "gelu": _activation("F.gelu", "nn.GELU", ("approximate", "approximate")),
    "global_avg_pool": _global_pool,
    "global_max_pool": _global_pool,
    "global_response_norm": _response_norm,
    "group_norm": _group_norm,
    "gru": _recurrent,
    "hard_sigmoid": _activation("F.hardsigmoid", "nn.Hardsigmoid"),
    "hard_swish": _activation("F.hardswish", "nn.Hardswish"),
    "instance_norm": _group_norm,
    "layer_norm": _layer_norm,
    "layer_scale": _layer_scale,
    "leaky_relu": _activation("F.leaky_relu", "nn.LeakyReLU", ("negative_slope", "slope")),
    "linear": _linear,
    "log_softmax": _softmax,
    "lp_pool": _lp_pool,
    "lrn": _lrn,
    "lstm": _recurrent,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "mish": _activation("F.mish", "nn.Mish"),
    "multiply": _merge("*"),
    "pad": _pad,
    "parameter": _parameter,
    "permute": _permute,
    "pixel_shuffle": _pixel_move,
    "pixel_unshuffle": _pixel_move,
    "prelu": _prelu,
    "relu": _activation("F.relu", "nn.ReLU"),
    "relu6": _activation("F.relu6", "nn.ReLU6"),
    "reshape": _reshape,
    "resize": _resize,
    "rnn": _recurrent,
    "scale": lambda node: TorchText("{0} * {factor}", {"factor": node.op.factor}),
    "selu": _activation("F.selu", "nn.SELU"),
    "shuffle": _shuffle,
    "sigmoid": _activation("torch.sigmoid", "nn.Sigmoid"),
    "silu": _activation("F.silu", "nn.SiLU"),
    "slice": _slice,
    "softmax": _softmax,
    "softplus": _activation("F.softplus", "nn.Softplus"),
    "softsign": _activation("F.softsign", "nn.Softsign"),
    "stochastic_depth": _stochastic_depth,
    "subtract": _merge("-"),
    "tanh": _activation("torch.tanh", "nn.Tanh"),
    "unfold": _unfold,
    "upsample": _upsample,
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
_RNN = {"input_size": REQUIRED, "hidden_size": REQUIRED, "bias": True, "batch_first": False}
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
    "nn.Linear": {"in_features": REQUIRED, "out_features": REQUIRED, "bias": True},
    "nn.LayerNorm": {"normalized_shape": REQUIRED, "eps": 1e-5, "elementwise_affine": True},
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
