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
from archforge.ops.base import per_axis
from archforge.ops.window import Window

__all__ = ["TORCH_OPS", "TorchFunction", "TorchUse", "unchanged"]

TorchFunction = Callable[..., Any]  # of the tensors that a node reads


@dataclass(frozen=True, slots=True)
class TorchUse:
    """One use of an op, as its translation sees it.

    functional: torch.nn.functional. types, output: of the values, the batch left out. params: the tensors of
    the op's parameters by its own names.
    """

    functional: Any
    op: Any
    types: tuple[TensorType, ...]
    output: TensorType
    params: Mapping[str, Any]

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
        padded = partial(self.functional.pad, pad=_reversed(window.padding), value=fill)
        return window, padded, (0,) * self.axes


Translation = Callable[[TorchUse], TorchFunction]


def unchanged(x: Any) -> Any:
    """The tensor itself."""
    return x


def _reversed(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Pairs (before, after) for each axis in the order of torch's `pad`, the last axis first."""
    return [side for pair in reversed(list(pairs)) for side in pair]


def _axis(axis: int) -> int:
    """An axis by its number with the batch, which ours leave out."""
    return axis + 1 if axis >= 0 else axis


def _functional(name: str) -> Translation:
    """torch.nn.functional's function of that name, without attributes."""
    return lambda use: getattr(use.functional, name)


def _conv(use: TorchUse) -> TorchFunction:
    window, padded, padding = use.windowed(0.0)
    function, (weight, bias), groups = use.by_rank("conv"), use.weights, use.op.groups
    return lambda x: function(padded(x), weight, bias, window.stride, padding, window.dilation, groups)


def _conv_transpose(use: TorchUse) -> TorchFunction:
    op, window = use.op, use.op.window(use.types[0])
    if any(before != after for before, after in window.padding):
        raise Unsupported("`conv_transpose` that is cut more at one side than at the other")
    function, (weight, bias), groups = use.by_rank("conv_transpose"), use.weights, op.groups
    padding = tuple(before for before, _ in window.padding)
    excess = per_axis(op.output_padding, use.axes, "output_padding")
    return lambda x: function(x, weight, bias, window.stride, padding, excess, groups, window.dilation)


def _linear(use: TorchUse) -> TorchFunction:
    if use.op.axis not in (None, -1, len(use.types[0].shape) - 1):
        raise Unsupported("`linear` along another axis than the last")
    function, (weight, bias) = use.functional.linear, use.weights
    return lambda x: function(x, weight, bias)


def _batch_norm(use: TorchUse) -> TorchFunction:
    mean, var = use.params["running_mean"], use.params["running_var"]
    function, (weight, bias), eps = use.functional.batch_norm, use.weights, use.op.eps
    return lambda x: function(x, mean, var, weight, bias, False, 0.0, eps)


def _layer_norm(use: TorchUse) -> TorchFunction:
    last = len(use.types[0].shape) - 1
    if use.op.axis not in (-1, 0, last):
        raise Unsupported("`layer_norm` along an axis that is neither the first nor the last")
    function, (weight, bias), eps = use.functional.layer_norm, use.weights, use.op.eps
    extent = (use.types[0].shape[use.op.axis],)
    if use.op.axis == 0 != last:
        return lambda x: function(x.movedim(1, -1), extent, weight, bias, eps).movedim(-1, 1)
    return lambda x: function(x, extent, weight, bias, eps)


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


def _adaptive_avg_pool(use: TorchUse) -> TorchFunction:
    return partial(use.by_rank("adaptive_avg_pool"), output_size=use.output.spatial)


def _global_pool(use: TorchUse) -> TorchFunction:
    axes, keep = tuple(range(2, use.axes + 2)), use.op.keep
    if use.op.kind == "global_avg_pool":
        return lambda x: x.mean(axes, keepdim=keep)
    return lambda x: x.amax(axes, keepdim=keep)


def _multiply(use: TorchUse) -> TorchFunction:
    rank = len(use.output.shape)
    ones = [(1,) * (rank - len(t.shape)) for t in use.types]

    def run(*factors: Any) -> Any:
        aligned = (x.reshape(*x.shape, *more) if more else x for x, more in zip(factors, ones, strict=True))
        return reduce(operator.mul, aligned)

    return run


def _merge(function: TorchFunction) -> Translation:
    """A function of two tensors over any number of them."""
    return lambda use: lambda *xs: reduce(function, xs)


def _concat(use: TorchUse) -> TorchFunction:
    function, axis = import_module("torch").cat, _axis(use.op.axis)
    return lambda *xs: function(xs, axis)


def _upsample(use: TorchUse) -> TorchFunction:
    mode = use.op.mode if use.op.mode == "nearest" else ("linear", "bilinear", "trilinear")[use.axes - 1]
    align = None if mode == "nearest" else use.op.align_corners
    return partial(use.functional.interpolate, size=use.output.spatial, mode=mode, align_corners=align)


def _pad(use: TorchUse) -> TorchFunction:
    sides = use.op.sides
    each = (sides,) * 2 * use.axes if isinstance(sides, int) else sides
    pairs = zip(each[::2], each[1::2], strict=True)
    return partial(use.functional.pad, pad=_reversed(pairs), value=use.op.value)


def _slice(use: TorchUse) -> TorchFunction:
    axis = _axis(use.op.axis) % (len(use.types[0].shape) + 1)
    where = (*(slice(None),) * axis, slice(use.op.start, use.op.end))
    return lambda x: x[where]


def _shuffle(use: TorchUse) -> TorchFunction:
    groups = use.op.groups
    return lambda x: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _layer_scale(use: TorchUse) -> TorchFunction:
    (scale,) = use.params.values()
    shaped = scale.reshape(-1, *(1,) * use.axes)
    return lambda x: x * shaped


# For each kind of op, what makes its function; an op that is missing has none.
TORCH_OPS: Mapping[str, Translation] = {
    "abs": lambda use: operator.abs,
    "adaptive_avg_pool": _adaptive_avg_pool,
    "add": _merge(operator.add),
    "avg_pool": _avg_pool,
    "bn": _batch_norm,
    "concat": _concat,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "elu": lambda use: partial(use.functional.elu, alpha=use.op.alpha),
    "flatten": lambda use: lambda x: x.flatten(1),
    "gelu": lambda use: partial(use.functional.gelu, approximate=use.op.approximate),
    "global_avg_pool": _global_pool,
    "global_max_pool": _global_pool,
    "hard_sigmoid": _functional("hardsigmoid"),
    "hard_swish": _functional("hardswish"),
    "layer_norm": _layer_norm,
    "layer_scale": _layer_scale,
    "leaky_relu": lambda use: partial(use.functional.leaky_relu, negative_slope=use.op.slope),
    "linear": _linear,
    "log_softmax": lambda use: partial(use.functional.log_softmax, dim=_axis(use.op.axis)),
    "lrn": _lrn,
    "max_pool": _max_pool,
    "mish": _functional("mish"),
    "multiply": _multiply,
    "pad": _pad,
    "permute": lambda use: lambda x: x.permute(0, *(axis + 1 for axis in use.op.order)),
    "prelu": lambda use: partial(use.functional.prelu, weight=use.params["weight"]),
    "relu": _functional("relu"),
    "relu6": _functional("relu6"),
    "reshape": lambda use: lambda x: x.reshape(-1, *use.output.shape),
    "scale": lambda use: lambda x: x * use.op.factor,
    "selu": _functional("selu"),
    "shuffle": _shuffle,
    "sigmoid": lambda use: import_module("torch").sigmoid,
    "silu": _functional("silu"),
    "slice": _slice,
    "softmax": lambda use: partial(use.functional.softmax, dim=_axis(use.op.axis)),
    "softplus": _functional("softplus"),
    "softsign": _functional("softsign"),
    "subtract": _merge(operator.sub),
    "tanh": lambda use: import_module("torch").tanh,
    "upsample": _upsample,
}
