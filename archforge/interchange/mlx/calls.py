"""The table of our ops in MLX as text: layers that own parameters, and functions.

Written as that of torch is. Maps have their channels last, and so values of three axes and more move their
first axis to the end; what has one or two axes stays as it is. `SIGNATURES` has the arguments of MLX's own
layers and functions; what MLX lacks is in `templates/mlx_layers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    plain_sides,
    stochastic_depth,
    window_attention,
)
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op, TensorType
from archforge.ops.base import per_axis

__all__ = ["CALLS", "SIGNATURES", "mlx_text"]


def mlx_text(op: Op, types: Sequence[TensorType]) -> LayerText:
    """The words for an op with inputs of these types. Raises `Unsupported`."""
    return layer_text(CALLS, op, types)


def _place(axis: int, rank: int) -> int:
    """The place in MLX's arrays, with the batch, of an axis of the spec's values of that rank."""
    axis %= rank
    return axis + 1 if rank < 3 else axis or rank


def _axis(node: LayerNode) -> int:
    """The place of the axis that an op names, as people write it: -1 for the last."""
    place = _place(node.op.axis, node.rank)
    return -1 if place == node.rank else place


def _along(node: LayerNode, axis: int) -> str:
    """The use of a layer of MLX's last axis along an axis of the spec's values."""
    place = _place(axis, node.rank)
    if place == node.rank:
        return APPLY
    return f"{{self}}({{0}}.swapaxes({place}, -1)).swapaxes({place}, -1)"


def _of_channels(node: LayerNode) -> str:
    """The use of a layer of channels, which are the first of two axes and else the last one."""
    return _along(node, 0)


def _conv(node: LayerNode) -> LayerText:
    op, window = node.op, node.window
    if node.axes > 3:
        raise Unsupported(f"`conv` over maps of {node.axes} axes")
    if op.groups > 1 and node.axes == 3:
        raise Unsupported("`conv` in groups over maps of three axes")
    args = conv_args(node)
    if node.axes == 3:
        del args["groups"]
    if is_even(window):
        return LayerText(f"nn.Conv{node.axes}d", args, owns=True, use=_of_channels(node))
    padded = args | {"padding": 0, "sides": tuple(window.padding)}
    return LayerText(f"PaddedConv{node.axes}d", padded, owns=True, use=_of_channels(node))


def _conv_transpose(node: LayerNode) -> LayerText:
    op, window = node.op, node.window
    if op.groups > 1:
        raise Unsupported("`conv_transpose` in groups")
    if node.axes > 3:
        raise Unsupported(f"`conv_transpose` over maps of {node.axes} axes")
    least = [min(sides) for sides in window.padding]
    args = {
        "in_channels": node.channels,
        "out_channels": op.out,
        "kernel_size": plain(window.kernel),
        "stride": plain(window.stride),
        "padding": plain(least),
        "dilation": plain(window.dilation),
        "output_padding": plain(per_axis(op.output_padding, node.axes, "output_padding")),
        "bias": op.bias,
    }
    if is_even(window):
        return LayerText(f"nn.ConvTranspose{node.axes}d", args, owns=True, use=_of_channels(node))
    cut = tuple((n - a, n - b) for n, (a, b) in zip(least, window.padding, strict=True))
    return LayerText(
        f"CroppedConvTranspose{node.axes}d", args | {"sides": cut}, owns=True, use=_of_channels(node)
    )


def _linear(node: LayerNode) -> LayerText:
    op, (x,) = node.op, node.types
    axis = op.feature_axis(x)
    args = {"input_dims": x.shape[axis], "output_dims": op.out, "bias": op.bias}
    return LayerText("nn.Linear", args, owns=True, use=_along(node, axis))


def _batch_norm(node: LayerNode) -> LayerText:
    op = node.op
    args = {"num_features": node.channels, "eps": op.eps, "momentum": op.momentum, "affine": op.affine}
    layer = "nn.BatchNorm"
    if node.axes > 2:
        layer = "MapBatchNorm"
        if op.only_parameter:
            raise Unsupported(f"`bn` with a {op.only_parameter} alone over maps of {node.axes} axes")
    elif op.only_parameter:
        layer = "CenteredBatchNorm" if op.only_parameter == "bias" else "ScaledBatchNorm"
        del args["affine"]
    return LayerText(layer, args, owns=True, use=_of_channels(node))


def _layer_norm(node: LayerNode) -> LayerText:
    op, (x,) = node.op, node.types
    axes = op.axes(x)
    if len(axes) > 1:
        raise Unsupported("`layer_norm` along several axes")
    args = {"dims": x.shape[axes[0]], "eps": op.eps, "affine": op.affine}
    return LayerText("nn.LayerNorm", args, owns=True, use=_along(node, axes[0]))


def _rms_norm(node: LayerNode) -> LayerText:
    op = node.op
    if not op.affine:
        raise Unsupported("`rms_norm` without weight")
    args = {"dims": node.types[0].shape[op.axis], "eps": op.eps}
    return LayerText("nn.RMSNorm", args, owns=True, use=_along(node, op.axis))


def _l2_normalize(node: LayerNode) -> LayerText:
    return LayerText("l2_normalize", {"axis": _axis(node), "eps": node.op.eps})


def _roll(node: LayerNode) -> LayerText:
    return LayerText("mx.roll", {"shift": node.op.shift, "axis": _place(node.op.axis, node.rank)})


def _maximum(node: LayerNode) -> LayerText:
    return LayerText(reduce("mx.maximum({}, {})".format, _aligned(node)))


def _group_norm(node: LayerNode) -> LayerText:
    op, channels = node.op, node.channels
    if op.kind == "instance_norm":
        args = {"dims": channels, "eps": op.eps, "affine": op.affine}
        return LayerText("nn.InstanceNorm", args, owns=True, use=_of_channels(node))
    args = {"num_groups": op.groups, "dims": channels, "eps": op.eps, "affine": op.affine}
    args["pytorch_compatible"] = True
    return LayerText("nn.GroupNorm", args, owns=True, use=_of_channels(node))


def _attention(node: LayerNode) -> LayerText:
    use = APPLY.replace("{0}", _channels_first("{0}", node.rank))
    return replace(attention(node), use=_channels_last(use, node.rank))


def _window_attention(node: LayerNode) -> LayerText:
    use = APPLY.replace("{0}", _channels_first("{0}", node.rank))
    return replace(window_attention(node), use=_channels_last(use, node.rank))


def _parameter(node: LayerNode) -> LayerText:
    op = node.op
    stored = (1, *op.shape) if op.batch_axis else op.shape
    mean = "{mean} + " if op.mean else ""
    callee = f"{mean}{{std}} * mx.random.normal({stored})" if op.std else f"mx.full({stored}, {{mean}})"
    args = ({"std": op.std} if op.std else {}) | ({"mean": op.mean} if op.mean or not op.std else {})
    use = f"mx.broadcast_to({{self}}, ({{0}}.shape[0], {', '.join(map(str, op.shape))}))"
    return LayerText(callee, args, owns=True, use=_channels_last(use, len(op.shape)))


def _embedding(node: LayerNode) -> LayerText:
    op = node.op
    args = {"num_embeddings": op.entries, "dims": op.out}
    use = f"{{self}}(mx.clip({{0}}, 0, {op.entries - 1}).astype(mx.int32))"
    if node.rank > 1:
        use = _channels_last(use.replace("{0}", _channels_first("{0}", node.rank)), node.rank + 1)
    return LayerText("nn.Embedding", args, owns=True, use=use)


def _matmul(node: LayerNode) -> LayerText:
    transposes = (node.op.transpose_first, node.op.transpose_second)
    if node.rank > 2:
        names = ("transpose_first", "transpose_second")
        return LayerText("matmul", dict(zip(names, transposes, strict=True)))
    first, second = (f"{{{i}}}" + ".swapaxes(-1, -2)" * turns for i, turns in enumerate(transposes))
    return LayerText(f"{first} @ {second}")


def _response_norm(node: LayerNode) -> LayerText:
    op = node.op
    args = {"channels": node.types[0].shape[op.axis], "eps": op.eps}
    return LayerText("GlobalResponseNorm", args, owns=True, use=_along(node, op.axis))


def _prelu(node: LayerNode) -> LayerText:
    args = {"num_parameters": node.channels if node.op.per_channel else 1}
    return LayerText("nn.PReLU", args, owns=True, use=_of_channels(node) if node.op.per_channel else APPLY)


def _layer_scale(node: LayerNode) -> LayerText:
    op, rank = node.op, node.rank
    shape, use = "{channels}", "{0} * {self}"
    if op.keep and rank > 1:
        shape = f"({{channels}}{', 1' * (rank - 1)})"
        use = use if rank == 2 else "{0} * mx.moveaxis({self}, 0, -1)"
    elif rank == 2:
        use = "{0} * {self}[:, None]"
    args = {"channels": node.channels, "init": op.init}
    return LayerText(f"mx.full({shape}, {{init}})", args, owns=True, use=use)


def _recurrent(node: LayerNode) -> LayerText:
    op = node.op
    args = {"input_size": node.types[0].shape[1], "hidden_size": op.hidden, "biases": op.biases}
    args |= {"bidirectional": op.bidirectional}
    if op.kind == "rnn":
        return LayerText("RNN", args | {"nonlinearity": op.activation}, owns=True)
    if op.kind == "gru" and not op.linear_before_reset:
        return LayerText("ResetBeforeGRU", args, owns=True)
    return LayerText(op.kind.upper(), args, owns=True)


def _windows(node: LayerNode, more: Mapping[str, Any]) -> dict[str, Any]:
    """The geometry of a pool; overhang: what the last windows reach beyond the padding."""
    window = node.window
    over = window.overhang(node.types[0].spatial)
    args = {
        "kernel_size": plain(window.kernel),
        "stride": None if window.stride == window.kernel else plain(window.stride),
        "padding": node.padding if is_even(window) else tuple(window.padding),
    }
    args |= {n: v for n, v in more.items() if v is not None}
    return args | ({"overhang": over} if any(map(any, over)) else {})


def _pool(function: str, layer: str, args: Mapping[str, Any], node: LayerNode) -> LayerText:
    """A pool, along the axes between batch and channels."""
    if node.rank > 2:
        is_plain = {*args} <= {"kernel_size", "stride", "padding"} and node.axes < 4 and is_even(node.window)
        return LayerText(function, args, layer=f"nn.{layer}{node.axes}d" if layer and is_plain else "")
    given = "".join(f", {name}={{{name}}}" for name in args)
    return LayerText(f"{function}({{0}}.swapaxes(1, 2){given}).swapaxes(1, 2)", args)


def _max_pool(node: LayerNode) -> LayerText:
    dilation = plain(node.window.dilation)
    args = _windows(node, {"dilation": None if dilation == 1 else dilation})
    return _pool("max_pool", "MaxPool", args, node)


def _avg_pool(node: LayerNode) -> LayerText:
    leaves_out = any(map(any, node.window.padding)) and not node.op.count_include_pad
    args = _windows(node, {"count_include_pad": False if leaves_out else None})
    return _pool("avg_pool", "AvgPool", args, node)


def _lp_pool(node: LayerNode) -> LayerText:
    norm = node.op.norm
    args = {"norm": int(norm) if norm == int(norm) else norm} | _windows(node, {})
    return _pool("lp_pool", "", args, node)


def _adaptive_pool(node: LayerNode) -> LayerText:
    args = {"output_size": plain(node.op.infer(*node.types).spatial)}
    text = _pool(node.op.kind, "", args, node)
    if node.rank < 3 or node.op.kind == "adaptive_max_pool":
        return text
    return replace(text, layer="AdaptiveAvgPool")


def _global_pool(node: LayerNode) -> LayerText:
    is_mean, rank = node.op.kind == "global_avg_pool", node.rank
    places = [_place(axis, rank) for axis in range(1, rank)]
    axes = f"({', '.join(map(str, places))})" if len(places) > 1 else f"{places[0]}"
    keeps = ", keepdims=True" if node.op.keep else ""
    layer = "GlobalAvgPool" if is_mean else "GlobalMaxPool"
    text = f"{{0}}.{'mean' if is_mean else 'max'}({axes}{keeps})"
    return LayerText(text, layer=layer if node.op.keep and rank > 2 else "")


def _merge(sign: str) -> Writer:
    return lambda node: LayerText(f" {sign} ".join(_aligned(node)))


def _aligned(node: LayerNode) -> list[str]:
    """All values, each with the axes of the one that has most."""
    rank = max(len(t.shape) for t in node.types)
    return [f"{{{i}}}" + _stretched(len(t.shape), rank, node) for i, t in enumerate(node.types)]


def _stretched(own: int, rank: int, node: LayerNode) -> str:
    """The index that gives a value the axes that it lacks."""
    if own == rank:
        return ""
    if own == 1:
        return "[..., None]" if rank == 2 else f"[:{', None' * (rank - 1)}]"
    if own == 2:
        raise Unsupported(f"`{node.op.kind}` of values of two axes and of more")
    return f"[...,{' None,' * (rank - own)} :]"


def _concat(node: LayerNode) -> LayerText:
    each = ", ".join(f"{{{i}}}" for i in range(len(node.types)))
    return LayerText(f"mx.concatenate([{each}], {{axis}})", {"axis": _axis(node)})


def _dropout(node: LayerNode) -> LayerText:
    args = {"p": node.op.rate}
    if node.op.kind == "dropout" or not node.axes:
        return LayerText("dropout({0}, {p}, self.training)", args, layer="nn.Dropout")
    if node.rank == 2:
        raise Unsupported("`channel_dropout` over maps of one axis")
    layer = "nn.Dropout2d" if node.axes == 2 else ""
    return LayerText("channel_dropout({0}, {p}, self.training)", args, layer=layer)


def _clip(node: LayerNode) -> LayerText:
    return LayerText("mx.clip({0}, {min}, {max})", {"min": node.op.min, "max": node.op.max})


def _softmax(node: LayerNode) -> LayerText:
    axis = _axis(node)
    layer = {"softmax": "nn.Softmax", "log_softmax": "nn.LogSoftmax"}[node.op.kind]
    return LayerText(f"nn.{node.op.kind}", {"axis": axis}, layer=layer if axis == -1 else "")


def _pad(node: LayerNode) -> LayerText:
    args: dict[str, Any] = {"sides": plain_sides(node.op.widths(node.types[0]))}
    if node.op.mode != "constant":
        return _pool("continued", "", args | {"mode": node.op.mode}, node)
    args |= {"value": node.op.value} if node.op.value else {}
    if node.rank > 2:
        return LayerText("padded", args, layer="Pad")
    return _pool("padded", "", args, node)


def _permute(node: LayerNode) -> LayerText:
    rank, order = node.rank, node.op.order
    dims = [0] * (rank + 1)
    for axis, source in enumerate(order):
        dims[_place(axis, rank)] = _place(source, rank)
    return LayerText("{0}.transpose({dims})", {"dims": tuple(dims)}, layer="Permute")


def _channels_first(text: str, rank: int) -> str:
    return text if rank < 3 else f"mx.moveaxis({text}, -1, 1)"


def _channels_last(text: str, rank: int) -> str:
    return text if rank < 3 else f"mx.moveaxis({text}, 1, -1)"


def _flatten(node: LayerNode) -> LayerText:
    rank = node.rank
    is_point = rank < 3 or math.prod(node.types[0].shape[1:]) == 1
    text = "{0}" if is_point else _channels_first("{0}", rank)
    return LayerText(f"{text}.flatten(1)", layer="Flatten")


def _reshape(node: LayerNode) -> LayerText:
    shape, rank = node.op.infer(*node.types).shape, node.rank
    if len(shape) == 1:
        return _flatten(node)
    flat = "{0}" if rank == 1 else f"{_channels_first('{0}', rank)}.flatten(1)"
    return LayerText(
        _channels_last(f"mx.unflatten({flat}, 1, {{shape}})", len(shape)), {"shape": free_extent(shape)}
    )


def _slice(node: LayerNode) -> LayerText:
    (x,), axis = node.types, _axis(node)
    if part := node.op.part(x):
        args = {"parts": part[1], "axis": axis, "part": part[0]}
        return LayerText("mx.split({0}, {parts}, {axis})[{part}]", args)
    _, stretch = node.op.stretch(x)
    before = "..." if axis == -1 else ", ".join(":" * axis)
    return LayerText(f"{{0}}[{before}, {{start}}:{{end}}]", {"start": stretch.start, "end": stretch.stop})


def _take(node: LayerNode) -> LayerText:
    return LayerText("take", {"indices": node.op.indices, "axis": node.dim(node.op.axis)})


def _shuffle(node: LayerNode) -> LayerText:
    if node.rank == 2:
        raise Unsupported("`shuffle` over maps of one axis")
    return LayerText("channel_shuffle", {"groups": node.op.groups}, layer="ChannelShuffle")


def _upsample(node: LayerNode) -> LayerText:
    op = node.op
    args = {"scale_factor": plain(per_axis(op.factor, node.axes, "factor"))}
    args |= {} if op.mode == "nearest" else {"mode": "linear", "align_corners": op.align_corners}
    return _pool("upsample", "", args, node)


def _resize(node: LayerNode) -> LayerText:
    op = node.op
    args = {"size": plain(op.infer(*node.types).spatial), "mode": op.mode, "corners": op.corners}
    return _pool("resize", "", args, node)


def _pixel_move(node: LayerNode) -> LayerText:
    return LayerText(node.op.kind, {"factor": node.op.factor, "order": node.op.order})


def _lrn(node: LayerNode) -> LayerText:
    if node.rank == 2:
        raise Unsupported("`lrn` over maps of one axis")
    args = {name: getattr(node.op, name) for name in ("size", "alpha", "beta", "k")}
    return LayerText("local_response_norm", args, layer="LocalResponseNorm")


def _gelu(node: LayerNode) -> LayerText:
    exact = node.op.approximate == "none"
    return LayerText("nn.gelu", layer="nn.GELU") if exact else LayerText("nn.gelu_approx", layer="ApproxGELU")


# For each kind of op, what writes it; an op that is missing cannot be written.
CALLS: Mapping[str, Writer] = {
    "abs": lambda node: LayerText("mx.abs({0})"),
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
    "divide": _merge("/"),
    "embedding": _embedding,
    "elu": activation("nn.elu", "nn.ELU", ("alpha", "alpha")),
    "flatten": _flatten,
    "gelu": _gelu,
    "global_avg_pool": _global_pool,
    "global_max_pool": _global_pool,
    "global_response_norm": _response_norm,
    "group_norm": _group_norm,
    "gru": _recurrent,
    "hard_sigmoid": activation("hard_sigmoid", "HardSigmoid"),
    "hard_swish": activation("nn.hardswish", "nn.Hardswish"),
    "instance_norm": _group_norm,
    "l2_normalize": _l2_normalize,
    "layer_norm": _layer_norm,
    "layer_scale": _layer_scale,
    "leaky_relu": activation("nn.leaky_relu", "nn.LeakyReLU", ("negative_slope", "slope")),
    "linear": _linear,
    "log_softmax": _softmax,
    "lp_pool": _lp_pool,
    "lrn": _lrn,
    "lstm": _recurrent,
    "matmul": _matmul,
    "maximum": _maximum,
    "max_pool": _max_pool,
    "mish": activation("nn.mish", "nn.Mish"),
    "multiply": _merge("*"),
    "offset": lambda node: LayerText("{0} + {number}", {"number": node.op.number}),
    "pad": _pad,
    "parameter": _parameter,
    "permute": _permute,
    "pixel_shuffle": _pixel_move,
    "pixel_unshuffle": _pixel_move,
    "prelu": _prelu,
    "relu": activation("nn.relu", "nn.ReLU"),
    "relu6": activation("nn.relu6", "nn.ReLU6"),
    "reshape": _reshape,
    "resize": _resize,
    "rms_norm": _rms_norm,
    "roll": _roll,
    "rnn": _recurrent,
    "scale": lambda node: LayerText("{0} * {factor}", {"factor": node.op.factor}),
    "selu": activation("nn.selu", "nn.SELU"),
    "shuffle": _shuffle,
    "sigmoid": activation("mx.sigmoid", "nn.Sigmoid"),
    "silu": activation("nn.silu", "nn.SiLU"),
    "slice": _slice,
    "softmax": _softmax,
    "softplus": activation("nn.softplus", "nn.Softplus"),
    "softsign": activation("nn.softsign", "nn.Softsign"),
    "stochastic_depth": stochastic_depth,
    "subtract": _merge("-"),
    "take": _take,
    "tanh": activation("mx.tanh", "nn.Tanh"),
    "upsample": _upsample,
    "window_attention": _window_attention,
}

_CONV = {
    "in_channels": REQUIRED,
    "out_channels": REQUIRED,
    "kernel_size": REQUIRED,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
}
_CONV_TRANSPOSE = {**_CONV, "output_padding": 0, "bias": True}
_POOL = {"kernel_size": REQUIRED, "stride": None, "padding": 0}

_PLAIN = (
    "mx.sigmoid", "mx.tanh", "nn.gelu", "nn.gelu_approx", "nn.hardswish", "nn.mish", "nn.relu", "nn.relu6",
    "nn.selu", "nn.silu", "nn.softplus", "nn.softsign", "nn.GELU", "nn.Hardswish", "nn.Identity", "nn.Mish",
    "nn.ReLU", "nn.ReLU6", "nn.SELU", "nn.SiLU", "nn.Sigmoid", "nn.Softplus", "nn.Softsign", "nn.Tanh",
)  # fmt: skip

# The arguments that the calls above give, in MLX's order, with MLX's defaults.
SIGNATURES: Mapping[str, Mapping[str, Any]] = {
    **{name: {} for name in _PLAIN},
    "nn.Conv1d": {**_CONV, "groups": 1, "bias": True},
    "nn.Conv2d": {**_CONV, "groups": 1, "bias": True},
    "nn.Conv3d": {**_CONV, "bias": True},
    **{f"nn.ConvTranspose{axes}d": _CONV_TRANSPOSE for axes in (1, 2, 3)},
    **{f"nn.{kind}Pool{axes}d": _POOL for kind in ("Max", "Avg") for axes in (1, 2, 3)},
    "nn.BatchNorm": {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": True},
    "nn.InstanceNorm": {"dims": REQUIRED, "eps": 1e-5, "affine": False},
    "nn.RMSNorm": {"dims": REQUIRED, "eps": 1e-5},
    "mx.roll": {"shift": REQUIRED, "axis": None},
    "nn.GroupNorm": {
        "num_groups": REQUIRED, "dims": REQUIRED, "eps": 1e-5, "affine": True, "pytorch_compatible": False,
    },
    "nn.LayerNorm": {"dims": REQUIRED, "eps": 1e-5, "affine": True},
    "nn.Embedding": {"num_embeddings": REQUIRED, "dims": REQUIRED},
    "nn.Linear": {"input_dims": REQUIRED, "output_dims": REQUIRED, "bias": True},
    "nn.PReLU": {"num_parameters": 1},
    "nn.Dropout": {"p": 0.5},
    "nn.Dropout2d": {"p": 0.5},
    "nn.elu": {"alpha": 1.0},
    "nn.ELU": {"alpha": 1.0},
    "nn.leaky_relu": {"negative_slope": 0.01},
    "nn.LeakyReLU": {"negative_slope": 0.01},
    "nn.softmax": {"axis": -1},
    "nn.log_softmax": {"axis": -1},
    "nn.Softmax": {},
    "nn.LogSoftmax": {},
}  # fmt: skip
