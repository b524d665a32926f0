"""A typed graph as a module of torch, for what no library has: eager, or exported to ONNX from there.

What an op is in torch is decided once, when the module is made: a call then costs no more than in a module
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

from archforge.ir import Node, TensorType, TypedGraph
from archforge.ops.base import Op
from archforge.ops.window import Window

__all__ = ["TORCH_OPS", "Unsupported", "torch_network"]


class Unsupported(Exception):
    """An op, or a use of it, that is not here."""


Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Use:
    """A node as a translation sees it: torch's functions `f`, the op, types, and the tensors `p` of its
    parameters by the op's names."""

    f: Any
    op: Any
    types: tuple[TensorType, ...]
    output: TensorType
    p: Mapping[str, Any]

    @property
    def axes(self) -> int:
        return len(self.types[0].spatial)

    @property
    def weights(self) -> tuple[Any, Any]:
        return self.p.get("weight"), self.p.get("bias")

    def by_rank(self, name: str) -> Function:
        """`conv` as conv1d, conv2d or conv3d."""
        function: Function = getattr(self.f, f"{name}{self.axes}d")
        return function

    def windowed(self, fill: float) -> tuple[Window, Function, tuple[int, ...]]:
        """The window, what to do with the input before it, and the padding that is left: torch's windows
        pad both sides of an axis alike."""
        window: Window = self.op.window(self.types[0])
        if all(before == after for before, after in window.padding):
            return window, _unchanged, tuple(before for before, _ in window.padding)
        return window, partial(self.f.pad, pad=_reversed(window.padding), value=fill), (0,) * self.axes


def _unchanged(x: Any) -> Any:
    return x


def _reversed(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """(before, after) of each axis as torch's `pad` wants them: the last axis first."""
    return [side for pair in reversed(list(pairs)) for side in pair]


def _axis(axis: int) -> int:
    """An axis that does not count the batch, as one that does."""
    return axis + 1 if axis >= 0 else axis


def _functional(name: str) -> Translation:
    """torch.nn.functional's function of that name, without attributes."""
    return lambda u: getattr(u.f, name)


def conv(u: Use) -> Function:
    window, padded, padding = u.windowed(0.0)
    function, (weight, bias), groups = u.by_rank("conv"), u.weights, u.op.groups
    return lambda x: function(padded(x), weight, bias, window.stride, padding, window.dilation, groups)


def linear(u: Use) -> Function:
    if u.op.axis not in (None, -1, len(u.types[0].shape) - 1):
        raise Unsupported("`linear` along another axis than the last")
    function, (weight, bias) = u.f.linear, u.weights
    return lambda x: function(x, weight, bias)


def batch_norm(u: Use) -> Function:
    mean, var = u.p["running_mean"], u.p["running_var"]
    function, (weight, bias), eps = u.f.batch_norm, u.weights, u.op.eps
    return lambda x: function(x, mean, var, weight, bias, False, 0.0, eps)


def layer_norm(u: Use) -> Function:
    last = len(u.types[0].shape) - 1
    if u.op.axis not in (-1, 0, last):
        raise Unsupported("`layer_norm` along an axis that is neither the first nor the last")
    function, (weight, bias), eps = u.f.layer_norm, u.weights, u.op.eps
    extent = (u.types[0].shape[u.op.axis],)
    if u.op.axis == 0 != last:
        return lambda x: function(x.movedim(1, -1), extent, weight, bias, eps).movedim(-1, 1)
    return lambda x: function(x, extent, weight, bias, eps)


def max_pool(u: Use) -> Function:
    window, padded, padding = u.windowed(-math.inf)
    function, ceil = u.by_rank("max_pool"), u.op.ceil
    return lambda x: function(padded(x), window.kernel, window.stride, padding, window.dilation, ceil)


def avg_pool(u: Use) -> Function:
    window, padded, padding = u.windowed(0.0)
    if padded is not _unchanged:
        raise Unsupported("`avg_pool` that pads one side more than the other")
    function, ceil, count = u.by_rank("avg_pool"), u.op.ceil, u.op.count_include_pad
    return lambda x: function(x, window.kernel, window.stride, padding, ceil, count)


def global_pool(u: Use) -> Function:
    axes, keep = tuple(range(2, u.axes + 2)), u.op.keep
    if u.op.kind == "global_avg_pool":
        return lambda x: x.mean(axes, keepdim=keep)
    return lambda x: x.amax(axes, keepdim=keep)


def multiply(u: Use) -> Function:
    rank = len(u.output.shape)
    ones = [(1,) * (rank - len(t.shape)) for t in u.types]

    def run(*factors: Any) -> Any:
        aligned = (x.reshape(*x.shape, *more) if more else x for x, more in zip(factors, ones, strict=True))
        return reduce(operator.mul, aligned)

    return run


def merge(function: Function) -> Translation:
    return lambda u: lambda *xs: reduce(function, xs)


def concat(u: Use) -> Function:
    join, axis = import_module("torch").cat, _axis(u.op.axis)
    return lambda *xs: join(xs, axis)


def upsample(u: Use) -> Function:
    mode = u.op.mode if u.op.mode == "nearest" else ("linear", "bilinear", "trilinear")[u.axes - 1]
    align = None if mode == "nearest" else u.op.align_corners
    return partial(u.f.interpolate, size=u.output.spatial, mode=mode, align_corners=align)


def pad(u: Use) -> Function:
    sides = u.op.sides
    pairs = [(sides, sides)] * u.axes if isinstance(sides, int) else zip(sides[::2], sides[1::2], strict=True)
    return partial(u.f.pad, pad=_reversed(pairs), value=u.op.value)


def slice_(u: Use) -> Function:
    axis = _axis(u.op.axis) % (len(u.types[0].shape) + 1)
    where = (*(slice(None),) * axis, slice(u.op.start, u.op.end))
    return lambda x: x[where]


def shuffle(u: Use) -> Function:
    groups = u.op.groups
    return lambda x: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def layer_scale(u: Use) -> Function:
    (scale,) = u.p.values()
    shaped = scale.reshape(-1, *(1,) * u.axes)
    return lambda x: x * shaped


Translation = Callable[[Use], Function]
TORCH_OPS: Mapping[str, Translation] = {
    **{n: _functional(n) for n in ("mish", "relu", "relu6", "selu", "silu", "softplus", "softsign")},
    "abs": lambda u: operator.abs,
    "adaptive_avg_pool": lambda u: partial(u.by_rank("adaptive_avg_pool"), output_size=u.output.spatial),
    "add": merge(operator.add),
    "avg_pool": avg_pool,
    "bn": batch_norm,
    "concat": concat,
    "conv": conv,
    "elu": lambda u: partial(u.f.elu, alpha=u.op.alpha),
    "flatten": lambda u: lambda x: x.flatten(1),
    "gelu": lambda u: partial(u.f.gelu, approximate=u.op.approximate),
    "global_avg_pool": global_pool,
    "global_max_pool": global_pool,
    "hard_sigmoid": _functional("hardsigmoid"),
    "hard_swish": _functional("hardswish"),
    "layer_norm": layer_norm,
    "layer_scale": layer_scale,
    "leaky_relu": lambda u: partial(u.f.leaky_relu, negative_slope=u.op.slope),
    "linear": linear,
    "log_softmax": lambda u: partial(u.f.log_softmax, dim=_axis(u.op.axis)),
    "lrn": lambda u: partial(
        u.f.local_response_norm, size=u.op.size, alpha=u.op.alpha, beta=u.op.beta, k=u.op.k
    ),
    "max_pool": max_pool,
    "multiply": multiply,
    "pad": pad,
    "permute": lambda u: lambda x: x.permute(0, *(axis + 1 for axis in u.op.order)),
    "prelu": lambda u: partial(u.f.prelu, weight=u.p["weight"]),
    "reshape": lambda u: lambda x: x.reshape(-1, *u.output.shape),
    "scale": lambda u: lambda x: x * u.op.factor,
    "shuffle": shuffle,
    "sigmoid": lambda u: import_module("torch").sigmoid,
    "slice": slice_,
    "softmax": lambda u: partial(u.f.softmax, dim=_axis(u.op.axis)),
    "subtract": merge(operator.sub),
    "tanh": lambda u: import_module("torch").tanh,
    "upsample": upsample,
}


def torch_network(typed: TypedGraph, state: Mapping[str, Any]) -> Any:
    """A torch.nn.Module from the graph's inputs to its outputs, both in order, on the tensors of `state`.

    Raises Unsupported for ops that `TORCH_OPS` lacks, all together.
    """
    torch: Any = import_module("torch")
    needed = typed.needed_by(typed.outputs.values())
    nodes = [node for node in typed.nodes if node.name in needed]
    lacking = sorted({_op(n).kind for n in nodes if not _op(n).is_identity} - TORCH_OPS.keys())
    if lacking:
        raise Unsupported(f"there is no translation to torch of {', '.join(f'`{kind}`' for kind in lacking)}")

    class Network(torch.nn.Module):  # type: ignore[misc]  # torch is not there for mypy
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[tuple[str, Function, tuple[str, ...]]] = []
            for name in typed.params():  # the name of a buffer has no dots
                self.register_buffer(name.replace(".", "/"), state[name])
            for node in nodes:
                function = _translated(typed, node, state, torch.nn.functional)
                self.calls.append((node.name, function, node.inputs))

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            values = dict(zip(typed.inputs, inputs, strict=True))
            for name, function, given in self.calls:
                values[name] = function(*(values[v] for v in given))
            return tuple(values[v] for v in typed.outputs.values())

    return Network().eval()


def _translated(typed: TypedGraph, node: Node, state: Mapping[str, Any], functional: Any) -> Function:
    op, types = _op(node), typed.input_types(node)
    if op.is_identity:
        return _unchanged
    own = {name: state[node.param_name(name)] for name in op.params(*types)}
    return TORCH_OPS[op.kind](Use(functional, op, types, typed.types[node.name], own))


def _op(node: Node) -> Op:
    assert isinstance(node.op, Op)
    return node.op
