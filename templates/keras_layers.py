"""Layers in Keras, of which `archforge export --to keras` copies what a network needs.

A layer has the name of its op, with an underscore behind a word that Python has taken.
It takes (name, x, ...) if the op owns parameters, else (x, ...). Keyword arguments have
the names of the op's attributes. Maps are [N, *spatial, C], the channels last; `axis`
and `order` are counted as in the spec: the batch left out, the channels first. The
exporter works geometry out: windows get numbers in place of paddings by name and of
`ceil` (`padding`, and `overhang` for what the last windows reach beyond it), equal
slices their `part`, and the largest extent of a reshape is -1.

The tests hold each layer against its op's reference.
"""

import math

import keras
import numpy as np
from keras.activations import (
    hard_sigmoid,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
)

# Layers with parameters


def conv(name, x, *, out, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True):
    """Convolution of images, or of maps with a third axis."""
    layer = keras.layers.Conv3D if x.ndim == 5 else keras.layers.Conv2D
    return layer(
        out,
        kernel,
        stride,
        dilation_rate=dilation,
        groups=groups,
        use_bias=bias,
        name=layer_name(name),
    )(padded(x, padding))


def depthwise_conv(
    name, x, *, kernel, stride=1, padding=0, dilation=1, multiplier=1, bias=True
):
    """Convolution of each channel by itself to `multiplier` channels."""
    return keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        depth_multiplier=multiplier,
        dilation_rate=dilation,
        use_bias=bias,
        name=layer_name(name),
    )(padded(x, padding))


def dilated_conv(
    name, x, *, out, kernel, stride, padding=0, dilation, groups=1, bias=True
):
    """Every `stride`-th place of a convolution with gaps, which Keras has not."""
    y = conv(
        name,
        x,
        out=out,
        kernel=kernel,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    return y[(slice(None), *(slice(None, None, s) for s in per_axis(stride, x)))]


def conv_transpose(name, x, *, out, kernel, stride=1, padding=0, dilation=1, bias=True):
    """Transposed convolution, of whose result `padding` is cut off."""
    is_image = x.ndim == 4
    layer = keras.layers.Conv2DTranspose if is_image else keras.layers.Conv3DTranspose
    y = layer(
        out,
        kernel,
        stride,
        dilation_rate=dilation,
        use_bias=bias,
        name=layer_name(name),
    )(x)
    return cropped(y, padding)


def linear(name, x, *, out, bias=True, axis=None):
    """Matrix product with the features along `axis`."""
    dense = keras.layers.Dense(out, use_bias=bias, name=layer_name(name))
    axis = place(-1 if axis is None else axis, x)
    if axis == x.ndim - 1:
        return dense(x)
    return keras.ops.moveaxis(dense(keras.ops.moveaxis(x, axis, -1)), -1, axis)


def bn(name, x, *, eps=1e-5, momentum=0.1, affine=True, scale=True, center=True):
    """Batch norm of each channel; `momentum` is the weight of the new statistics."""
    return keras.layers.BatchNormalization(
        place(0, x),
        momentum=1 - momentum,
        epsilon=eps,
        center=affine and center,
        scale=affine and scale,
        name=layer_name(name),
    )(x)


def layer_norm(name, x, *, axis=-1, eps=1e-5, affine=True):
    """The elements along `axis` less their mean, over their standard deviation."""
    axes = [axis] if isinstance(axis, int) else axis
    return keras.layers.LayerNormalization(
        [place(a, x) for a in axes],
        epsilon=eps,
        center=affine,
        scale=affine,
        name=layer_name(name),
    )(x)


def group_norm(name, x, *, groups, eps=1e-5, affine=True):
    """Each group of channels less its mean over the map, over its deviation."""
    return keras.layers.GroupNormalization(
        groups,
        axis=place(0, x),
        epsilon=eps,
        center=affine,
        scale=affine,
        name=layer_name(name),
    )(x)


def instance_norm(name, x, *, eps=1e-5, affine=False):
    """Each channel of each image less its mean, over its standard deviation."""
    return group_norm(name, x, groups=x.shape[place(0, x)], eps=eps, affine=affine)


def global_response_norm(name, x, *, axis=0, eps=1e-6):
    """Each channel weighed by its norm over the whole map, relative to the others'."""
    return GlobalResponseNorm(place(axis, x), eps, name=layer_name(name))(x)


class GlobalResponseNorm(keras.layers.Layer):
    """Gamma and beta for each place along an axis, beside the response there."""

    def __init__(self, axis, eps, **options):
        super().__init__(**options)
        self.axis, self.eps = axis, eps

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[self.axis],), name="gamma")
        self.beta = self.add_weight(shape=(shape[self.axis],), name="beta")

    def call(self, x):
        others = [a for a in range(1, x.ndim) if a != self.axis]
        norms = keras.ops.sqrt(keras.ops.sum(x**2, others, keepdims=True))
        mean = keras.ops.mean(norms, self.axis, keepdims=True)
        shape = [-1 if a == self.axis else 1 for a in range(x.ndim)]
        gamma = keras.ops.reshape(self.gamma, shape)
        beta = keras.ops.reshape(self.beta, shape)
        return x * (1 + gamma * norms / (mean + self.eps)) + beta

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "eps": self.eps}


def attention(name, x, *, heads, bias=True, names="torch"):
    """Self-attention of tokens; each head has an equal part of their features."""
    ends = {"torch": (".in_proj", ".out_proj"), "timm": (".qkv", ".proj")}[names]
    x = first(x)
    *before, tokens, features = x.shape[1:]
    wide, narrow = (
        keras.layers.Dense(size, use_bias=bias, name=layer_name(name + end))
        for size, end in zip((3 * features, features), ends)
    )
    qkv = keras.layers.Reshape((*before, tokens, 3, heads, features // heads))(wide(x))
    q, k, v = (keras.ops.swapaxes(qkv[..., i, :, :], -2, -3) for i in range(3))
    logits = keras.ops.matmul(q, keras.ops.swapaxes(k, -1, -2))
    shares = keras.ops.softmax(logits * (features // heads) ** -0.5)
    mixed = keras.ops.swapaxes(keras.ops.matmul(shares, v), -2, -3)
    return last(narrow(keras.layers.Reshape((*before, tokens, features))(mixed)))


def embedding(name, x, *, entries, out):
    """The row of a table that each number names."""
    rows = keras.ops.cast(keras.ops.clip(first(x), 0, entries - 1), "int32")
    return last(keras.layers.Embedding(entries, out, name=layer_name(name))(rows))


def parameter(name, x, *, shape, mean=0.0, std=0.02):
    """A trained array, the same for every sample."""
    return last(Parameter(shape, mean, std, name=layer_name(name))(x))


class Parameter(keras.layers.Layer):
    """An array of any shape, once for each sample of the input."""

    def __init__(self, shape, mean, std, **options):
        super().__init__(**options)
        self.shape, self.mean, self.std = tuple(shape), mean, std

    def build(self, shape):
        fill = keras.initializers.RandomNormal(self.mean, self.std)
        self.gamma = self.add_weight(
            shape=(1, *self.shape), initializer=fill, name="gamma"
        )

    def call(self, x):
        return keras.ops.broadcast_to(self.gamma, (keras.ops.shape(x)[0], *self.shape))

    def compute_output_shape(self, shape):
        return (shape[0], *self.shape)

    def get_config(self):
        mine = {"shape": self.shape, "mean": self.mean, "std": self.std}
        return {**super().get_config(), **mine}


def layer_scale(name, x, *, init=1e-6):
    """Each channel times its factor."""
    return LayerScale(place(0, x), init, name=layer_name(name))(x)


class LayerScale(keras.layers.Layer):
    """A factor for each place along an axis."""

    def __init__(self, axis, init, **options):
        super().__init__(**options)
        self.axis, self.init = axis, init

    def build(self, shape):
        fill = keras.initializers.Constant(self.init)
        self.gamma = self.add_weight(
            shape=(shape[self.axis],), initializer=fill, name="gamma"
        )

    def call(self, x):
        shape = [-1 if a == self.axis else 1 for a in range(x.ndim)]
        return x * keras.ops.reshape(self.gamma, shape)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "init": self.init}


def prelu(name, x, *, per_channel=False):
    """x where it is positive, a trained multiple of it elsewhere."""
    kept = place(0, x) if per_channel else None
    shared = [a for a in range(1, x.ndim) if a != kept]
    return keras.layers.PReLU(shared_axes=shared, name=layer_name(name))(x)


def layer_name(name):
    """The name of a layer: that of the spec, with _ for dots and slashes."""
    return name.replace(".", "_").replace("/", "_")


# Recurrent layers: x[N, T, F] gives the states of all steps


def rnn(name, x, *, hidden, biases=2, activation="tanh", bidirectional=False):
    """Each state is an activation of a weighted sum of input and last state."""
    return over_time(
        keras.layers.SimpleRNN,
        name,
        x,
        bidirectional,
        units=hidden,
        activation=activation,
        use_bias=biases > 0,
    )


def lstm(name, x, *, hidden, biases=2, bidirectional=False):
    """Each state is read from a cell, which gates fill and empty."""
    return over_time(
        keras.layers.LSTM, name, x, bidirectional, units=hidden, use_bias=biases > 0
    )


def gru(name, x, *, hidden, biases=2, linear_before_reset=True, bidirectional=False):
    """Each state is a mean of the last and of a new one, weighed by the update gate."""
    return over_time(
        keras.layers.GRU,
        name,
        x,
        bidirectional,
        units=hidden,
        use_bias=biases > 0,
        reset_after=linear_before_reset,
    )


def over_time(layer, name, x, bidirectional, **settings):
    """The states of all steps; in both directions, one beside the other."""
    there = layer(return_sequences=True, name=layer_name(name), **settings)(x)
    if not bidirectional:
        return there
    back = layer(
        return_sequences=True,
        go_backwards=True,
        name=layer_name(f"{name}_reverse"),
        **settings,
    )(x)
    return keras.ops.concatenate([there, keras.ops.flip(back, 1)], 2)


# Pools over windows


def max_pool(x, *, kernel, stride, padding=0, overhang=0):
    """Largest element of each window; padding never wins."""
    x = padded(padded(x, padding, -math.inf), overhang, -math.inf)
    return keras.ops.max_pool(x, kernel, stride)


def avg_pool(x, *, kernel, stride, padding=0, overhang=0, count_include_pad=True):
    """Mean of each window. Padding counts as zeros or not at all, an overhang never."""
    y = keras.ops.average_pool(padded(padded(x, padding), overhang), kernel, stride)
    if overhang == 0 and (padding == 0 or count_include_pad):
        return y
    return y / shares(x, kernel, stride, padding, overhang, float(count_include_pad))


def lp_pool(x, *, kernel, stride, padding=0, overhang=0, norm=2.0):
    """Lp norm of each window; one that overhangs is scaled up to a full one."""
    powers = padded(padded(keras.ops.abs(x) ** norm, padding), overhang)
    y = keras.ops.average_pool(powers, kernel, stride)
    size = math.prod(per_axis(kernel, x))
    share = shares(x, kernel, stride, padding, overhang, 1.0)
    return (y * (size / share)) ** (1 / norm)


def shares(x, kernel, stride, padding, overhang, value):
    """The share of each window that counts, where padding counts as `value`."""
    ones = np.ones((1, *x.shape[1:-1], 1), "float32")
    sides = [pairs_of(p, x) for p in (padding, overhang)]
    ones = np.pad(ones, ((0, 0), *sides[0], (0, 0)), constant_values=value)
    ones = np.pad(ones, ((0, 0), *sides[1], (0, 0)))
    share = keras.ops.average_pool(keras.ops.convert_to_tensor(ones), kernel, stride)
    return keras.ops.convert_to_numpy(share)


# Windows and axes


def padded(x, padding, value=0.0):
    """`value` around the spatial axes: a number, or (before, after) for each axis."""
    if padding == 0:
        return x
    sides = ((0, 0), *pairs_of(padding, x), (0, 0))
    return keras.ops.pad(x, sides, constant_values=value)


def cropped(x, padding):
    """The opposite: as much taken away."""
    if padding == 0:
        return x
    sizes = zip(pairs_of(padding, x), x.shape[1:-1])
    return x[(slice(None), *(slice(a, n - b) for (a, b), n in sizes))]


def pairs_of(padding, x):
    """(before, after) for each spatial axis."""
    return ((padding, padding),) * (x.ndim - 2) if isinstance(padding, int) else padding


def per_axis(value, x):
    """`value` for each spatial axis."""
    return (value,) * (x.ndim - 2) if isinstance(value, int) else value


def place(axis, x):
    """The place of an axis of the spec: that of the channels is the last in maps."""
    axis = axis % (x.ndim - 1)
    if x.ndim <= 3:
        return axis + 1
    return axis or x.ndim - 1


def spatial(x):
    """The places of all axes but those of batch and channels."""
    return [a for a in range(1, x.ndim) if a != place(0, x)]


def first(x):
    """Maps with the channels first."""
    return keras.ops.moveaxis(x, -1, 1) if x.ndim > 3 else x


def last(x):
    """Maps with the channels last again."""
    return keras.ops.moveaxis(x, 1, -1) if x.ndim > 3 else x


# Pools over whole maps


def global_avg_pool(x, *, keep=True):
    """Mean of each channel."""
    return keras.ops.mean(x, spatial(x), keepdims=keep)


def global_max_pool(x, *, keep=True):
    """Largest element of each channel."""
    return keras.ops.max(x, spatial(x), keepdims=keep)


def adaptive_avg_pool(x, *, size=1):
    """Means of `size` stretches of each axis, which overlap where they must."""
    return over_stretches(x, size, keras.ops.mean)


def adaptive_max_pool(x, *, size=1):
    """The largest of `size` stretches of each axis, which overlap where they must."""
    return over_stretches(x, size, keras.ops.max)


def over_stretches(x, size, function):
    """A function of each of `size` parts of an axis, which cover it, axis by axis."""
    for axis, count in zip(spatial(x), per_axis(size, x)):
        n = x.shape[axis]
        ends = [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
        before = (slice(None),) * axis
        parts = [
            function(x[(*before, slice(a, b))], axis, keepdims=True) for a, b in ends
        ]
        x = keras.ops.concatenate(parts, axis)
    return x


# Element by element


def clip(x, *, min=None, max=None):
    """Elements are kept between two bounds, of which one may be left out."""
    x = x if min is None else keras.ops.maximum(x, min)
    return x if max is None else keras.ops.minimum(x, max)


def leaky_relu(x, *, slope=0.01):
    """Negative elements shrink."""
    return keras.activations.leaky_relu(x, slope)


def elu(x, *, alpha=1.0):
    """Negative elements follow an exponential down to -alpha."""
    return keras.activations.elu(x, alpha)


def gelu(x, *, approximate="none"):
    """x times the normal distribution's cumulative function, exact or by tanh."""
    return keras.activations.gelu(x, approximate == "tanh")


def hard_swish(x):
    """Swish with the sigmoid in straight pieces."""
    return x * hard_sigmoid(x)


def mish(x):
    """x * tanh(softplus(x))."""
    return x * tanh(softplus(x))


def abs_(x):
    """|x|."""
    return keras.ops.abs(x)


def offset(x, *, number):
    """x plus a constant."""
    return x + number


def scale(x, *, factor):
    """x times a constant."""
    return x * factor


# In training alone


def dropout(x, *, rate=0.5):
    """Elements are left out in training."""
    return keras.layers.Dropout(rate)(x)


def channel_dropout(x, *, rate=0.5):
    """Channels are left out in training."""
    mask = [None if a in (0, place(0, x)) else 1 for a in range(x.ndim)]
    return keras.layers.Dropout(rate, noise_shape=mask)(x)


def stochastic_depth(x, *, rate=0.5):
    """The values of whole images are left out in training."""
    return keras.layers.Dropout(rate, noise_shape=[None] + [1] * (x.ndim - 1))(x)


# Along an axis


def l2_normalize(x, *, axis=-1, eps=1e-12):
    """The elements along an axis over their L2 norm."""
    norm = keras.ops.sqrt(keras.ops.sum(x**2, place(axis, x), keepdims=True))
    return x / keras.ops.maximum(norm, eps)


def softmax(x, *, axis=0):
    """Exponentials over their sum."""
    return keras.ops.softmax(x, place(axis, x))


def log_softmax(x, *, axis=0):
    """Logarithm of softmax, without the underflow of its small values."""
    return keras.ops.log_softmax(x, place(axis, x))


def lrn(x, *, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha * mean of the squares of `size` channels around it)^beta."""
    axis = place(0, x)
    around = [(0, 0)] * x.ndim
    around[axis] = (size // 2, (size - 1) // 2)
    squares = keras.ops.pad(x**2, around)
    before, n = (slice(None),) * axis, x.shape[axis]
    total = sum(squares[(*before, slice(i, i + n))] for i in range(size))
    return x / (k + (alpha / size) * total) ** beta


def concat(*parts, axis=0):
    """The parts one after the other."""
    return keras.ops.concatenate(parts, place(axis, parts[0]))


def add(*branches):
    """Sum of branches aligned at the channels; one stretches over axes it lacks."""
    return merged(keras.ops.add, branches)


def subtract(*branches):
    """The first branch less the others, aligned at the channels."""
    return merged(keras.ops.subtract, branches)


def multiply(*factors):
    """Product of factors aligned at the channels; one stretches over axes it lacks."""
    return merged(keras.ops.multiply, factors)


def divide(*branches):
    """The first branch over the others, aligned at the channels."""
    return merged(keras.ops.divide, branches)


def maximum(*branches):
    """The largest at each place, of branches aligned at the channels."""
    return merged(keras.ops.maximum, branches)


def matmul(left, right, *, transpose_first=False, transpose_second=False):
    """Matrix products over the last two axes."""
    left, right = first(left), first(right)
    left = keras.ops.swapaxes(left, -1, -2) if transpose_first else left
    right = keras.ops.swapaxes(right, -1, -2) if transpose_second else right
    return last(keras.ops.matmul(left, right))


def merged(function, branches):
    """A function of two arrays over branches aligned at the channels."""
    ndim = max(b.ndim for b in branches)
    y, *others = [with_axes(b, ndim) if b.ndim < ndim else b for b in branches]
    for other in others:
        y = function(y, other)
    return y


def with_axes(x, ndim):
    """x with so many axes, those that it lacks in front of the channels."""
    shape = (*x.shape[1:-1], *(1,) * (ndim - x.ndim), x.shape[-1])
    return keras.layers.Reshape(shape)(x)


def slice_(x, *, start=0, end=None, axis=0, part=None):
    """Entries of an axis from `start` up to `end`, or part i of n for `part` (i, n)."""
    axis = place(axis, x)
    if part:
        length = x.shape[axis] // part[1]
        start, end = part[0] * length, (part[0] + 1) * length
    return x[(*(slice(None),) * axis, slice(start, end))]


# Shapes; the order of elements is the spec's, channel by channel


def flatten(x):
    """All elements of an image in one axis."""
    x = x if math.prod(x.shape[1:-1]) == 1 else first(x)
    return keras.layers.Reshape((-1,))(x)


def reshape(x, *, shape):
    """The same elements in the same order under another shape."""
    return last(keras.layers.Reshape(shape)(first(x)))


def permute(x, *, order):
    """Axes in another order."""
    return last(keras.ops.transpose(first(x), (0, *(axis + 1 for axis in order))))


def roll(x, *, shift, axis):
    """Entries of an axis moved round."""
    return keras.ops.roll(x, shift, place(axis, x))


def take(x, *, indices, axis=0):
    """The entries of an axis with these numbers."""
    x = first(x)
    return last(keras.ops.take(x, np.array(indices), axis % (x.ndim - 1) + 1))


def pad(x, *, sides, value=0.0, mode="constant"):
    """Elements before and after each spatial axis; a negative number cuts off."""
    sides = [sides] * 2 * len(spatial(x)) if isinstance(sides, int) else list(sides)
    around, kept = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for axis, a, b in zip(spatial(x), sides[::2], sides[1::2]):
        around[axis] = (max(a, 0), max(b, 0))
        kept[axis] = slice(
            max(-a, 0), x.shape[axis] + max(a, 0) + max(b, 0) - max(-b, 0)
        )
    if mode == "constant":
        return keras.ops.pad(x, around, constant_values=value)[tuple(kept)]
    for axis in spatial(x):
        source = np.pad(
            np.arange(x.shape[axis]),
            around[axis],
            "reflect" if mode == "reflect" else "edge",
        )
        x = keras.ops.take(x, source[kept[axis]], axis)
    return x


def pixel_shuffle(x, *, factor=2, order="channels_first"):
    """Blocks of pixels from channels."""
    h, w, c = x.shape[1:]
    if order == "channels_first":
        split, axes = (h, w, -1, factor, factor), (0, 1, 4, 2, 5, 3)
    else:
        split, axes = (h, w, factor, factor, -1), (0, 1, 3, 2, 4, 5)
    y = keras.ops.transpose(keras.layers.Reshape(split)(x), axes)
    return keras.layers.Reshape((h * factor, w * factor, c // factor**2))(y)


def pixel_unshuffle(x, *, factor=2, order="channels_first"):
    """Channels from blocks of pixels."""
    h, w, c = x.shape[1:]
    y = keras.layers.Reshape((h // factor, factor, w // factor, factor, c))(x)
    axes = (0, 1, 3, 5, 2, 4) if order == "channels_first" else (0, 1, 3, 2, 4, 5)
    y = keras.ops.transpose(y, axes)
    return keras.layers.Reshape((h // factor, w // factor, c * factor**2))(y)


def unfold(x, *, kernel, stride=1, padding=0, dilation=1):
    """The elements under each position of a window as a column."""
    x = first(padded(x, padding))
    axes = range(x.ndim - 2)
    kernel, stride, dilation = (per_axis(v, x) for v in (kernel, stride, dilation))
    found = []
    for tap in np.ndindex(*kernel):
        under = (
            slice(
                tap[a] * dilation[a],
                x.shape[2 + a] - (kernel[a] - 1 - tap[a]) * dilation[a],
                stride[a],
            )
            for a in axes
        )
        found.append(x[(slice(None), slice(None), *under)])
    y = keras.ops.stack(found, 2)
    return keras.layers.Reshape((x.shape[1] * len(found), -1))(y)


def shuffle(x, *, groups):
    """Channels of `groups` groups dealt in turn."""
    shape, axis = x.shape[1:], place(0, x)
    split = (*shape[: axis - 1], groups, shape[axis - 1] // groups, *shape[axis:])
    y = keras.ops.swapaxes(keras.layers.Reshape(split)(x), axis, axis + 1)
    return keras.layers.Reshape(shape)(y)


def upsample(x, *, factor=2, mode="nearest"):
    """Each spatial axis `factor` times as long, by repetition or interpolation."""
    factors = per_axis(factor, x)
    if mode == "bilinear":
        return keras.layers.UpSampling2D(factors, interpolation="bilinear")(x)
    for axis, times in zip(spatial(x), factors):
        x = keras.ops.repeat(x, times, axis)
    return x


def resize(x, *, size, mode="nearest", corners="half_pixel"):
    """Each spatial axis brought to `size` elements."""
    for axis, count in zip(spatial(x), per_axis(size, x)):
        n, i = x.shape[axis], np.arange(count)
        if mode == "nearest":
            x = keras.ops.take(x, i * n // count, axis)
        elif mode == "nearest_exact":
            x = keras.ops.take(x, (2 * i + 1) * n // (2 * count), axis)
        else:
            x = interpolated(x, axis, count, mode, corners)
    return x


def interpolated(x, axis, count, mode, corners):
    """One axis brought to `count` elements, each a mean of two or four around it."""
    n, i = x.shape[axis], np.arange(count)
    position = {
        "half_pixel": (i + 0.5) * n / count - 0.5,
        "align_corners": i * ((n - 1) / max(count - 1, 1)),
        "asymmetric": i * n / count,
    }[corners]
    if mode == "linear":
        position = np.clip(position, 0, n - 1)
    low = np.floor(position).astype(int)
    share, parts = position - low, []
    for tap in range(2) if mode == "linear" else range(-1, 3):
        far = abs(share - tap)
        weight = 1 - far if mode == "linear" else keys(far)
        weight = weight.reshape(-1, *[1] * (x.ndim - axis - 1)).astype("float32")
        parts.append(keras.ops.take(x, np.clip(low + tap, 0, n - 1), axis) * weight)
    return sum(parts[1:], parts[0])


def keys(far):
    """The cubic kernel of Keys (1981) with a = -0.75, at a distance of up to 2."""
    near = (1.25 * far - 2.25) * far**2 + 1
    return np.where(far <= 1, near, 3 - 0.75 * ((far - 5) * far + 8) * far)
