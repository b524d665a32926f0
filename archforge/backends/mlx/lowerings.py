"""The table of MLX kernels, by kind of op. An op without one, or whose lowering is None, runs on the
reference.

Values are mlx.core.array [N, *spatial, C].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import mlx.core as mx
from numpy.typing import NDArray

from archforge.backends.mlx import conv_and_pool, elementwise, recurrent
from archforge.backends.mlx.channels_last import Params, axis_of, channels_first, channels_last, moved, padded
from archforge.backends.mlx.sums import mean, total
from archforge.ir import TensorType
from archforge.ops.attention import ATTENTION_NAMES, Attention
from archforge.ops.base import Array, Op, resolve_axis
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.concat import Concat
from archforge.ops.embedding import Embedding
from archforge.ops.global_response_norm import GlobalResponseNorm
from archforge.ops.group_norm import GroupNorm
from archforge.ops.instance_norm import InstanceNorm
from archforge.ops.interpolation import TAPS
from archforge.ops.l2_normalize import L2Normalize
from archforge.ops.layer_norm import LayerNorm
from archforge.ops.lazy_numpy import np
from archforge.ops.linear import Linear
from archforge.ops.lrn import Lrn
from archforge.ops.matmul import Matmul
from archforge.ops.pad import Pad
from archforge.ops.parameter import FreeParameter
from archforge.ops.permute import Permute
from archforge.ops.pixel_shuffle import PixelShuffle, PixelUnshuffle
from archforge.ops.resize import Resize
from archforge.ops.rms_norm import RmsNorm
from archforge.ops.roll import Roll
from archforge.ops.shuffle import Shuffle
from archforge.ops.slice import Slice
from archforge.ops.softmax import LogSoftmax, Softmax
from archforge.ops.take import Take
from archforge.ops.upsample import Upsample
from archforge.plan import Kernel, Lowering
from archforge.plan.contract import Pack

__all__ = ["LOWERINGS"]


def linear(op: Linear, x: TensorType) -> Kernel:
    axis = axis_of(op.feature_axis(x), x)

    def run(params: Params, x: mx.array) -> mx.array:
        y = mx.moveaxis(x, axis, -1) @ params["weight"]
        return mx.moveaxis(y + params["bias"] if op.bias else y, -1, axis)

    return Kernel(run, lambda params: {**params, "weight": params["weight"].T}, packing=op.kind)


def rms_norm(op: RmsNorm, x: TensorType) -> Kernel:
    number = resolve_axis(op.axis, x)
    axis = axis_of(number, x)

    def run(params: Params, x: mx.array) -> mx.array:
        wide = x.astype(mx.float32)
        y = wide * mx.rsqrt(mean(mx.square(wide), [axis]) + op.eps)
        return (y * params["weight"] if op.affine else y).astype(x.dtype)

    return Kernel(run, _spread_along((number,), x))


def _spread_along(axes: Collection[int], x: TensorType) -> Pack:
    """Parameters of these axes of `x` in a shape that spreads them over its values."""
    along = tuple(n if a in axes else 1 for a, n in enumerate(x.shape))
    return lambda params: {name: moved(array.reshape(along), 0, -1) for name, array in params.items()}


def l2_normalize(op: L2Normalize, x: TensorType) -> Kernel:
    axis = axis_of(resolve_axis(op.axis, x), x)

    def run(params: Params, x: mx.array) -> mx.array:
        wide = x.astype(mx.float32)
        return (wide / mx.maximum(mx.sqrt(total(mx.square(wide), [axis])), op.eps)).astype(x.dtype)

    return Kernel(run)


def roll(op: Roll, x: TensorType) -> Kernel:
    axis = axis_of(resolve_axis(op.axis, x), x)
    return Kernel(lambda params, x: mx.roll(x, op.shift, axis))


def take(op: Take, x: TensorType) -> Kernel:
    axis, indices = resolve_axis(op.axis, x) + 1, mx.array(op.indices)
    return Kernel(lambda params, x: channels_last(mx.take(channels_first(x), indices, axis)))


def attention(op: Attention, x: TensorType) -> Kernel:
    names, share = ATTENTION_NAMES[op.names], (x.shape[-1] // op.heads) ** -0.5

    def product(x: mx.array, params: Params, weight: str, bias: str) -> mx.array:
        y = x @ params[weight]
        return y + params[bias] if op.bias else y

    def run(params: Params, x: mx.array) -> mx.array:
        x = channels_first(x)
        qkv = product(x, params, *names[:2]).reshape(*x.shape[:-1], 3, op.heads, -1)
        q, k, v = (qkv[..., part, :, :].swapaxes(-2, -3) for part in range(3))
        shares = mx.softmax((q * share) @ k.swapaxes(-1, -2), -1, precise=True)
        mixed = (shares @ v).swapaxes(-2, -3).reshape(x.shape)
        return channels_last(product(mixed, params, *names[2:]))

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        return {**params, **{weight: params[weight].T for weight in names[::2]}}

    return Kernel(run, pack, packing=op.kind)


def matmul(op: Matmul, first: TensorType, second: TensorType) -> Kernel:
    def run(params: Params, first: mx.array, second: mx.array) -> mx.array:
        first, second = channels_first(first), channels_first(second)
        first = first.swapaxes(-1, -2) if op.transpose_first else first
        return channels_last(first @ (second.swapaxes(-1, -2) if op.transpose_second else second))

    return Kernel(run)


def embedding(op: Embedding, x: TensorType) -> Kernel:
    def run(params: Params, x: mx.array) -> mx.array:
        numbers = mx.stop_gradient(channels_first(x))
        rows = mx.clip(mx.nan_to_num(mx.floor(numbers)), 0, op.entries - 1).astype(mx.int32)
        y = mx.where(mx.isnan(numbers)[..., None], mx.nan, params["weight"][rows])
        return channels_last(y.astype(x.dtype))

    return Kernel(run)


def parameter(op: FreeParameter, x: TensorType) -> Kernel:
    def run(params: Params, x: mx.array) -> mx.array:
        whole = params[""].reshape(1, *op.shape)
        return channels_last(mx.broadcast_to(whole, (len(x), *op.shape)))

    return Kernel(run)


def batch_norm(op: BatchNorm, x: TensorType) -> Kernel:
    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        wide = {name: array.astype(np.float64) for name, array in params.items()}
        factor = 1 / np.sqrt(wide["running_var"] + op.eps)
        factor = factor * wide.get("weight", 1.0)
        return {"factor": factor, "shift": wide.get("bias", 0.0) - wide["running_mean"] * factor}

    return Kernel(lambda params, x: x * params["factor"] + params["shift"], pack, packing=op.kind)


def layer_norm(op: LayerNorm, x: TensorType) -> Kernel:
    normalised = op.axes(x)
    axes = [axis_of(a, x) for a in normalised]

    def run(params: Params, x: mx.array) -> mx.array:
        y = _standardised(x, axes, op.eps)
        return (y * params["weight"] + params["bias"] if op.affine else y).astype(x.dtype)

    return Kernel(run, _spread_along(normalised, x))


def _standardised(x: mx.array, axes: Sequence[int], eps: float) -> mx.array:
    """`x` less its mean along axes over its deviation along them, in float32."""
    centred = x.astype(mx.float32) - mean(x, axes)
    centred = centred - mean(centred, axes)  # what the mean was rounded by: all there is of equal numbers
    return centred * mx.rsqrt(mean(mx.square(centred), axes) + eps)


def global_response_norm(op: GlobalResponseNorm, x: TensorType) -> Kernel:
    number = resolve_axis(op.axis, x)
    axis = axis_of(number, x)
    others = [axis_of(a, x) for a in range(len(x.shape)) if a != number]

    def run(params: Params, x: mx.array) -> mx.array:
        norms = mx.sqrt(total(mx.square(x.astype(mx.float32)), others))
        response = norms / (mean(norms, [axis]) + op.eps)
        return (x * (1 + params["weight"] * response) + params["bias"]).astype(x.dtype)

    return Kernel(run, _spread_along((number,), x))


def lrn(op: Lrn, x: TensorType) -> Kernel:
    channels, before, after = x.channels, op.size // 2, (op.size - 1) // 2

    def run(params: Params, x: mx.array) -> mx.array:
        squares = mx.pad(mx.square(x), [(0, 0)] * (x.ndim - 1) + [(before, after)])
        near = sum(squares[..., i : i + channels] for i in range(op.size))
        return x / (near * (op.alpha / op.size) + op.k) ** op.beta

    return Kernel(run)


def softmax(op: Softmax, x: TensorType) -> Kernel:
    axis = axis_of(resolve_axis(op.axis, x), x)
    return Kernel(lambda params, x: mx.softmax(x, axis, precise=True))


def log_softmax(op: LogSoftmax, x: TensorType) -> Kernel:
    axis = axis_of(resolve_axis(op.axis, x), x)

    def run(params: Params, x: mx.array) -> mx.array:
        # Not x less its logsumexp, which is rounded as the largest number is.
        wide = x.astype(mx.float32)
        shifted = wide - mx.max(wide, axis, keepdims=True)
        return (shifted - mx.log(total(mx.exp(shifted), [axis]))).astype(x.dtype)

    return Kernel(run)


def concat(op: Concat, *inputs: TensorType) -> Kernel:
    axis = axis_of(resolve_axis(op.axis, inputs[0]), inputs[0])
    return Kernel(lambda params, *inputs: mx.concatenate(list(inputs), axis))


def reshape(op: Op, x: TensorType) -> Kernel:
    """A new shape for elements that keep the reference's order."""
    shape = op.infer(x).shape
    return Kernel(lambda params, x: channels_last(channels_first(x).reshape(len(x), *shape)))


def permute(op: Permute, x: TensorType) -> Kernel:
    order = (0, *(axis + 1 for axis in op.order))
    return Kernel(lambda params, x: channels_last(channels_first(x).transpose(order)))


def shuffle(op: Shuffle, x: TensorType) -> Kernel:
    def run(params: Params, x: mx.array) -> mx.array:
        grouped = x.reshape(*x.shape[:-1], op.groups, -1)
        return grouped.swapaxes(-1, -2).reshape(x.shape)

    return Kernel(run)


def pixel_shuffle(op: PixelShuffle, x: TensorType) -> Kernel:
    (height, width), f = x.spatial, op.factor
    blocks_first = op.order == "blocks_first"
    split = (height, width, f, f, -1) if blocks_first else (height, width, -1, f, f)
    order = (0, 1, 3, 2, 4, 5) if blocks_first else (0, 1, 4, 2, 5, 3)

    def run(params: Params, x: mx.array) -> mx.array:
        return x.reshape(len(x), *split).transpose(order).reshape(len(x), height * f, width * f, -1)

    return Kernel(run)


def pixel_unshuffle(op: PixelUnshuffle, x: TensorType) -> Kernel:
    (height, width), f = op.infer(x).spatial, op.factor
    order = (0, 1, 3, 2, 4, 5) if op.order == "blocks_first" else (0, 1, 3, 5, 2, 4)

    def run(params: Params, x: mx.array) -> mx.array:
        return x.reshape(len(x), height, f, width, f, -1).transpose(order).reshape(len(x), height, width, -1)

    return Kernel(run)


def slice_(op: Slice, x: TensorType) -> Kernel:
    axis, part = op.stretch(x)
    index = (slice(None),) * axis_of(axis, x) + (part,)
    return Kernel(lambda params, x: x[index])


def pad(op: Pad, x: TensorType) -> Kernel:
    if op.mode != "constant":
        return _taken(op.sources(x))
    widths = op.widths(x)
    return Kernel(lambda params, x: padded(x, widths, op.value))


def _taken(sources: Sequence[NDArray[np.intp]]) -> Kernel:
    """Elements of the spatial axes, whose places are known."""

    def run(params: Params, x: mx.array) -> mx.array:
        for axis, source in enumerate(sources, start=1):
            x = mx.take(x, mx.array(source), axis)
        return x

    return Kernel(run)


def resize(op: Resize, x: TensorType) -> Kernel:
    found = [op.taps(*both) for both in zip(x.spatial, op.infer(x).spatial, strict=True)]
    if TAPS[op.mode] == 1:
        return _taken([taps.indices[0] for taps in found])

    def run(params: Params, x: mx.array) -> mx.array:
        for axis, taps in enumerate(found, start=1):
            shares = params[f"shares{axis}"].reshape(len(taps.shares), -1, *(1,) * (x.ndim - axis - 1))
            parts = [mx.take(x, mx.array(i), axis) * s for i, s in zip(taps.indices, shares, strict=True)]
            x = sum(parts[1:], start=parts[0])
        return x

    return Kernel(run, lambda params: {f"shares{axis}": taps.shares for axis, taps in enumerate(found, 1)})


def upsample(op: Upsample, x: TensorType) -> Kernel:
    return resize(op.resize(x), x)


def group_norm(op: GroupNorm, x: TensorType) -> Kernel:
    def run(params: Params, x: mx.array) -> mx.array:
        grouped = x.reshape(len(x), -1, op.groups, x.shape[-1] // op.groups)
        y = _standardised(grouped, [1, 3], op.eps).reshape(x.shape)
        return (y * params["weight"] + params["bias"] if op.affine else y).astype(x.dtype)

    return Kernel(run)


def instance_norm(op: InstanceNorm, x: TensorType) -> Kernel:
    return group_norm(op.group_norm(x.channels), x)


LOWERINGS: Mapping[str, Lowering] = {
    **elementwise.ACTIVATIONS,
    "adaptive_avg_pool": conv_and_pool.adaptive_avg_pool,
    "adaptive_max_pool": conv_and_pool.adaptive_max_pool,
    "add": elementwise.merge(mx.add),
    "attention": attention,
    "avg_pool": conv_and_pool.avg_pool,
    "bn": batch_norm,
    "channel_dropout": elementwise.ACTIVATIONS["identity"],
    "clip": elementwise.clip,
    "concat": concat,
    "conv": conv_and_pool.conv,
    "conv_transpose": conv_and_pool.conv_transpose,
    "dropout": elementwise.ACTIVATIONS["identity"],
    "divide": elementwise.merge(mx.divide),
    "elu": elementwise.elu,
    "embedding": embedding,
    "flatten": reshape,
    "gelu": elementwise.gelu,
    "global_avg_pool": conv_and_pool.global_avg_pool,
    "global_max_pool": conv_and_pool.global_max_pool,
    "global_response_norm": global_response_norm,
    "group_norm": group_norm,
    "gru": recurrent.gru,
    "instance_norm": instance_norm,
    "l2_normalize": l2_normalize,
    "layer_norm": layer_norm,
    "layer_scale": elementwise.layer_scale,
    "leaky_relu": elementwise.leaky_relu,
    "linear": linear,
    "log_softmax": log_softmax,
    "lp_pool": conv_and_pool.lp_pool,
    "lrn": lrn,
    "lstm": recurrent.lstm,
    "matmul": matmul,
    "max_pool": conv_and_pool.max_pool,
    "maximum": elementwise.merge(mx.maximum),
    "multiply": elementwise.merge(mx.multiply),
    "offset": elementwise.offset,
    "pad": pad,
    "parameter": parameter,
    "permute": permute,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "prelu": elementwise.prelu,
    "reshape": reshape,
    "resize": resize,
    "rms_norm": rms_norm,
    "rnn": recurrent.rnn,
    "roll": roll,
    "scale": elementwise.scale,
    "shuffle": shuffle,
    "slice": slice_,
    "softmax": softmax,
    "stochastic_depth": elementwise.ACTIVATIONS["identity"],
    "subtract": elementwise.merge(mx.subtract),
    "take": take,
    "unfold": conv_and_pool.unfold,
    "upsample": upsample,
}
