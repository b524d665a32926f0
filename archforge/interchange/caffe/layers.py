"""The table of Caffe's layers: how each is said in our ops.

Source: src/caffe/layers, for what the settings mean and where their defaults are not those of caffe.proto.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from archforge.interchange.caffe.messages import CaffeMessage
from archforge.interchange.caffe.network import CaffeLayer
from archforge.interchange.flows import Flow
from archforge.interchange.foreign import AddAlong, MultiplyAlong
from archforge.interchange.translation import bound_op, require
from archforge.ops.base import Array, Op

__all__ = ["CAFFE_LAYERS", "LEFT_OUT", "CaffeUse", "Translated"]


class CaffeUse(Protocol):
    """A layer with the values that it reads. `array` gives a parameter by its part, and raises `Unsupported`
    where it has another shape; `add` makes a node."""

    @property
    def layer(self) -> CaffeLayer: ...
    @property
    def inputs(self) -> Sequence[Flow]: ...

    def array(self, part: str, shape: tuple[int, ...]) -> Array: ...
    def add(self, op: Op, *flows: Flow, **params: Array) -> Flow: ...


Translated = Callable[[CaffeUse], Sequence[Flow]]


def _settings(use: CaffeUse, name: str) -> CaffeMessage:
    return use.layer.settings.inside(name)


def _only(use: CaffeUse) -> Flow:
    require(len(use.inputs) == 1, f"{len(use.inputs)} inputs")
    return use.inputs[0]


def _axis(flow: Flow, axis: int) -> int:
    """An axis as ours is counted. Raises `Unsupported` for the batch's, and for one that is not there."""
    rank = len(flow.type.shape) + 1
    require(-rank <= axis < rank, f"axis {axis} of an array of {rank}")
    require(axis % rank != 0, "along the batch")
    return axis % rank - 1


def _per_axis(settings: CaffeMessage, name: str, axes: int, default: int | None) -> tuple[int, ...]:
    """A number for each axis of a map, which may be given once, for each, or as `NAME_h` and `NAME_w`."""
    plain = name.removesuffix("_size")
    if f"{plain}_h" in settings or f"{plain}_w" in settings:
        require(name not in settings and axes == 2, f"`{name}` beside `{plain}_h` and `{plain}_w`")
        sides = tuple(settings.one(f"{plain}_{side}", default) for side in "hw")
    else:
        given = settings.all(name)
        require(len(given) in (0, 1, axes), f"{len(given)} numbers for `{name}`")
        sides = given if len(given) == axes else (given or (default,)) * axes
    require(None not in sides, f"no `{name}`")
    require(min(sides) >= (name == "kernel_size" or name in ("stride", "dilation")), f"`{name}` of {sides}")
    return sides


def _window(settings: CaffeMessage, axes: int) -> dict[str, Any]:
    names = {"kernel": ("kernel_size", None), "stride": ("stride", 1), "padding": ("pad", 0)}
    return {ours: _per_axis(settings, theirs, axes, n) for ours, (theirs, n) in names.items()}


def _convolution(kind: str) -> Translated:
    """A convolution or its transpose."""

    def translate(use: CaffeUse) -> Sequence[Flow]:
        settings, made = _settings(use, "convolution_param"), []
        for x in use.inputs:
            require(settings.one("axis", 1) == 1, "along another axis than the channels'")
            axes, channels = len(x.type.shape) - 1, x.type.shape[0]
            attributes = _window(settings, axes)
            attributes["dilation"] = _per_axis(settings, "dilation", axes, 1)
            out, groups = settings.one("num_output", 0), settings.one("group", 1)
            if use.layer.type in _DEPTHWISE and "group" not in settings:
                groups = channels
            require(groups > 0 and channels % groups == 0 == out % groups and out > 0, f"{groups} groups")
            sides = (out, channels // groups) if kind == "conv" else (channels, out // groups)
            bias = settings.one("bias_term", True)
            params = {"weight": use.array("weight", (*sides, *attributes["kernel"]))}
            params |= {"bias": use.array("bias", (out,))} if bias else {}
            made.append(use.add(bound_op(kind, out=out, groups=groups, bias=bias, **attributes), x, **params))
        return made

    return translate


_DEPTHWISE = ("ConvolutionDepthwise", "DepthwiseConvolution")


def _pooling(use: CaffeUse) -> Sequence[Flow]:
    """A pool, whose last window may be partial unless that begins in the padding behind the map."""
    x, settings = _only(use), _settings(use, "pooling_param")
    require(len(use.layer.tops) == 1, "positions of maxima")
    pool = settings.one("pool", "MAX")
    require(pool != "STOCHASTIC", "by chance")
    if settings.one("global_pooling", False):
        return [use.add(bound_op("global_max_pool" if pool == "MAX" else "global_avg_pool"), x)]
    attributes = _window(settings, len(x.type.shape) - 1)
    ceil = settings.one("round_mode", "CEIL") == "CEIL" and settings.one("ceil_mode", True)
    op = bound_op("max_pool" if pool == "MAX" else "avg_pool", ceil=ceil, **attributes)
    y = use.add(op, x)
    require(y.type.shape[1:] == _pooled(x.type.shape[1:], attributes, ceil=ceil), "a window beside its input")
    return [y]


def _pooled(sizes: tuple[int, ...], window: Mapping[str, tuple[int, ...]], *, ceil: bool) -> tuple[int, ...]:
    """The extents that Caffe gives a pool's output. Source: pooling_layer.cpp, Reshape."""
    pooled = []
    for size, k, s, p in zip(sizes, window["kernel"], window["stride"], window["padding"], strict=True):
        room = size + 2 * p - k
        count = (math.ceil(room / s) if ceil else room // s) + 1
        if any(window["padding"]) and (count - 1) * s >= size + p:
            count -= 1
        pooled.append(count)
    return tuple(pooled)


def _inner_product(use: CaffeUse) -> Sequence[Flow]:
    settings, made = _settings(use, "inner_product_param"), []
    for x in use.inputs:
        require(_axis(x, settings.one("axis", 1)) == 0, "along the last axes alone")
        features, out = math.prod(x.type.shape), settings.one("num_output", 0)
        bias = settings.one("bias_term", True)
        if len(x.type.shape) > 1:
            x = use.add(bound_op("flatten"), x)
        is_turned = settings.one("transpose", False)
        weight = use.array("weight", (features, out) if is_turned else (out, features))
        params = {"weight": weight.T if is_turned else weight}
        params |= {"bias": use.array("bias", (out,))} if bias else {}
        made.append(use.add(bound_op("linear", out=out, bias=bias), x, **params))
    return made


def _batch_norm(use: CaffeUse) -> Sequence[Flow]:
    """Statistics alone; their factor is worked in where the weights are read."""
    x, settings = _only(use), _settings(use, "batch_norm_param")
    require(settings.one("use_global_stats", True), "statistics of the batch")
    channels = (x.type.shape[0],)
    params = {part: use.array(part, channels) for part in ("running_mean", "running_var")}
    return [use.add(bound_op("bn", eps=settings.one("eps", 1e-5), affine=False), x, **params)]


def _scale(use: CaffeUse) -> Sequence[Flow]:
    """Trained factors of the channels, or factors that another layer computes."""
    settings, has_bias = _settings(use, "scale_param"), _settings(use, "scale_param").one("bias_term", False)
    if len(use.inputs) == 2:
        x, gate = use.inputs
        require(not has_bias, "a bias beside computed factors")
        axis, sides = settings.one("axis", 1), gate.type.shape
        require(axis == 0 and x.type.shape[: len(sides)] == sides, "computed factors of another shape")
        return [use.add(bound_op("multiply"), x, gate)]
    x = _along_channels(use, settings)
    y = use.add(MultiplyAlong(axis=0), x, **{"": use.array("weight", x.type.shape[:1])})
    return [use.add(AddAlong(axis=0), y, **{"": use.array("bias", x.type.shape[:1])})] if has_bias else [y]


def _bias(use: CaffeUse) -> Sequence[Flow]:
    x = _along_channels(use, _settings(use, "bias_param"))
    return [use.add(AddAlong(axis=0), x, **{"": use.array("weight", x.type.shape[:1])})]


def _along_channels(use: CaffeUse, settings: CaffeMessage) -> Flow:
    x = _only(use)
    axis, axes = _axis(x, settings.one("axis", 1)), settings.one("num_axes", 1)
    is_all = axes == -1 and len(x.type.shape) == 1
    require(axis == 0 and (axes == 1 or is_all), "constants along other axes than the channels'")
    return x


def _axpy(use: CaffeUse) -> Sequence[Flow]:
    """The first input times the second, plus the third, as squeeze-and-excitation has it."""
    require(len(use.inputs) == 3, f"{len(use.inputs)} inputs")
    gate, x, y = use.inputs
    return [use.add(bound_op("add"), use.add(bound_op("multiply"), x, gate), y)]


def _lrn(use: CaffeUse) -> Sequence[Flow]:
    x, settings = _only(use), _settings(use, "lrn_param")
    require(settings.one("norm_region", "ACROSS_CHANNELS") == "ACROSS_CHANNELS", "within each channel")
    size = settings.one("local_size", 5)
    require(size % 2 == 1, "an even window")
    alpha, beta, k = (settings.one(n, d) for n, d in (("alpha", 1.0), ("beta", 0.75), ("k", 1.0)))
    return [use.add(bound_op("lrn", size=size, alpha=alpha, beta=beta, k=k), x)]


def _eltwise(use: CaffeUse) -> Sequence[Flow]:
    settings, flows = _settings(use, "eltwise_param"), list(use.inputs)
    operation, factors = settings.one("operation", "SUM"), settings.all("coeff")
    require(operation != "MAX", "the largest of several values")
    require(len(factors) in (0, len(flows)), f"{len(factors)} coefficients of {len(flows)} inputs")
    if operation == "PROD":
        require(not factors, "coefficients of a product")
        require(len({flow.type for flow in flows}) == 1, "inputs of several shapes")
        return [use.add(bound_op("multiply"), *flows)]
    if len(flows) > 1 and factors == (1.0, *(-1.0,) * (len(flows) - 1)):
        return [use.add(bound_op("subtract"), *flows)]
    for i, factor in enumerate(factors):
        if factor != 1:
            flows[i] = use.add(bound_op("scale", factor=factor), flows[i])
    return [use.add(bound_op("add"), *flows)]


def _concat(use: CaffeUse) -> Sequence[Flow]:
    settings = _settings(use, "concat_param")
    axis = settings.one("axis", settings.one("concat_dim", 1))
    return [use.add(bound_op("concat", axis=_axis(use.inputs[0], axis)), *use.inputs)]


def _slice(use: CaffeUse) -> Sequence[Flow]:
    x, settings, parts = _only(use), _settings(use, "slice_param"), len(use.layer.tops)
    axis = _axis(x, settings.one("axis", settings.one("slice_dim", 1)))
    size, points = x.type.shape[axis], settings.all("slice_point")
    if not points:
        require(size % parts == 0, f"{size} entries in {parts} parts")
        points = tuple(range(size // parts, size, size // parts))
    require(len(points) == parts - 1, f"{len(points)} points for {parts} parts")
    ends = zip((0, *points), (*points, size), strict=True)
    return [use.add(bound_op("slice", start=a, end=b, axis=axis), x) for a, b in ends]


def _relu(use: CaffeUse) -> Sequence[Flow]:
    slope = _settings(use, "relu_param").one("negative_slope", 0.0)
    op = bound_op("leaky_relu", slope=slope) if slope else bound_op("relu")
    return [use.add(op, _only(use))]


def _prelu(use: CaffeUse) -> Sequence[Flow]:
    x, is_shared = _only(use), _settings(use, "prelu_param").one("channel_shared", False)
    weight = use.array("weight", (1,) if is_shared else x.type.shape[:1])
    return [use.add(bound_op("prelu", per_channel=not is_shared), x, weight=weight)]


def _power(use: CaffeUse) -> Sequence[Flow]:
    """(shift + scale * x) ^ power."""
    x, settings = _only(use), _settings(use, "power_param")
    power, scale, shift = (settings.one(n, d) for n, d in (("power", 1.0), ("scale", 1.0), ("shift", 0.0)))
    require(power in (1, 2), f"a power of {power}")
    x = x if scale == 1 else use.add(bound_op("scale", factor=scale), x)
    x = x if shift == 0 else use.add(bound_op("offset", number=shift), x)
    return [use.add(bound_op("multiply"), x, x) if power == 2 else x]


def _softmax(use: CaffeUse) -> Sequence[Flow]:
    x = _only(use)
    axis = _axis(x, _settings(use, "softmax_param").one("axis", 1))
    return [use.add(bound_op("softmax", axis=axis), x)]


def _flatten(use: CaffeUse) -> Sequence[Flow]:
    x, settings = _only(use), _settings(use, "flatten_param")
    first, last = _axis(x, settings.one("axis", 1)), _axis(x, settings.one("end_axis", -1))
    require(first == 0 and last == len(x.type.shape) - 1, "some axes alone")
    return [use.add(bound_op("flatten"), x)]


def _reshape(use: CaffeUse) -> Sequence[Flow]:
    x, settings = _only(use), _settings(use, "reshape_param")
    require(settings.one("axis", 0) == 0 and settings.one("num_axes", -1) == -1, "some axes alone")
    given = settings.inside("shape").all("dim")
    old = (1, *x.type.shape)
    require(all(n or i < len(old) for i, n in enumerate(given)), "an axis that is not there")
    dims = [n or old[i] for i, n in enumerate(given)]
    known = math.prod(n for n in dims if n != -1)
    dims = [math.prod(old) // max(known, 1) if n == -1 else n for n in dims]
    require(dims[:1] == [1] and math.prod(dims) == math.prod(old), "another extent of the batch")
    shape = tuple(dims[1:])
    op = bound_op("flatten") if len(shape) == 1 else bound_op("reshape", shape=shape)
    return [use.add(op, x)]


def _permute(use: CaffeUse) -> Sequence[Flow]:
    x, order = _only(use), list(_settings(use, "permute_param").all("order"))
    order += [axis for axis in range(len(x.type.shape) + 1) if axis not in order]
    require(order[0] == 0, "a batch that is not in front")
    return [use.add(bound_op("permute", order=tuple(axis - 1 for axis in order[1:])), x)]


def _shuffle(use: CaffeUse) -> Sequence[Flow]:
    settings = _settings(use, "shuffle_channel_param")
    require("group" in settings, "without `group`")
    return [use.add(bound_op("shuffle", groups=settings.one("group", 1)), _only(use))]


def _swish(use: CaffeUse) -> Sequence[Flow]:
    require(_settings(use, "swish_param").one("beta", 1.0) == 1, "a slope other than 1 inside the sigmoid")
    return [use.add(bound_op("silu"), _only(use))]


def _clip(use: CaffeUse) -> Sequence[Flow]:
    settings = _settings(use, "clip_param")
    low, high = settings.one("min", None), settings.one("max", None)
    op = bound_op("relu6") if (low, high) == (0, 6) else bound_op("clip", min=low, max=high)
    return [use.add(op, _only(use))]


def _elu(use: CaffeUse) -> Sequence[Flow]:
    alpha = _settings(use, "elu_param").one("alpha", 1.0)
    return [use.add(bound_op("elu", alpha=alpha), _only(use))]


def _dropout(use: CaffeUse) -> Sequence[Flow]:
    rate = _settings(use, "dropout_param").one("dropout_ratio", 0.5)
    return [use.add(bound_op("dropout", rate=rate), _only(use))]


def _same(use: CaffeUse) -> Sequence[Flow]:
    return [_only(use)] * len(use.layer.tops)


def _plain(kind: str) -> Translated:
    return lambda use: [use.add(bound_op(kind), _only(use))]


CAFFE_LAYERS: Mapping[str, Translated] = {
    "AbsVal": _plain("abs"),
    "Axpy": _axpy,
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Clip": _clip,
    "Concat": _concat,
    "Convolution": _convolution("conv"),
    "ConvolutionDepthwise": _convolution("conv"),
    "Deconvolution": _convolution("conv_transpose"),
    "DepthwiseConvolution": _convolution("conv"),
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "PReLU": _prelu,
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _plain("relu6"),
    "Reshape": _reshape,
    "Scale": _scale,
    "ShuffleChannel": _shuffle,
    "Sigmoid": _plain("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _same,
    "Swish": _swish,
    "TanH": _plain("tanh"),
}

# Layers that judge a network: these are left out.
LEFT_OUT = frozenset(
    {
        "Accuracy",
        "ContrastiveLoss",
        "EuclideanLoss",
        "HDF5Output",
        "HingeLoss",
        "InfogainLoss",
        "MultinomialLogisticLoss",
        "SigmoidCrossEntropyLoss",
        "Silence",
        "SoftmaxLoss",
        "SoftmaxWithLoss",
    }
)
