"""The table of our ops as functions of torch.

What an op is in torch is decided once, when its function is made: a call then costs no more than in a module
that was written by hand.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from importlib import import_module
from typing import Any

from archforge.interchange.unsupported import Unsupported
from archforge.ir import TensorType
from archforge.ops.attention import ATTENTION_NAMES
from archforge.ops.base import per_axis, resolve_axis
from archforge.ops.pixel_shuffle import PixelShuffle, PixelUnshuffle
from archforge.ops.resize import Resize
from archforge.ops.window import Window
from archforge.ops.window_attention import WINDOW_NAMES

__all__ = [
    "TORCH_OPS",
    "TorchFunction",
    "TorchUse",
    "interpolation_mode",
    "pad_sides",
    "pixel_factor",
    "unchanged",
]

TorchFunction = Callable[..., Any]  # of the tensors that a node reads


@dataclass(frozen=True, slots=True)
class TorchUse:
    """One use of an op, as its translation sees it.

    functional: torch.nn.functional. types, output: of the values, the batch left out. params: the tensors of
    the op's parameters by its own names. training: the op is to do what it does in training.
    """

    functional: Any
    op: Any
    types: tuple[TensorType, ...]
    output: TensorType
    params: Mapping[str, Any]
    training: bool = False

    @property
    def axes(self) -> int:
        """The number of spatial axes of the first input."""
        return len(self.types[0].spatial)

    @property
    def weights(self) -> tuple[Any, Any]:
        """Weight and bias, None for one that the op lacks."""
        return self.params.get("weight"), self.params.get("bias")

    def by_rank(self, name: str) -> TorchFunction:
        """The function for as many axes as the input has: `conv` as conv1d, conv2d or conv3d."""
        function: TorchFunction = getattr(self.functional, f"{name}{self.axes}d")
        return function

    def windowed(self, fill: float) -> tuple[Window, TorchFunction, tuple[int, ...]]:
        """The window, a function that pads the input before it, and the padding that is left to torch.

        Torch's windows pad both sides of an axis alike; where ours do not, the input is padded with `fill`.
        """
        window: Window = self.op.window(self.types[0])
        if all(before == after for before, after in window.padding):
            return window, unchanged, tuple(before for before, _ in window.padding)
        padded = partial(self.functional.pad, pad=pad_sides(window.padding), value=fill)
        return window, padded, (0,) * self.axes


Translation = Callable[[TorchUse], TorchFunction]


def unchanged(x: Any) -> Any:
    """The tensor itself."""
    return x


def pad_sides(pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Pairs (before, after) for each axis in the order of torch's `pad`, the last axis first."""
    return tuple(side for pair in reversed(list(pairs)) for side in pair)


def _axis(axis: int) -> int:
    """An axis by its number with the batch, which ours leave out."""
    return axis + 1 if axis >= 0 else axis


def _functional(name: str) -> Translation:
    """torch.nn.functional's function of that name, without attributes."""
    return lambda use: getattr(use.functional, name)


def _hard_sigmoid(use: TorchUse) -> TorchFunction:
    """torch's own function but in training: its gradient has 1/6 rounded to float32, also in float64."""
    relu6 = use.functional.relu6
    return (lambda x: relu6(x + 3) / 6) if use.training else use.functional.hardsigmoid


def _conv(use: TorchUse) -> TorchFunction:
    window, padded, padding = use.windowed(0.0)
    function, (weight, bias), groups = use.by_rank("conv"), use.weights, use.op.groups
    return lambda x: function(padded(x), weight, bias, window.stride, padding, window.dilation, groups)


def _standardized_conv(use: TorchUse) -> TorchFunction:
    """The weights are made anew each time, as in timm's modules."""
    window, padded, padding = use.windowed(0.0)
    op, (weight, bias), gain = use.op, use.weights, use.params.get("gain")
    function, norm = use.by_rank("conv"), use.functional.batch_norm

    def run(x: Any) -> Any:
        factor = None if gain is None else gain.reshape(-1) * (op.gamma * weight[0].numel() ** -0.5)
        rows = weight.reshape(1, len(weight), -1)
        made = norm(rows, None, None, factor, None, True, 0.0, op.eps).reshape(weight.shape)
        return function(padded(x), made, bias, window.stride, padding, window.dilation, op.groups)

    return run


def _take(use: TorchUse) -> TorchFunction:
    numbers = import_module("torch").tensor(use.op.indices)
    place = (slice(None),) * (resolve_axis(use.op.axis, use.types[0]) + 1)
    return lambda x: x[(*place, numbers)]


def _embedding(use: TorchUse) -> TorchFunction:
    weight, function, most = use.params["weight"], use.functional.embedding, use.op.entries - 1
    return lambda x: function(x.clamp(0, most).long(), weight)


def _conv_transpose(use: TorchUse) -> TorchFunction:
    op, window = use.op, use.op.window(use.types[0])
    function, (weight, bias), groups = use.by_rank("conv_transpose"), use.weights, op.groups
    padding = tuple(min(sides) for sides in window.padding)  # the rest is cut off the result
    excess = per_axis(op.output_padding, use.axes, "output_padding")
    ends = zip(window.padding, padding, use.output.spatial, strict=True)
    kept = (..., *(slice(before - p, before - p + n) for (before, _), p, n in ends))
    return lambda x: function(x, weight, bias, window.stride, padding, excess, groups, window.dilation)[kept]


def _linear(use: TorchUse) -> TorchFunction:
    function, (weight, bias) = use.functional.linear, use.weights
    axis = use.op.feature_axis(use.types[0]) + 1
    if axis == len(use.types[0].shape):
        return lambda x: function(x, weight, bias)
    return lambda x: function(x.movedim(axis, -1), weight, bias).movedim(-1, axis)


def _batch_norm(use: TorchUse) -> TorchFunction:
    mean, var = use.params["running_mean"], use.params["running_var"]
    function, (weight, bias), op, training = use.functional.batch_norm, use.weights, use.op, use.training
    return lambda x: function(x, mean, var, weight, bias, training, op.momentum, op.eps)


def _dropout(use: TorchUse) -> TorchFunction:
    """A dropout in training; at inference no op is left of it."""
    name, rate = {"dropout": "dropout", "channel_dropout": f"dropout{use.axes}d"}[use.op.kind], use.op.rate
    return partial(getattr(use.functional, name), p=rate, training=True)


def _stochastic_depth(use: TorchUse) -> TorchFunction:
    dropout, rate = use.functional.dropout, use.op.rate

    def run(x: Any) -> Any:
        return x * dropout(x.new_ones(x.shape[0], *(1,) * (x.dim() - 1)), p=rate, training=True)

    return run


def _global_response_norm(use: TorchUse) -> TorchFunction:
    op, rank = use.op, len(use.types[0].shape)
    axis = op.axis % rank
    spatial = tuple(a + 1 for a in range(rank) if a != axis)
    weight, bias = (p.reshape(-1, *(1,) * (rank - 1 - axis)) for p in use.weights)
    vector_norm = import_module("torch").linalg.vector_norm

    def run(x: Any) -> Any:
        norms = vector_norm(x, dim=spatial, keepdim=True)
        return x + bias + weight * x * (norms / (norms.mean(axis + 1, keepdim=True) + op.eps))

    return run


def _layer_norm(use: TorchUse) -> TorchFunction:
    (x,) = use.types
    axes, rank = use.op.axes(x), len(x.shape)
    function, (weight, bias), eps = use.functional.layer_norm, use.weights, use.op.eps
    extents = tuple(x.shape[a] for a in axes)
    last = range(rank - len(axes), rank)
    if axes == tuple(last):
        return lambda x: function(x, extents, weight, bias, eps)
    places, ends = [a + 1 for a in axes], [a + 1 for a in last]
    return lambda x: function(x.movedim(places, ends), extents, weight, bias, eps).movedim(ends, places)


def _lrn(use: TorchUse) -> TorchFunction:
    op = use.op
    function = use.functional.local_response_norm
    return partial(function, size=op.size, alpha=op.alpha, beta=op.beta, k=op.k)


def _max_pool(use: TorchUse) -> TorchFunction:
    window, padded, padding = use.windowed(-math.inf)
    function, ceil = use.by_rank("max_pool"), use.op.ceil
    return lambda x: function(padded(x), window.kernel, window.stride, padding, window.dilation, ceil)


def _avg_pool(use: TorchUse) -> TorchFunction:
    window, padded, padding = use.windowed(0.0)
    if padded is not unchanged:
        raise Unsupported("`avg_pool` that pads one side more than the other")
    function, ceil, count = use.by_rank("avg_pool"), use.op.ceil, use.op.count_include_pad
    return lambda x: function(x, window.kernel, window.stride, padding, ceil, count)


def _lp_pool(use: TorchUse) -> TorchFunction:
    op, window = use.op, use.op.window(use.types[0])
    if use.axes == 3:
        raise Unsupported("`lp_pool` over 3 axes")
    if op.ceil and any(map(any, window.padding)):
        raise Unsupported("`lp_pool` with partial windows over padding")
    padded = partial(use.functional.pad, pad=pad_sides(window.padding))
    function = use.by_rank("lp_pool")
    kernel, stride = (n[0] if use.axes == 1 else n for n in (window.kernel, window.stride))
    return lambda x: function(padded(x.abs()), op.norm, kernel, stride, op.ceil)


def _adaptive_pool(use: TorchUse) -> TorchFunction:
    return partial(use.by_rank(use.op.kind), output_size=use.output.spatial)


def _global_pool(use: TorchUse) -> TorchFunction:
    axes, keep = tuple(range(2, use.axes + 2)), use.op.keep
    if use.op.kind == "global_avg_pool":
        return lambda x: x.mean(axes, keepdim=keep)
    pool, shape = partial(use.by_rank("adaptive_max_pool"), output_size=1), use.output.shape
    return lambda x: pool(x).reshape(-1, *shape)


def _aligned(use: TorchUse) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """The function that gives each of the values that are merged the axes that it lacks, behind its own."""
    rank = len(use.output.shape)
    ones = [(1,) * (rank - len(t.shape)) for t in use.types]
    return lambda xs: (x.reshape(*x.shape, *more) if more else x for x, more in zip(xs, ones, strict=True))


def _merge(function: TorchFunction) -> Translation:
    """A function of two tensors over any number of them."""

    def translated(use: TorchUse) -> TorchFunction:
        stretched = _aligned(use)
        return lambda *xs: reduce(function, stretched(xs))

    return translated


def _rms_norm(use: TorchUse) -> TorchFunction:
    op, (x,) = use.op, use.types
    axis, weight = resolve_axis(op.axis, x) + 1, use.params.get("weight")
    function, extent = use.functional.rms_norm, (x.shape[axis - 1],)
    return lambda x: function(x.movedim(axis, -1), extent, weight, op.eps).movedim(-1, axis)


def _attention(use: TorchUse) -> TorchFunction:
    op, functional, heads = use.op, use.functional, use.op.heads
    weight, bias, out, out_bias = (use.params.get(name) for name in ATTENTION_NAMES[op.names])

    def run(x: Any) -> Any:
        qkv = functional.linear(x, weight, bias).unflatten(-1, (3, heads, -1))
        q, k, v = (part.transpose(-2, -3) for part in qkv.unbind(-3))
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(-2, -3).flatten(-2)
        return functional.linear(mixed, out, out_bias)

    return run


def _window_attention(use: TorchUse) -> TorchFunction:
    op, functional, heads, (type_,) = use.op, use.functional, use.op.heads, use.types
    torch, params, (first, last) = import_module("torch"), use.params, WINDOW_NAMES[op.names]
    places, apart = op.places(type_), op.apart(type_)
    tokens, back, index = (torch.from_numpy(a.copy()) for a in (*places[:2], op.index(type_)))
    weight, bias = params[f"{first}.weight"], params.get(f"{first}.bias")
    if bias is not None and op.cosine:
        bias = bias * torch.tensor([1, 0, 1]).repeat_interleave(len(bias) // 3)
    mask = 0 if apart is None else torch.from_numpy(apart).to(weight)

    def biases() -> Any:
        if not op.cosine:
            return params["relative_position_bias_table"]
        names = ("relative_coords_table", "cpb_mlp.0.weight", "cpb_mlp.0.bias", "cpb_mlp.2.weight")
        coordinates, outer, added, inner = (params[name] for name in names)
        hidden = functional.linear(coordinates.flatten(0, -2), outer, added).relu()
        return 16 * functional.linear(hidden, inner).sigmoid()

    def run(x: Any) -> Any:
        rows = functional.pad(x.flatten(1, -2), (0, 0, 0, 1))
        qkv = functional.linear(rows[:, tokens], weight, bias).unflatten(-1, (3, heads, -1))
        q, k, v = (part.transpose(-2, -3) for part in qkv.unbind(-3))
        scale = op.scale
        if op.cosine:
            q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
            q, scale = q * params["logit_scale"].clamp(max=math.log(100)).exp(), 1.0
        added = biases()[index].permute(2, 0, 1) + mask
        mixed = functional.scaled_dot_product_attention(q, k, v, added, scale=scale)
        rows = mixed.transpose(-2, -3).flatten(-2).flatten(1, 2)[:, back]
        return functional.linear(rows, params[f"{last}.weight"], params.get(f"{last}.bias")).reshape(x.shape)

    return run


def _parameter(use: TorchUse) -> TorchFunction:
    (array,), shape = use.params.values(), use.op.shape
    whole = array.reshape(1, *shape)
    return lambda x: whole.expand(len(x), *shape)


def _matmul(use: TorchUse) -> TorchFunction:
    op = use.op

    def run(first: Any, second: Any) -> Any:
        first = first.mT if op.transpose_first else first
        return first @ (second.mT if op.transpose_second else second)

    return run


def _concat(use: TorchUse) -> TorchFunction:
    function, axis = import_module("torch").cat, _axis(use.op.axis)
    return lambda *xs: function(xs, axis)


def _resize(use: TorchUse) -> TorchFunction:
    op = use.op if use.op.kind == "resize" else use.op.resize(use.types[0])
    mode = interpolation_mode(op, use.axes)
    align = None if mode.startswith("nearest") else op.corners == "align_corners"
    return partial(use.functional.interpolate, size=use.output.spatial, mode=mode, align_corners=align)


def interpolation_mode(op: Resize, axes: int) -> str:
    """Torch's word for a mode over that many axes. Raises `Unsupported`."""
    if op.corners == "asymmetric":
        raise Unsupported("`resize` with `corners: asymmetric`")
    if op.mode == "cubic" and axes != 2:
        raise Unsupported("cubic `resize` of what is no image")
    names = {"nearest": "nearest", "nearest_exact": "nearest-exact", "cubic": "bicubic"}
    return names.get(op.mode) or ("linear", "bilinear", "trilinear")[axes - 1]


def _pad(use: TorchUse) -> TorchFunction:
    sides, mode = use.op.widths(use.types[0]), use.op.mode
    if mode == "constant":
        return partial(use.functional.pad, pad=pad_sides(sides), value=use.op.value)
    around = pad_sides((max(a, 0), max(b, 0)) for a, b in sides)
    cut = pad_sides((min(a, 0), min(b, 0)) for a, b in sides)
    function = use.functional.pad
    return lambda x: function(function(x, around, mode), cut)


def _group_norm(use: TorchUse) -> TorchFunction:
    function, (weight, bias), eps = use.functional.group_norm, use.weights, use.op.eps
    groups = use.op.groups if use.op.kind == "group_norm" else use.types[0].channels
    return lambda x: function(x, groups, weight, bias, eps)


def _pixel_move(use: TorchUse) -> TorchFunction:
    return partial(getattr(use.functional, use.op.kind), **pixel_factor(use.op))


def pixel_factor(op: PixelShuffle | PixelUnshuffle) -> dict[str, int]:
    """The argument of torch's move of pixels. Raises `Unsupported`."""
    if op.order != "channels_first":
        raise Unsupported(f"`{op.kind}` with `order: blocks_first`")
    return {"upscale_factor" if op.kind == "pixel_shuffle" else "downscale_factor": op.factor}


def _unfold(use: TorchUse) -> TorchFunction:
    if use.axes != 2:
        raise Unsupported("`unfold` of what is no image")
    window, padded, padding = use.windowed(0.0)
    function = use.functional.unfold
    return lambda x: function(padded(x), window.kernel, window.dilation, padding, window.stride)


def _slice(use: TorchUse) -> TorchFunction:
    axis, stretch = use.op.stretch(use.types[0])
    where = (*(slice(None),) * (axis + 1), stretch)
    return lambda x: x[where]


def _shuffle(use: TorchUse) -> TorchFunction:
    groups = use.op.groups
    return lambda x: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _layer_scale(use: TorchUse) -> TorchFunction:
    (scale,) = use.params.values()
    shaped = scale.reshape(-1, *(1,) * use.axes)
    return lambda x: x * shaped


def _recurrent(use: TorchUse) -> TorchFunction:
    op, torch = use.op, import_module("torch")
    if op.kind == "gru" and not op.linear_before_reset:
        return _gru_of_the_paper(use)
    function = getattr(torch, f"rnn_{op.activation}" if op.kind == "rnn" else op.kind)
    arrays = []
    for end in op.directions:
        arrays += [use.params[name + end] for name in ("weight_ih_l0", "weight_hh_l0")]
        biases = [use.params[name + end] for name in ("bias_ih_l0", "bias_hh_l0")[: op.biases]]
        arrays += [*biases, torch.zeros_like(biases[0])] if op.biases == 1 else biases
    states = 2 if op.kind == "lstm" else 1

    def run(x: Any) -> Any:
        zeros = x.new_zeros(len(op.directions), len(x), op.hidden)
        start = (zeros,) * states if states > 1 else zeros
        return function(x, start, arrays, op.biases > 0, 1, 0.0, use.training, op.bidirectional, True)[0]

    return run


def _gru_of_the_paper(use: TorchUse) -> TorchFunction:
    """A GRU that resets the state before its matrix, step by step: torch has the other form alone."""
    torch, rows = import_module("torch"), 2 * use.op.hidden
    linear, params = use.functional.linear, use.params

    def one_way(x: Any, end: str) -> Any:
        weight, bias = params["weight_hh_l0" + end], params.get("bias_hh_l0" + end)
        first, second = (None, None) if bias is None else (bias[:rows], bias[rows:])
        totals = linear(x, params["weight_ih_l0" + end], params.get("bias_ih_l0" + end))
        state, states = x.new_zeros(len(x), use.op.hidden), []
        for total in totals.unbind(1):
            gates = torch.sigmoid(total[:, :rows] + linear(state, weight[:rows], first))
            reset, update = gates.chunk(2, 1)
            new = torch.tanh(total[:, rows:] + linear(reset * state, weight[rows:], second))
            state = (1 - update) * new + update * state
            states.append(state)
        return torch.stack(states, 1)

    def run(x: Any) -> Any:
        there, *back = (one_way(x.flip(1) if end else x, end) for end in use.op.directions)
        return torch.cat([there, *(y.flip(1) for y in back)], 2)

    return run


# For each kind of op, what makes its function; an op that is missing has none.
TORCH_OPS: Mapping[str, Translation] = {
    "abs": lambda use: operator.abs,
    "adaptive_avg_pool": _adaptive_pool,
    "adaptive_max_pool": _adaptive_pool,
    "add": _merge(operator.add),
    "attention": _attention,
    "avg_pool": _avg_pool,
    "bn": _batch_norm,
    "channel_dropout": _dropout,
    "clip": lambda use: lambda x: x.clamp(use.op.min, use.op.max),
    "concat": _concat,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dropout": _dropout,
    "divide": _merge(operator.truediv),
    "embedding": _embedding,
    "elu": lambda use: partial(use.functional.elu, alpha=use.op.alpha),
    "flatten": lambda use: lambda x: x.flatten(1),
    "gelu": lambda use: partial(use.functional.gelu, approximate=use.op.approximate),
    "global_avg_pool": _global_pool,
    "global_max_pool": _global_pool,
    "global_response_norm": _global_response_norm,
    "group_norm": _group_norm,
    "gru": _recurrent,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _functional("hardswish"),
    "instance_norm": _group_norm,
    "l2_normalize": lambda use: partial(use.functional.normalize, dim=_axis(use.op.axis), eps=use.op.eps),
    "layer_norm": _layer_norm,
    "layer_scale": _layer_scale,
    "leaky_relu": lambda use: partial(use.functional.leaky_relu, negative_slope=use.op.slope),
    "linear": _linear,
    "lp_pool": _lp_pool,
    "lstm": _recurrent,
    "log_softmax": lambda use: partial(use.functional.log_softmax, dim=_axis(use.op.axis)),
    "lrn": _lrn,
    "matmul": _matmul,
    "maximum": lambda use: _merge(import_module("torch").maximum)(use),
    "max_pool": _max_pool,
    "mish": _functional("mish"),
    "multiply": _merge(operator.mul),
    "offset": lambda use: lambda x: x + use.op.number,
    "pad": _pad,
    "parameter": _parameter,
    "permute": lambda use: lambda x: x.permute(0, *(axis + 1 for axis in use.op.order)),
    "pixel_shuffle": _pixel_move,
    "pixel_unshuffle": _pixel_move,
    "prelu": lambda use: partial(use.functional.prelu, weight=use.params["weight"]),
    "relu": _functional("relu"),
    "relu6": _functional("relu6"),
    "reshape": lambda use: lambda x: x.reshape(-1, *use.output.shape),
    "resize": _resize,
    "rms_norm": _rms_norm,
    "rnn": _recurrent,
    "roll": lambda use: lambda x: x.roll(use.op.shift, _axis(use.op.axis)),
    "scale": lambda use: lambda x: x * use.op.factor,
    "selu": _functional("selu"),
    "shuffle": _shuffle,
    "sigmoid": lambda use: import_module("torch").sigmoid,
    "silu": _functional("silu"),
    "slice": _slice,
    "softmax": lambda use: partial(use.functional.softmax, dim=_axis(use.op.axis)),
    "softplus": _functional("softplus"),
    "softsign": _functional("softsign"),
    "standardized_conv": _standardized_conv,
    "stochastic_depth": _stochastic_depth,
    "subtract": _merge(operator.sub),
    "take": _take,
    "tanh": lambda use: import_module("torch").tanh,
    "unfold": _unfold,
    "upsample": _resize,
    "window_attention": _window_attention,
}
