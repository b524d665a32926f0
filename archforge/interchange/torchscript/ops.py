"""The table of torch's ops, as TorchScript calls them, and how each is said in ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from archforge.interchange.flows import FixedValue, Flow, common_axes, viewed
from archforge.interchange.translation import axes_behind_map, bound_op, require
from archforge.interchange.unsupported import Unsupported
from archforge.interchange.with_constants import axis_of, with_constants
from archforge.ops.base import Array, Op
from archforge.ops.lazy_numpy import np

__all__ = ["ATEN_OPS", "AtenUse"]


class AtenUse(Protocol):
    """A call with its arguments. `arg` gives one by position: a number, a list, a `Flow`, a `FixedValue`;
    `flow` one that the network computes, `array` one that is stored, None where it is left out; `add` makes a
    node whose value is seen by the axes of the first, or by `axes`; `ours` brings a value into our order."""

    op: str

    def arg(self, position: int, default: Any = None) -> Any: ...
    def flow(self, position: int = 0) -> Flow: ...
    def array(self, position: int) -> Array | None: ...
    def add(self, op: Op, *flows: Flow, axes: tuple[int | None, ...] = (), **params: Array) -> Flow: ...
    def ours(self, flow: Flow) -> Flow: ...


Translated = Callable[[AtenUse], Any]


def _stored(use: AtenUse, position: int) -> Array:
    found = use.array(position)
    if found is None:
        raise Unsupported(f"without its argument {position}")
    return found


def _weights(use: AtenUse, position: int) -> dict[str, Array]:
    """Weight and bias, by position."""
    bias = use.array(position + 1)
    return {"weight": _stored(use, position)} | ({} if bias is None else {"bias": bias})


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """A number for each axis, which may be given once."""
    given = tuple(value) if isinstance(value, list | tuple) else (value,)
    require(len(given) in (1, axes), f"{len(given)} numbers for {axes} axes")
    return given * axes if len(given) == 1 else given


def _convolution(use: AtenUse) -> Flow:
    """aten::_convolution, which is all of them."""
    x, params = use.ours(use.flow()), _weights(use, 1)
    return _conv(use, x, params, [use.arg(i) for i in (3, 4, 5)], use.arg(6), use.arg(7), use.arg(8))


def _conv_alone(use: AtenUse) -> Flow:
    stride, padding, dilation, groups = (use.arg(i, d) for i, d in ((3, 1), (4, 0), (5, 1), (6, 1)))
    return _conv(use, use.ours(use.flow()), _weights(use, 1), [stride, padding, dilation], False, 0, groups)


def _conv_transpose(use: AtenUse) -> Flow:
    stride, padding, excess = (use.arg(i, d) for i, d in ((3, 1), (4, 0), (5, 0)))
    window = [stride, padding, use.arg(7, 1)]
    return _conv(use, use.ours(use.flow()), _weights(use, 1), window, True, excess, use.arg(6, 1))


def _conv(
    use: AtenUse,
    x: Flow,
    params: Mapping[str, Any],
    window: Sequence[Any],
    is_transposed: bool,
    excess: Any,
    groups: int,
) -> Flow:
    weight, axes = params["weight"], len(x.type.shape) - 1
    stride, padding, dilation = window
    attributes: dict[str, Any] = {
        "kernel": weight.shape[2:],
        "stride": _each(stride, axes),
        "padding": padding if isinstance(padding, str) else _each(padding, axes),
        "dilation": _each(dilation, axes),
        "groups": groups,
        "bias": "bias" in params,
    }
    if is_transposed:
        attributes |= {"out": weight.shape[1] * groups, "output_padding": _each(excess, axes)}
        return use.add(bound_op("conv_transpose", **attributes), x, **params)
    return use.add(bound_op("conv", out=len(weight), **attributes), x, **params)


def _batch_norm(use: AtenUse) -> Flow:
    require(not use.arg(5), "training mode")
    weight, bias, mean, var = (use.array(i) for i in (1, 2, 3, 4))
    require(mean is not None and var is not None, "statistics of the batch")
    require((bias is None) == (weight is None), "a weight or a bias alone")
    found = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
    params: dict[str, Any] = {name: array for name, array in found.items() if array is not None}
    op = bound_op("bn", eps=use.arg(7), momentum=use.arg(6), affine=bias is not None)
    return use.add(op, use.ours(use.flow()), **params)


def _layer_norm(use: AtenUse) -> Flow:
    x, weight, bias = use.flow(), use.array(2), use.array(3)
    require(len(use.arg(1)) == 1, "over several axes")
    extent = use.arg(1)[0]
    weight = np.ones(extent, np.float32) if weight is None else weight
    bias = np.zeros(extent, np.float32) if bias is None else bias
    op = bound_op("layer_norm", eps=use.arg(4, 1e-5), axis=axis_of(x, -1))
    return use.add(op, x, weight=weight, bias=bias)


def _max_pool(use: AtenUse) -> Flow:
    x = use.ours(use.flow())
    axes, kernel = len(x.type.shape) - 1, use.arg(1)
    op = bound_op(
        "max_pool",
        kernel=_each(kernel, axes),
        stride=_each(use.arg(2) or kernel, axes),
        padding=_each(use.arg(3, 0), axes),
        dilation=_each(use.arg(4, 1), axes),
        ceil=bool(use.arg(5, False)),
    )
    return use.add(op, x)


def _avg_pool(use: AtenUse) -> Flow:
    x = use.ours(use.flow())
    axes, kernel = len(x.type.shape) - 1, use.arg(1)
    require(use.arg(6) is None, "a divisor of its own")
    op = bound_op(
        "avg_pool",
        kernel=_each(kernel, axes),
        stride=_each(use.arg(2) or kernel, axes),
        padding=_each(use.arg(3, 0), axes),
        ceil=bool(use.arg(4, False)),
        count_include_pad=bool(use.arg(5, True)),
    )
    return use.add(op, x)


def _adaptive(kind: str) -> Translated:
    def translate(use: AtenUse) -> Flow:
        x = use.ours(use.flow())
        size = _each(use.arg(1), len(x.type.shape) - 1)
        if {*size} == {1}:
            return use.add(bound_op(f"global_{kind}"), x)
        require(kind == "avg_pool", f"maxima of {size} windows")
        return use.add(bound_op("adaptive_avg_pool", size=size), x)

    return translate


def _mean(use: AtenUse) -> Flow:
    x, keep = use.flow(), bool(use.arg(2, False))
    gives = axes_behind_map(x, use.arg(1) or (), keep=keep)
    return use.add(bound_op("global_avg_pool", keep=keep), x, axes=gives)


def _linear(use: AtenUse) -> Flow:
    params = _weights(use, 1)
    return _product(use, use.flow(), params)


def _product(use: AtenUse, x: Flow, params: Mapping[str, Any]) -> Flow:
    """The product of a value with a matrix, along the last axis."""
    weight = params["weight"]
    require(weight.ndim == 2, f"a matrix of {weight.ndim} axes")
    axis = axis_of(x, -1) if len(x.axes) > 2 else None
    op = bound_op("linear", out=len(weight), bias="bias" in params, axis=axis)
    return use.add(op, x if axis is not None else use.ours(x), **params)


def _addmm(use: AtenUse) -> Flow:
    require(use.arg(3, 1) == 1 == use.arg(4, 1), "factors other than 1")
    return _product(use, use.flow(1), {"weight": _stored(use, 2).T, "bias": _stored(use, 0)})


def _matmul(use: AtenUse) -> Flow:
    require(isinstance(use.arg(1), FixedValue), "a product of two values")
    return _product(use, use.flow(), {"weight": _stored(use, 1).T})


def _matrix_turned(use: AtenUse) -> FixedValue | Flow:
    value = use.arg(0)
    if isinstance(value, FixedValue):
        return FixedValue(value.array.T, value.name)
    return _permuted(use, use.flow(), [1, 0])


def _permuted(use: AtenUse, x: Flow, order: Sequence[int]) -> Flow:
    """A value with its axes in another order."""
    order = [axis % len(x.axes) for axis in order]
    require(sorted(order) == list(range(len(x.axes))), f"an order of {order}")
    return Flow(x.value, x.type, tuple(x.axes[axis] for axis in order))


def _transpose(use: AtenUse) -> Flow:
    x = use.flow()
    order = list(range(len(x.axes)))
    one, other = (use.arg(i) % len(order) for i in (1, 2))
    order[one], order[other] = order[other], order[one]
    return _permuted(use, x, order)


def _shaped(use: AtenUse, x: Flow, shape: Sequence[int]) -> Flow:
    """A value under another shape."""
    known = math.prod(n for n in shape if n != -1)
    sides = tuple(math.prod(x.shape) // max(known, 1) if n == -1 else n for n in shape)
    require(math.prod(sides) == math.prod(x.shape), f"{sides} of {x.shape}")
    if sides == x.shape:
        return x
    view = viewed(x, sides)
    if view is not None and not x.is_ours:
        return view
    require(sides[:1] == (1,), "an array without the batch in front")
    op = bound_op("flatten") if len(sides) == 2 else bound_op("reshape", shape=sides[1:])
    return use.add(op, use.ours(x), axes=tuple(range(len(sides))))


def _flatten(use: AtenUse) -> Flow:
    x = use.flow()
    first, last = (use.arg(i, d) % len(x.axes) for i, d in ((1, 0), (2, -1)))
    return _shaped(use, x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def _squeezed(use: AtenUse) -> Flow:
    x, given = use.flow(), use.arg(1)
    require(given is not None, "of all axes")
    gone = {int(axis) % len(x.axes) for axis in (given if isinstance(given, list | tuple) else [given])}
    gone = {axis for axis in gone if x.shape[axis] == 1}
    return Flow(x.value, x.type, tuple(axis for at, axis in enumerate(x.axes) if at not in gone))


def _unsqueezed(use: AtenUse) -> Flow:
    x = use.flow()
    at = use.arg(1) % (len(x.axes) + 1)
    return Flow(x.value, x.type, (*x.axes[:at], None, *x.axes[at:]))


def _arithmetic(kind: str) -> Translated:
    """A sum, difference, product or quotient with a number, constants or another value."""

    def translate(use: AtenUse) -> Any:
        first, second, factor = use.arg(0), use.arg(1), use.arg(2, 1)
        if not isinstance(first, Flow) and not isinstance(second, Flow):
            return _calculated(kind, first, second, factor)
        if isinstance(first, Flow) and isinstance(second, Flow):
            return _merged(use, kind, first, second, factor)
        require(kind in ("add", "multiply") or isinstance(first, Flow), "a constant before it")
        x, constants = (first, second) if isinstance(first, Flow) else (second, first)
        array = constants.array if isinstance(constants, FixedValue) else np.asarray(constants, np.float32)
        if kind in ("add", "subtract"):
            array = array * np.float32(factor if kind == "add" else -factor)
        if kind == "divide":
            require(bool(np.all(array != 0)), "a quotient by 0")
            array = 1 / array
        return with_constants(use.add, x, np.asarray(array), is_product=kind in ("multiply", "divide"))

    return translate


def _calculated(kind: str, first: Any, second: Any, factor: Any) -> Any:
    """The number that numbers make: an extent."""
    require(all(isinstance(n, int | float) for n in (first, second, factor)), "of constants")
    results: dict[str, Callable[[], Any]] = {
        "add": lambda: first + factor * second,
        "subtract": lambda: first - factor * second,
        "multiply": lambda: first * second,
        "divide": lambda: first / second,
    }
    return results[kind]()


def _merged(use: AtenUse, kind: str, first: Flow, second: Flow, factor: Any) -> Flow:
    require(factor == 1 or kind in ("multiply", "divide"), f"a factor of {factor}")
    flows = [first, second]
    same_rank = len(first.type.shape) == len(second.type.shape)
    require(same_rank or kind == "multiply", "values of other numbers of axes")
    axes = common_axes(flows)
    if axes is None or (kind != "multiply" and first.type != second.type):
        flows = [use.ours(flow) for flow in flows]
        axes = flows[0].axes
    return use.add(bound_op(kind), *flows, axes=axes)


def _concat(use: AtenUse) -> Flow:
    flows = use.arg(0)
    require(isinstance(flows, list) and all(isinstance(flow, Flow) for flow in flows), "of constants")
    axes = common_axes(flows)
    if axes is None or None in axes:
        flows = [use.ours(flow) for flow in flows]
        axes = flows[0].axes
    return use.add(bound_op("concat", axis=axis_of(flows[0], use.arg(1, 0))), *flows, axes=axes)


def _slice(use: AtenUse) -> Flow:
    x, at = use.flow(), use.arg(1, 0) % len(use.flow().axes)
    size, start, end = x.shape[at], use.arg(2) or 0, use.arg(3)
    require(use.arg(4, 1) == 1, "a step other than 1")
    start = max(start + size, 0) if start < 0 else start
    end = size if end is None else min(end + size if end < 0 else end, size)
    if (start, end) == (0, size):
        return x
    return use.add(bound_op("slice", start=start, end=end, axis=axis_of(x, at)), x)


def _chunk(use: AtenUse) -> list[Flow]:
    x, at = use.flow(), use.arg(2, 0) % len(use.flow().axes)
    size = x.shape[at]
    part = -(-size // use.arg(1))
    return _parts(use, x, at, [min(part, size - start) for start in range(0, size, part)])


def _split(use: AtenUse) -> list[Flow]:
    x, at, given = use.flow(), use.arg(2, 0) % len(use.flow().axes), use.arg(1)
    size = x.shape[at]
    sizes = given if isinstance(given, list) else [min(given, size - i) for i in range(0, size, given)]
    return _parts(use, x, at, sizes)


def _parts(use: AtenUse, x: Flow, at: int, sizes: Sequence[int]) -> list[Flow]:
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    axis = axis_of(x, at)
    return [
        use.add(bound_op("slice", start=end - size, end=end, axis=axis), x)
        for size, end in zip(sizes, ends, strict=True)
    ]


def _softmax(kind: str) -> Translated:
    return lambda use: use.add(bound_op(kind, axis=axis_of(use.flow(), use.arg(1))), use.flow())


def _plain(kind: str, *names: str, **fixed: Any) -> Translated:
    """An op of one value; `names` are those of its attributes in the order of torch's arguments."""

    def translate(use: AtenUse) -> Flow:
        given = {name: use.arg(i) for i, name in enumerate(names, 1) if use.arg(i) is not None}
        return use.add(bound_op(kind, **fixed, **given), use.flow())

    return translate


def _hardtanh(use: AtenUse) -> Flow:
    low, high = use.arg(1, -1), use.arg(2, 1)
    return use.add(
        bound_op("relu6") if (low, high) == (0, 6) else bound_op("clip", min=low, max=high), use.flow()
    )


def _elu(use: AtenUse) -> Flow:
    require(use.arg(2, 1) == 1 == use.arg(3, 1), "scales other than 1")
    return use.add(bound_op("elu", alpha=use.arg(1, 1.0)), use.flow())


def _softplus(use: AtenUse) -> Flow:
    require(use.arg(1, 1) == 1, "a slope other than 1 within")
    return use.add(bound_op("softplus"), use.flow())


def _prelu(use: AtenUse) -> Flow:
    x, slopes = use.ours(use.flow()), _stored(use, 1)
    return use.add(bound_op("prelu", per_channel=slopes.size > 1), x, weight=slopes)


def _dropout(kind: str) -> Translated:
    def translate(use: AtenUse) -> Flow:
        require(not use.arg(2), "training mode")
        return use.add(bound_op(kind, rate=use.arg(1)), use.flow())

    return translate


def _same(use: AtenUse) -> Any:
    return use.arg(0)


def _pad(use: AtenUse) -> Flow:
    x, sides, value = use.ours(use.flow()), list(use.arg(1)), use.arg(2, 0)
    if use.op == "aten::pad":
        require(use.arg(2, "constant") == "constant", f"by `{use.arg(2)}`")
        value = use.arg(3) or 0
    axes = len(x.type.shape) - 1
    require(len(sides) <= 2 * axes, "around the batch or the channels")
    sides += [0] * (2 * axes - len(sides))
    pairs = [sides[2 * i : 2 * i + 2] for i in reversed(range(axes))]
    op = bound_op("pad", sides=tuple(side for pair in pairs for side in pair), value=float(value))
    return use.add(op, x)


def _upsample(mode: str) -> Translated:
    def translate(use: AtenUse) -> Flow:
        x = use.ours(use.flow())
        sizes, wanted, scales = x.type.shape[1:], use.arg(1), use.arg(2 if mode == "nearest" else 3)
        if wanted is None:
            require(isinstance(scales, list), "no size")
            wanted = [math.floor(n * scale) for n, scale in zip(sizes, scales, strict=True)]
        require(all(o % n == 0 for n, o in zip(sizes, wanted, strict=True)), f"from {sizes} to {wanted}")
        factor = tuple(o // n for n, o in zip(sizes, wanted, strict=True))
        corners = mode != "nearest" and bool(use.arg(2))
        return use.add(bound_op("upsample", factor=factor, mode=mode, align_corners=corners), x)

    return translate


def _size(use: AtenUse) -> Any:
    shape, axis = use.flow().shape, use.arg(1)
    return list(shape) if axis is None else shape[axis]


def _floor_divided(use: AtenUse) -> int:
    first, second = use.arg(0), use.arg(1)
    require(isinstance(first, int) and isinstance(second, int) and second != 0, "of values")
    return int(first // second)


def _expanded_constant(use: AtenUse) -> Any:
    """Slopes or factors that are only seen under another shape."""
    value = use.arg(0)
    if isinstance(value, FixedValue):
        return FixedValue(value.array.reshape([int(n) for n in use.arg(1)]), value.name)
    return _shaped(use, use.flow(), use.arg(1))


# By torch's name, to which an `_` at the end adds that it is done in place.
ATEN_OPS: Mapping[str, Translated] = {
    "aten::Int": _same,
    "aten::_convolution": _convolution,
    "aten::_convolution_mode": _conv_alone,
    "aten::_unsafe_view": _expanded_constant,
    "aten::abs": _plain("abs"),
    "aten::adaptive_avg_pool1d": _adaptive("avg_pool"),
    "aten::adaptive_avg_pool2d": _adaptive("avg_pool"),
    "aten::adaptive_avg_pool3d": _adaptive("avg_pool"),
    "aten::add": _arithmetic("add"),
    "aten::addmm": _addmm,
    "aten::avg_pool1d": _avg_pool,
    "aten::avg_pool2d": _avg_pool,
    "aten::avg_pool3d": _avg_pool,
    "aten::batch_norm": _batch_norm,
    "aten::cat": _concat,
    "aten::chunk": _chunk,
    "aten::clamp": _plain("clip", "min", "max"),
    "aten::clone": _same,
    "aten::constant_pad_nd": _pad,
    "aten::contiguous": _same,
    "aten::conv1d": _conv_alone,
    "aten::conv2d": _conv_alone,
    "aten::conv3d": _conv_alone,
    "aten::conv_transpose1d": _conv_transpose,
    "aten::conv_transpose2d": _conv_transpose,
    "aten::conv_transpose3d": _conv_transpose,
    "aten::detach": _same,
    "aten::div": _arithmetic("divide"),
    "aten::dropout": _dropout("dropout"),
    "aten::elu": _elu,
    "aten::feature_dropout": _dropout("channel_dropout"),
    "aten::flatten": _flatten,
    "aten::floor_divide": _floor_divided,
    "aten::gelu": _plain("gelu", "approximate"),
    "aten::hardsigmoid": _plain("hard_sigmoid"),
    "aten::hardswish": _plain("hard_swish"),
    "aten::hardtanh": _hardtanh,
    "aten::layer_norm": _layer_norm,
    "aten::leaky_relu": _plain("leaky_relu", "slope"),
    "aten::linear": _linear,
    "aten::log_softmax": _softmax("log_softmax"),
    "aten::matmul": _matmul,
    "aten::max_pool1d": _max_pool,
    "aten::max_pool2d": _max_pool,
    "aten::max_pool3d": _max_pool,
    "aten::mean": _mean,
    "aten::mish": _plain("mish"),
    "aten::mul": _arithmetic("multiply"),
    "aten::pad": _pad,
    "aten::permute": lambda use: _permuted(use, use.flow(), use.arg(1)),
    "aten::prelu": _prelu,
    "aten::relu": _plain("relu"),
    "aten::relu6": _plain("relu6"),
    "aten::reshape": _expanded_constant,
    "aten::selu": _plain("selu"),
    "aten::sigmoid": _plain("sigmoid"),
    "aten::silu": _plain("silu"),
    "aten::size": _size,
    "aten::slice": _slice,
    "aten::softmax": _softmax("softmax"),
    "aten::softplus": _softplus,
    "aten::split": _split,
    "aten::split_with_sizes": _split,
    "aten::squeeze": _squeezed,
    "aten::sub": _arithmetic("subtract"),
    "aten::t": _matrix_turned,
    "aten::tanh": _plain("tanh"),
    "aten::to": _same,
    "aten::transpose": _transpose,
    "aten::unsqueeze": _unsqueezed,
    "aten::upsample_bilinear2d": _upsample("bilinear"),
    "aten::upsample_nearest1d": _upsample("nearest"),
    "aten::upsample_nearest2d": _upsample("nearest"),
    "aten::upsample_nearest3d": _upsample("nearest"),
    "aten::view": _expanded_constant,
    "prim::NumToTensor": _same,
}
