"""Layers that MLX lacks, and how weights come and go, which exported source copies.

Maps have the channels last: arrays are [N, *spatial, C].
"""

import math
from functools import reduce

import mlx.core as mx
from mlx import nn


class PaddedConv1d(nn.Conv1d):
    """A convolution that pads each side by its own number."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def __call__(self, x):
        return super().__call__(padded(x, self.sides))


class PaddedConv2d(nn.Conv2d):
    """A convolution that pads each side by its own number."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def __call__(self, x):
        return super().__call__(padded(x, self.sides))


class PaddedConv3d(nn.Conv3d):
    """A convolution that pads each side by its own number."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def __call__(self, x):
        return super().__call__(padded(x, self.sides))


class CroppedConvTranspose1d(nn.ConvTranspose1d):
    """A transposed convolution with more cut off each side."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def __call__(self, x):
        return padded(super().__call__(x), self.sides)


class CroppedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with more cut off each side."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def __call__(self, x):
        return padded(super().__call__(x), self.sides)


class CroppedConvTranspose3d(nn.ConvTranspose3d):
    """A transposed convolution with more cut off each side."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def __call__(self, x):
        return padded(super().__call__(x), self.sides)


class CenteredBatchNorm(nn.BatchNorm):
    """A batch normalisation that has a bias and no weight."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum, affine=False)
        self.bias = mx.zeros(num_features)

    def __call__(self, x):
        return super().__call__(x) + self.bias


class ScaledBatchNorm(nn.BatchNorm):
    """A batch normalisation that has a weight and no bias."""

    bias = 0

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum, affine=False)
        self.weight = mx.ones(num_features)


class MapBatchNorm(nn.BatchNorm):
    """A batch normalisation of maps of any number of axes."""

    def __call__(self, x):
        return super().__call__(x.flatten(1, -2)).reshape(x.shape)


class GlobalResponseNorm(nn.Module):
    """Each channel by its norm, relative to the mean of all (arXiv:2301.00808)."""

    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = mx.zeros(channels)
        self.bias = mx.zeros(channels)

    def __call__(self, x):
        axes = tuple(range(1, x.ndim - 1))
        norms = mx.sqrt((x * x).sum(axes, keepdims=True)) if axes else mx.abs(x)
        norms = norms / (norms.mean(-1, keepdims=True) + self.eps)
        return x + self.bias + self.weight * x * norms


class SelfAttention(nn.Module):
    """Each token of x[N, *, T, F] becomes a mean of all, in several heads."""

    def __init__(self, features, heads, bias=True):
        super().__init__()
        self.heads = heads
        bound = features**-0.5
        self.in_proj_weight = mx.random.uniform(-bound, bound, (3 * features, features))
        if bias:
            self.in_proj_bias = mx.zeros(3 * features)
        self.out_proj = nn.Linear(features, features, bias)

    def __call__(self, x):
        sums = x @ self.in_proj_weight.T + self.get("in_proj_bias", 0)
        return self.out_proj(attended(sums, self.heads))


class FusedAttention(nn.Module):
    """Each token of x[N, *, T, F] becomes a mean of all, in several heads."""

    def __init__(self, features, heads, bias=True):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(features, 3 * features, bias)
        self.proj = nn.Linear(features, features, bias)

    def __call__(self, x):
        return self.proj(attended(self.qkv(x), self.heads))


def attended(x, heads):
    """The values that queries find by keys: x[..., T, 3F] has all three in a row."""
    q, k, v = (
        part.squeeze(-3).swapaxes(-2, -3)
        for part in mx.split(mx.unflatten(x, -1, (3, heads, -1)), 3, -3)
    )
    shares = mx.softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5, -1)
    return (shares @ v).swapaxes(-2, -3).flatten(-2)


class WindowAttention(nn.Module):
    """Self-attention within the windows of a map [N, *spatial, F]."""

    def __init__(
        self,
        features,
        heads,
        window_size,
        shift_size=None,
        grid=False,
        shrink=False,
        scale=None,
        bias=True,
        names=("qkv", "proj"),
        flat=True,
    ):
        super().__init__()
        self.heads, self.window_size, self.shift_size = heads, window_size, shift_size
        self.grid, self.shrink, self.scale, self.names = grid, shrink, scale, names
        self.make_biases()
        index = relative_index(window_size)
        self.relative_position_index = index.flatten() if flat else index
        self[names[0]] = nn.Linear(features, 3 * features, bias)
        self[names[1]] = nn.Linear(features, features, bias)
        self.freeze(keys=["relative_position_index"], recurse=False)

    def make_biases(self):
        rows = math.prod(2 * w - 1 for w in self.window_size)
        self.relative_position_bias_table = 0.02 * mx.random.normal((rows, self.heads))

    def biases(self):
        return self.relative_position_bias_table

    def projected(self, x):
        return self[self.names[0]](x)

    def compared(self, q, k):
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        return q @ k.swapaxes(-1, -2) * scale

    def __call__(self, x):
        size, axes = x.shape[1:-1], tuple(range(1, x.ndim - 1))
        cut = self.window_size
        if self.shrink:
            cut = tuple(min(n, w) for n, w in zip(size, cut))
        sides = [(0, -n % w) for n, w in zip(size, cut)]
        y = mx.pad(x, [(0, 0), *sides, (0, 0)])
        padded = y.shape[1:-1]
        if self.shift_size:
            y = mx.roll(y, [-s for s in self.shift_size], axes)
        windows = windows_of(y, cut, self.grid)
        qkv = mx.unflatten(self.projected(windows), -1, (3, self.heads, -1))
        q, k, v = (qkv[..., part, :, :].swapaxes(-2, -3) for part in range(3))
        tokens = windows.shape[-2]
        index = self.relative_position_index.astype(mx.int32)
        index = index.reshape(math.prod(self.window_size), -1)[:tokens, :tokens]
        logits = self.compared(q, k) + self.biases()[index].transpose(2, 0, 1)
        if self.shift_size:
            region = mx.array(0)
            for n, s in zip(padded, self.shift_size):
                region = 2 * region[..., None] + (mx.arange(n) >= n - s)
            region = windows_of(region[None, ..., None], cut, self.grid)[..., 0]
            apart = region[..., None, :, None] != region[..., None, None, :]
            logits = logits - 100.0 * apart
        mixed = (mx.softmax(logits, -1) @ v).swapaxes(-2, -3).flatten(-2)
        y = map_of(self[self.names[1]](mixed), padded, cut, self.grid)
        if self.shift_size:
            y = mx.roll(y, self.shift_size, axes)
        return y[(slice(None), *map(slice, size))]


class CosineWindowAttention(WindowAttention):
    """Window attention of Swin V2: angles in place of products (arXiv:2111.09883)."""

    def __init__(
        self,
        features,
        heads,
        window_size,
        shift_size=None,
        grid=False,
        shrink=False,
        bias=True,
        flat=True,
    ):
        given = {"grid": grid, "shrink": shrink, "bias": bias, "flat": flat}
        super().__init__(features, heads, window_size, shift_size, **given)
        outer = nn.Linear(len(self.window_size), 512)
        inner = nn.Linear(512, self.heads, False)
        self.cpb_mlp = [outer, nn.ReLU(), inner]
        self.freeze(keys=["relative_coords_table"], recurse=False)

    def make_biases(self):
        self.logit_scale = mx.full((self.heads, 1, 1), math.log(10))
        axes = [mx.arange(1.0 - w, w) * 8 / (w - 1) for w in self.window_size]
        far = mx.stack(mx.meshgrid(*axes, indexing="ij"), -1)
        table = mx.sign(far) * mx.log2(1 + mx.abs(far)) / 3
        self.relative_coords_table = table[None]

    def biases(self):
        y = self.relative_coords_table.flatten(0, -2)
        for layer in self.cpb_mlp:
            y = layer(y)
        return 16 * mx.sigmoid(y)

    def projected(self, x):
        y = x @ self.qkv.weight.T
        if "bias" not in self.qkv:
            return y
        return y + self.qkv.bias * mx.repeat(mx.array([1, 0, 1]), x.shape[-1])

    def compared(self, q, k):
        scale = mx.exp(mx.minimum(self.logit_scale, math.log(100)))
        q, k = (
            y / mx.maximum(mx.linalg.norm(y, axis=-1, keepdims=True), 1e-12)
            for y in (q, k)
        )
        return q @ k.swapaxes(-1, -2) * scale


def relative_index(window_size):
    """A row of a table for each pair of the tokens of a window."""
    axes = mx.meshgrid(*map(mx.arange, window_size), indexing="ij")
    row = 0
    for place, w in zip(axes, window_size):
        place = place.flatten()
        row = row * (2 * w - 1) + place[:, None] - place + w - 1
    return row


def windows_of(x, window_size, grid):
    """The windows [N, windows, T, F] of a map [N, *spatial, F]."""
    axes = 2 * len(window_size)
    pairs = [(n // w, w) for n, w in zip(x.shape[1:], window_size)]
    split = [n for pair in pairs for n in (pair[::-1] if grid else pair)]
    order = [*range(1 + grid, axes + 1, 2), *range(2 - grid, axes + 1, 2)]
    x = x.reshape(len(x), *split, -1).transpose(0, *order, axes + 1)
    return x.reshape(len(x), -1, math.prod(window_size), x.shape[-1])


def map_of(x, size, window_size, grid):
    """The map [N, *size, F] of its windows [N, windows, T, F]."""
    axes, counts = len(size), [n // w for n, w in zip(size, window_size)]
    x = x.reshape(len(x), *counts, *window_size, -1)
    order = [1 + a + side * axes for a in range(axes) for side in (grid, not grid)]
    return x.transpose(0, *order, 2 * axes + 1).reshape(len(x), *size, -1)


class Recurrent(nn.Module):
    """A layer that goes along the steps: x[N, T, F] gives all states[N, T, H].

    In both directions these are [N, T, 2 * H].
    """

    gates = 1

    def __init__(self, input_size, hidden_size, biases=2, bidirectional=False):
        super().__init__()
        self.hidden_size = hidden_size
        self.directions = ("", "_reverse") if bidirectional else ("",)
        bound, rows = hidden_size**-0.5, self.gates * hidden_size
        shapes = {"weight_ih_l0": (rows, input_size)}
        shapes |= {"weight_hh_l0": (rows, hidden_size)}
        shapes |= dict.fromkeys(("bias_ih_l0", "bias_hh_l0")[:biases], (rows,))
        for end in self.directions:
            for name, shape in shapes.items():
                self[name + end] = mx.random.uniform(-bound, bound, shape)

    def __call__(self, x):
        there, *back = (
            self.states(x[:, ::-1] if end else x, end) for end in self.directions
        )
        return mx.concatenate([there, *(states[:, ::-1] for states in back)], 2)

    def states(self, x, end):
        """The states of one direction, in its order."""
        totals = x @ self["weight_ih_l0" + end].T + self.get("bias_ih_l0" + end, 0)
        state = cell = mx.zeros((x.shape[0], self.hidden_size))
        states = []
        for step in range(x.shape[1]):
            state, cell = self.step(totals[:, step], state, cell, end)
            states.append(state)
        return mx.stack(states, 1)

    def of_state(self, state, end):
        """The weighted sums of a state."""
        return state @ self["weight_hh_l0" + end].T + self.get("bias_hh_l0" + end, 0)


class RNN(Recurrent):
    """A recurrent layer whose states are an activation of weighted sums."""

    def __init__(
        self,
        input_size,
        hidden_size,
        biases=2,
        bidirectional=False,
        nonlinearity="tanh",
    ):
        super().__init__(input_size, hidden_size, biases, bidirectional)
        self.activation = {"tanh": mx.tanh, "relu": nn.relu}[nonlinearity]

    def step(self, total, state, cell, end):
        return self.activation(total + self.of_state(state, end)), cell


class LSTM(Recurrent):
    """A recurrent layer with a cell that gates fill, empty and read."""

    gates = 4

    def step(self, total, state, cell, end):
        gates = mx.split(total + self.of_state(state, end), 4, -1)
        fill, keep, read = (mx.sigmoid(gates[i]) for i in (0, 1, 3))
        cell = keep * cell + fill * mx.tanh(gates[2])
        return read * mx.tanh(cell), cell


class GRU(Recurrent):
    """A recurrent layer whose states are means of the last and of a new one."""

    gates = 3

    def step(self, total, state, cell, end):
        sums = zip(mx.split(total, 3, -1), mx.split(self.of_state(state, end), 3, -1))
        (reset, r), (update, z), (new, n) = sums
        update = mx.sigmoid(update + z)
        new = mx.tanh(new + mx.sigmoid(reset + r) * n)
        return (1 - update) * new + update * state, cell


class ResetBeforeGRU(Recurrent):
    """A GRU that resets the state before it is multiplied, as in arXiv:1406.1078."""

    gates = 3

    def step(self, total, state, cell, end):
        reset, update, _ = mx.split(total + self.of_state(state, end), 3, -1)
        new, update = mx.split(total, 3, -1)[2], mx.sigmoid(update)
        bent = self.of_state(mx.sigmoid(reset) * state, end)
        new = mx.tanh(new + mx.split(bent, 3, -1)[2])
        return (1 - update) * new + update * state, cell


def padded(x, sides, value=0.0):
    """`value` around maps: a number of elements, or (before, after) for each axis.

    Negative numbers cut off.
    """
    pairs = ((sides, sides),) * (x.ndim - 2) if isinstance(sides, int) else sides
    around = [(max(a, 0), max(b, 0)) for a, b in pairs]
    x = mx.pad(x, [(0, 0), *around, (0, 0)], constant_values=value)
    ends = [(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape[1:])]
    return x[(slice(None), *(slice(a, b) for a, b in ends))]


def take(x, indices, axis):
    """The entries of an axis, counted with the channels first, with these numbers."""
    x = mx.moveaxis(x, -1, 1) if x.ndim > 3 else x
    x = mx.take(x, mx.array(indices), axis)
    return mx.moveaxis(x, 1, -1) if x.ndim > 3 else x


def continued(x, sides, mode):
    """Maps that go on beyond their edges: mirrored there, or the edge again."""
    pairs = ((sides, sides),) * (x.ndim - 2) if isinstance(sides, int) else sides
    for axis, (a, b) in enumerate(pairs, start=1):
        last, places = x.shape[axis] - 1, range(-a, x.shape[axis] + b)
        if mode == "reflect":
            places = [last - abs(last - abs(i)) for i in places]
        x = mx.take(x, mx.array([min(max(i, 0), last) for i in places]), axis)
    return x


class Pad(nn.Module):
    """`value` around maps, as many elements as `sides` says."""

    def __init__(self, sides, value=0.0):
        super().__init__()
        self.sides, self.value = sides, value

    def __call__(self, x):
        return padded(x, self.sides, self.value)


def per_axis(value, x):
    """`value` for each axis between batch and channels."""
    return (value,) * (x.ndim - 2) if isinstance(value, int) else value


def over_windows(combine, x, kernel_size, stride=None, dilation=1):
    """The elements of each window combined, axis by axis."""
    each = (per_axis(v, x) for v in (kernel_size, stride or kernel_size, dilation))
    for axis, (k, s, d) in enumerate(zip(*each), start=1):
        count = (x.shape[axis] - d * (k - 1) - 1) // s + 1
        before = (slice(None),) * axis
        starts = range(0, k * d, d)
        x = reduce(
            combine,
            (x[(*before, slice(i, i + (count - 1) * s + 1, s))] for i in starts),
        )
    return x


def max_pool(x, kernel_size, stride=None, padding=0, dilation=1, overhang=0):
    """The largest element of each window; padding never wins."""
    x = padded(padded(x, padding, -math.inf), overhang, -math.inf)
    return over_windows(mx.maximum, x, kernel_size, stride, dilation)


def avg_pool(
    x, kernel_size, stride=None, padding=0, count_include_pad=True, overhang=0
):
    """The mean of each window; padding counts as zeros or not at all."""
    ones = padded(mx.ones((1, *x.shape[1:-1], 1)), padding, float(count_include_pad))
    count = over_windows(mx.add, padded(ones, overhang), kernel_size, stride)
    x = padded(padded(x, padding), overhang)
    return over_windows(mx.add, x, kernel_size, stride) / count


def lp_pool(x, norm, kernel_size, stride=None, padding=0, overhang=0):
    """The root of the sum of powers of each window; an overhang is made up for."""
    mean = avg_pool(mx.abs(x) ** norm, kernel_size, stride, padding, True, overhang)
    return (mean * math.prod(per_axis(kernel_size, x))) ** (1 / norm)


def over_parts(combine, x, output_size):
    """So many stretches of each axis combined, which overlap where they must."""
    for axis, count in enumerate(per_axis(output_size, x), start=1):
        n, before = x.shape[axis], (slice(None),) * axis
        ends = ((i * n // count, -(-(i + 1) * n // count)) for i in range(count))
        parts = [combine(x[(*before, slice(a, b))], axis, True) for a, b in ends]
        x = mx.concatenate(parts, axis)
    return x


def adaptive_avg_pool(x, output_size):
    """The means of so many stretches of each axis."""
    return over_parts(mx.mean, x, output_size)


def adaptive_max_pool(x, output_size):
    """The largest elements of so many stretches of each axis."""
    return over_parts(mx.max, x, output_size)


class AdaptiveAvgPool(nn.Module):
    """The means of so many stretches of each axis."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def __call__(self, x):
        return adaptive_avg_pool(x, self.output_size)


class GlobalAvgPool(nn.Module):
    """The mean of each channel."""

    def __call__(self, x):
        return x.mean(tuple(range(1, x.ndim - 1)), keepdims=True)


class GlobalMaxPool(nn.Module):
    """The largest element of each channel."""

    def __call__(self, x):
        return x.max(tuple(range(1, x.ndim - 1)), keepdims=True)


def upsample(x, scale_factor, mode="nearest", align_corners=False):
    """Maps so many times as large."""
    return nn.Upsample(scale_factor, mode, align_corners)(x)


def resize(x, size, mode="nearest", corners="half_pixel"):
    """Maps of another size: of nearest elements, or mixed of 2 or 4 along each axis."""
    for axis, count in enumerate(per_axis(size, x), start=1):
        places, shares = taps(x.shape[axis], count, mode, corners)
        shape = (-1, *(1,) * (x.ndim - 1 - axis))
        x = reduce(
            mx.add,
            (
                mx.take(x, mx.array(place), axis) * mx.array(share).reshape(shape)
                for place, share in zip(places, shares)
            ),
        )
    return x


def taps(n, count, mode, corners):
    """For each element that is mixed: its places, and its shares."""
    if mode.startswith("nearest"):
        twice = 1 if mode == "nearest_exact" else 0
        return [[(2 * i + twice) * n // (2 * count) for i in range(count)]], [
            [1.0] * count
        ]
    where = {
        "half_pixel": lambda i: (i + 0.5) * n / count - 0.5,
        "align_corners": lambda i: i * (n - 1) / max(count - 1, 1),
        "asymmetric": lambda i: i * n / count,
    }[corners]
    at = [where(i) for i in range(count)]
    if mode == "linear":
        at = [min(max(p, 0), n - 1) for p in at]
    reach = range(2) if mode == "linear" else range(-1, 3)
    weigh = linear_share if mode == "linear" else cubic_share
    places = [[min(max(math.floor(p) + k, 0), n - 1) for p in at] for k in reach]
    shares = [[weigh(abs(p - math.floor(p) - k)) for p in at] for k in reach]
    return places, shares


def linear_share(d):
    """The share of an element at a distance of less than 1."""
    return 1 - d


def cubic_share(d):
    """The share of an element at a distance of at most 2 (Keys 1981, a = -0.75)."""
    a = -0.75
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((d - 5) * d + 8) * d * a - 4 * a


def pixel_shuffle(x, factor, order="channels_first"):
    """Blocks of pixels from the channels of one."""
    split = (-1, factor, factor) if order == "channels_first" else (factor, factor, -1)
    axes = (0, 1, 4, 2, 5, 3) if order == "channels_first" else (0, 1, 3, 2, 4, 5)
    n, height, width = x.shape[:3]
    blocks = mx.unflatten(x, -1, split).transpose(axes)
    return blocks.reshape(n, height * factor, width * factor, -1)


def pixel_unshuffle(x, factor, order="channels_first"):
    """The channels of one pixel from blocks of them."""
    n, height, width = x.shape[:3]
    blocks = x.reshape(n, height // factor, factor, width // factor, factor, -1)
    axes = (0, 1, 3, 5, 2, 4) if order == "channels_first" else (0, 1, 3, 2, 4, 5)
    return blocks.transpose(axes).flatten(3)


def l2_normalize(x, axis=-1, eps=1e-12):
    """Vectors along an axis over their L2 norm."""
    norm = mx.linalg.norm(x, axis=axis, keepdims=True)
    return x / mx.maximum(norm, eps)


def matmul(first, second, transpose_first=False, transpose_second=False):
    """Products of the matrices of each channel: [N, *, M, K, C] by [N, *, K, L, C]."""
    first, second = (mx.moveaxis(x, -1, 1) for x in (first, second))
    first = first.swapaxes(-1, -2) if transpose_first else first
    second = second.swapaxes(-1, -2) if transpose_second else second
    return mx.moveaxis(first @ second, 1, -1)


def hard_sigmoid(x):
    """A sigmoid in straight pieces."""
    return mx.clip(x / 6 + 0.5, 0, 1)


class HardSigmoid(nn.Module):
    """A sigmoid in straight pieces."""

    def __call__(self, x):
        return hard_sigmoid(x)


class ApproxGELU(nn.Module):
    """GELU by tanh."""

    def __call__(self, x):
        return nn.gelu_approx(x)


def dropped(x, p, shape):
    """x without what falls out with probability p, and the rest scaled up."""
    return x * mx.random.bernoulli(1 - p, shape) / (1 - p) if p < 1 else x * 0


def dropout(x, p, training):
    """Elements are left out in training."""
    return dropped(x, p, x.shape) if training else x


def channel_dropout(x, p, training):
    """Channels are left out in training."""
    shape = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
    return dropped(x, p, shape) if training else x


def stochastic_depth(x, p, training):
    """Samples are left out in training."""
    return dropped(x, p, (x.shape[0], *(1,) * (x.ndim - 1))) if training else x


class StochasticDepth(nn.Module):
    """Drop whole samples in training."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def __call__(self, x):
        return stochastic_depth(x, self.p, self.training)


def channel_shuffle(x, groups):
    """The channels of so many groups dealt in turn."""
    grouped = mx.unflatten(x, -1, (groups, -1))
    return grouped.swapaxes(-1, -2).reshape(x.shape)


class ChannelShuffle(nn.Module):
    """The channels of so many groups dealt in turn."""

    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def __call__(self, x):
        return channel_shuffle(x, self.groups)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Each element by the squares of `size` channels around it."""
    n = x.shape[-1]
    sides = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    squares = mx.pad(x * x, sides)
    total = reduce(mx.add, (squares[..., i : i + n] for i in range(size)))
    return x / (k + alpha / size * total) ** beta


class LocalResponseNorm(nn.Module):
    """Each element by the squares of `size` channels around it."""

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def __call__(self, x):
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)


class Permute(nn.Module):
    """Put the axes in another order."""

    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def __call__(self, x):
        return x.transpose(self.dims)


class Flatten(nn.Module):
    """All elements in one axis, channel by channel."""

    def __call__(self, x):
        return (mx.moveaxis(x, -1, 1) if x.ndim > 3 else x).flatten(1)


def load(model, path):
    """Give a model the arrays of a .safetensors or .npz file of its spec.

    Raises ValueError unless names and shapes are those of the model.
    """
    given = mx.load(str(path))
    given = {k: v for k, v in given.items() if not k.endswith("num_batches_tracked")}
    places = arrays_of(model)
    if other := sorted(given.keys() ^ places.keys()):
        raise ValueError(f"only the file or the model has {', '.join(other)}")
    for name, (layer, key) in places.items():
        array = mx.moveaxis(given[name], *turn(layer, given[name]))
        if array.shape != layer[key].shape:
            found, shape = given[name].shape, layer[key].shape
            raise ValueError(f"{name} is {found} in the file, {shape} in the model")
        given[name] = array
    for name, (layer, key) in places.items():
        layer[key] = given[name]


def save(model, path):
    """Write the arrays of a model as `load` reads them."""
    arrays = {}
    for name, (layer, key) in arrays_of(model).items():
        source, target = turn(layer, layer[key])
        arrays[name] = mx.moveaxis(layer[key], target, source)
    mx.save_safetensors(str(path), arrays)


def arrays_of(model):
    """For each name of the spec the layer that holds the array, and its name there."""
    modules = dict(model.named_modules())
    places = {}
    for path, layer in modules.items():
        parts = path.split(".") if path else []
        owners = (modules.get(".".join(parts[:i])) for i in range(len(parts)))
        names = [  # without the `layers` that a sequence of MLX keeps its layers under
            part
            for part, owner in zip(parts, owners)
            if not isinstance(owner, nn.Sequential)
        ]
        for key, value in layer.items():
            if isinstance(value, mx.array):
                places[".".join([*names, key])] = layer, key
    return places


def turn(layer, array):
    """The axis that MLX has at another place than torch, and that place."""
    convs = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    if array.ndim < 3 or not isinstance(layer, convs + transposed):
        return 0, 0
    return int(isinstance(layer, convs)), -1
