"""Layers in plain NumPy, of which `archforge build` copies what a network needs.

A kernel has the name of its op, with an underscore behind a word that Python has taken.
It takes (p, name, x, ...) if the op owns parameters, where `p` holds all arrays of the
network by name, else (x, ...). Keyword arguments have the names of the op's attributes;
an attribute that is missing here shows in the shapes of the parameters, or does nothing
at inference. The exporter works geometry out: windows get numbers in place of paddings
by name and of `ceil` (`padding`, and `overhang` for what the last windows reach beyond
it), equal slices their `part`, and the largest extent of a reshape is -1.

The tests hold each kernel against its op's reference.
"""

import math

import numpy as np

# Layers with parameters


def conv(p, name, x, *, stride=1, padding=0, dilation=1):
    """Cross-correlation with weight[out, C / groups, *kernel], plus bias[out]."""
    weight, bias = p[f"{name}.weight"], p.get(f"{name}.bias")
    out, depth, *kernel = weight.shape
    groups = x.shape[1] // depth
    # One matrix for each position inside the kernel, contiguous so that BLAS takes it.
    matrices = weight.reshape(groups, out // groups, depth, -1)
    matrices = np.ascontiguousarray(np.moveaxis(matrices, -1, 0))
    y = 0
    for i, tap in enumerate(taps(padded(x, padding), kernel, stride, dilation)):
        y = y + matrices[i] @ tap.reshape(len(x), groups, depth, -1)
    y = y.reshape(len(x), out, *tap.shape[2:])
    return y if bias is None else y + along_channels(bias, y)


def standardized_conv(
    p, name, x, *, stride=1, padding=0, dilation=1, eps=1e-6, gamma=None
):
    """Convolution with each kernel less its mean, over its deviation."""
    weight, rest = p[f"{name}.weight"], range(1, x.ndim)
    weight = weight - weight.mean(tuple(rest), keepdims=True)
    weight = weight / np.sqrt((weight**2).mean(tuple(rest), keepdims=True) + eps)
    if gamma is not None:
        weight = weight * p[f"{name}.gain"] * (gamma / math.sqrt(weight[0].size))
    made = {"conv.weight": weight, "conv.bias": p.get(f"{name}.bias")}
    return conv(made, "conv", x, stride=stride, padding=padding, dilation=dilation)


def conv_transpose(
    p, name, x, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1
):
    """Each element adds its multiple of weight[C, out / groups, *kernel], stride apart.

    Then `output_padding` is appended, and `padding` cut off.
    """
    weight, bias = p[f"{name}.weight"], p.get(f"{name}.bias")
    depth, *kernel = weight.shape[1:]
    axes = zip(x.shape[2:], kernel, per_axis(stride, x), per_axis(dilation, x))
    sizes = [(n - 1) * s + d * (k - 1) + 1 for n, k, s, d in axes]
    y = np.zeros((len(x), groups * depth, *sizes), x.dtype)
    columns = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    matrices = weight.reshape(groups, -1, depth, math.prod(kernel))
    for i, tap in enumerate(taps(y, kernel, stride, dilation)):
        tap += (matrices[..., i].swapaxes(1, 2) @ columns).reshape(tap.shape)
    y = padded(y, [(0, n) for n in per_axis(output_padding, x)])
    y = cropped(y, padding)
    return y if bias is None else y + along_channels(bias, y)


def linear(p, name, x, *, axis=None):
    """Matrix product of weight[out, F] with the features: the last axis, or `axis`."""
    weight, bias = p[f"{name}.weight"], p.get(f"{name}.bias")
    axis = -1 if axis is None else behind_batch(axis, x)
    y = np.moveaxis(x, axis, -1) @ weight.T
    return np.moveaxis(y if bias is None else y + bias, -1, axis)


def bn(p, name, x, *, eps=1e-5):
    """Each channel less its running mean, over its running standard deviation."""
    mean, variance = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    y = (x - along_channels(mean, x)) / np.sqrt(along_channels(variance, x) + eps)
    if f"{name}.weight" in p:
        y = y * along_channels(p[f"{name}.weight"], x)
    if f"{name}.bias" in p:
        y = y + along_channels(p[f"{name}.bias"], x)
    return y


def layer_norm(p, name, x, *, axis=-1, eps=1e-5):
    """The elements along `axis` less their mean, over their standard deviation."""
    axes = tuple(behind_batch(int(a), x) for a in np.atleast_1d(axis))
    y = x - x.mean(axes, keepdims=True)
    y = y / np.sqrt((y**2).mean(axes, keepdims=True) + eps)
    if f"{name}.weight" not in p:
        return y
    shape = [n if a in axes else 1 for a, n in enumerate(x.shape)]
    return y * p[f"{name}.weight"].reshape(shape) + p[f"{name}.bias"].reshape(shape)


def group_norm(p, name, x, *, groups, eps=1e-5):
    """Each group of channels less its mean over the map, over its deviation."""
    y = x.reshape(len(x), groups, -1)
    y = y - y.mean(2, keepdims=True)
    y = (y / np.sqrt((y**2).mean(2, keepdims=True) + eps)).reshape(x.shape)
    if f"{name}.weight" not in p:
        return y
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    return y * along_channels(weight, x) + along_channels(bias, x)


def instance_norm(p, name, x, *, eps=1e-5):
    """Each channel of each image less its mean, over its standard deviation."""
    return group_norm(p, name, x, groups=x.shape[1], eps=eps)


def global_response_norm(p, name, x, *, axis=0, eps=1e-6):
    """Each channel weighed by its norm over the whole map, relative to the others'."""
    axis = behind_batch(axis, x)
    others = tuple(a for a in range(1, x.ndim) if a != axis)
    norms = np.sqrt((x**2).sum(others, keepdims=True))
    response = norms / (norms.mean(axis, keepdims=True) + eps)
    shape = [n if a == axis else 1 for a, n in enumerate(x.shape)]
    weight, bias = p[f"{name}.weight"].reshape(shape), p[f"{name}.bias"].reshape(shape)
    return x * (1 + weight * response) + bias


def attention(p, name, x, *, heads, names="torch"):
    """Self-attention of the tokens in x[..., T, F], F / heads features a head."""
    first, last = {"torch": ("in_proj_", "out_proj."), "timm": ("qkv.", "proj.")}[names]
    qkv = x @ p[f"{name}.{first}weight"].T
    if f"{name}.{first}bias" in p:
        qkv = qkv + p[f"{name}.{first}bias"]
    qkv = qkv.reshape(*x.shape[:-1], 3, heads, -1)
    q, k, v = (np.moveaxis(qkv[..., i, :, :], -2, -3) for i in range(3))
    shares = softmax(q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]), axis=-1)
    y = np.moveaxis(shares @ v, -3, -2).reshape(x.shape) @ p[f"{name}.{last}weight"].T
    return y + p[f"{name}.{last}bias"] if f"{name}.{last}bias" in p else y


def window_attention(
    p,
    name,
    x,
    *,
    heads,
    window_size,
    shift_size=0,
    grid=False,
    shrink=False,
    cosine=False,
    scale=None,
    names="swin",
):
    """Self-attention within the windows of a map x[N, *spatial, F]."""
    first, last = {"swin": ("qkv", "proj"), "maxvit": ("to_qkv", "merge")}[names]
    size, axes = x.shape[1:-1], tuple(range(1, x.ndim - 1))
    cut = [min(n, w) if shrink else w for n, w in zip(size, window_size)]
    shifts = shift_size if isinstance(shift_size, tuple) else (shift_size,) * len(cut)
    shifts = [s if n > w else 0 for n, w, s in zip(size, cut, shifts)]
    y = np.pad(x, [(0, 0), *((0, -n % w) for n, w in zip(size, cut)), (0, 0)])
    windows = windows_of(np.roll(y, [-s for s in shifts], axes), cut, grid)
    qkv = windows @ p[f"{name}.{first}.weight"].T
    if f"{name}.{first}.bias" in p:
        bias = p[f"{name}.{first}.bias"]
        qkv = qkv + (bias * np.repeat([1, 0, 1], x.shape[-1]) if cosine else bias)
    qkv = qkv.reshape(*windows.shape[:-1], 3, heads, -1)
    q, k, v = (np.moveaxis(qkv[..., i, :, :], -2, -3) for i in range(3))
    if cosine:
        q, k = l2_normalize(q, axis=-1), l2_normalize(k, axis=-1)
        scale = np.exp(np.minimum(p[f"{name}.logit_scale"], math.log(100)))
    elif scale is None:
        scale = q.shape[-1] ** -0.5
    index = p[f"{name}.relative_position_index"].astype(int)
    index = index.reshape(math.prod(window_size), -1)[: q.shape[-2], : q.shape[-2]]
    biases = window_biases(p, name, cosine)[index].transpose(2, 0, 1)
    logits = q @ np.swapaxes(k, -1, -2) * scale + biases
    if any(shifts):
        places = np.indices(y.shape[1:-1])
        ends = [i >= n - s for i, n, s in zip(places, y.shape[1:], shifts)]
        region = sum(2**i * end for i, end in enumerate(ends))[None, ..., None]
        region = windows_of(region, cut, grid)[..., 0]
        apart = region[:, :, None, :, None] != region[:, :, None, None]
        logits = logits - x.dtype.type(100) * apart
    mixed = np.moveaxis(softmax(logits, axis=-1) @ v, -3, -2).reshape(windows.shape)
    mixed = mixed @ p[f"{name}.{last}.weight"].T
    if f"{name}.{last}.bias" in p:
        mixed = mixed + p[f"{name}.{last}.bias"]
    y = np.roll(map_of(mixed, y.shape[1:-1], cut, grid), shifts, axes)
    return y[(slice(None), *map(slice, size))]


def window_biases(p, name, cosine):
    """The bias of each head for each difference of two places."""
    if not cosine:
        return p[f"{name}.relative_position_bias_table"]
    table = p[f"{name}.relative_coords_table"]
    outer, bias = p[f"{name}.cpb_mlp.0.weight"], p[f"{name}.cpb_mlp.0.bias"]
    hidden = relu(table.reshape(-1, table.shape[-1]) @ outer.T + bias)
    return 16 * sigmoid(hidden @ p[f"{name}.cpb_mlp.2.weight"].T)


def parameter(p, name, x, *, shape):
    """The array, once for each sample."""
    return np.broadcast_to(p[name].reshape(1, *shape), (len(x), *shape))


def embedding(p, name, x, *, entries):
    """The row of a table that each number names."""
    return p[f"{name}.weight"][np.clip(x, 0, entries - 1).astype(int)]


def rms_norm(p, name, x, *, axis=-1, eps=1e-6):
    """The elements along `axis` over their root mean square, times weight."""
    axis = behind_batch(axis, x)
    y = x / np.sqrt((x**2).mean(axis, keepdims=True) + eps)
    if f"{name}.weight" not in p:
        return y
    return y * p[f"{name}.weight"].reshape(-1, *(1,) * (x.ndim - 1 - axis))


def layer_scale(p, name, x):
    """Each channel times its factor."""
    return x * along_channels(p[name], x)


def prelu(p, name, x):
    """x where it is positive, a trained multiple of it elsewhere."""
    return np.where(x > 0, x, x * along_channels(p[f"{name}.weight"], x))


# Recurrent layers: x[N, T, F] gives the states of all steps


def rnn(p, name, x, *, activation="tanh", bidirectional=False):
    """Each state is an activation of a weighted sum of input and last state."""
    function = {"tanh": np.tanh, "relu": relu}[activation]

    def step(total, weight, bias, state, cell):
        return function(total + state @ weight.T + bias), cell

    return over_time(p, name, x, step, bidirectional)


def lstm(p, name, x, *, bidirectional=False):
    """Each state is read from a cell, which gates fill and empty."""

    def step(total, weight, bias, state, cell):
        gates = total + state @ weight.T + bias
        fill, keep, new, read = np.split(gates, 4, axis=1)
        cell = sigmoid(keep) * cell + sigmoid(fill) * np.tanh(new)
        return sigmoid(read) * np.tanh(cell), cell

    return over_time(p, name, x, step, bidirectional)


def gru(p, name, x, *, linear_before_reset=True, bidirectional=False):
    """Each state is a mean of the last and of a new one, weighed by the update gate."""

    def step(total, weight, bias, state, cell):
        rows = 2 * weight.shape[1]  # of the gates: reset, then update
        gates = sigmoid(total[:, :rows] + state @ weight[:rows].T + bias[:rows])
        reset, update = np.split(gates, 2, axis=1)
        if linear_before_reset:
            past = reset * (state @ weight[rows:].T + bias[rows:])
        else:
            past = (reset * state) @ weight[rows:].T + bias[rows:]
        new = np.tanh(total[:, rows:] + past)
        return (1 - update) * new + update * state, cell

    return over_time(p, name, x, step, bidirectional)


def over_time(p, name, x, step, bidirectional):
    """The states of all steps; in both directions, one beside the other."""
    if bidirectional:
        back = one_way(p, name, x[:, ::-1], step, "_reverse")[:, ::-1]
        return np.concatenate([one_way(p, name, x, step), back], 2)
    return one_way(p, name, x, step)


def one_way(p, name, x, step, end=""):
    """The states of all steps in one direction, in its order."""
    weight = p[f"{name}.weight_hh_l0{end}"]
    none = np.zeros(len(weight), weight.dtype)
    bias = p.get(f"{name}.bias_hh_l0{end}", none)
    from_input = x @ p[f"{name}.weight_ih_l0{end}"].T
    from_input = from_input + p.get(f"{name}.bias_ih_l0{end}", none)
    state = cell = np.zeros((len(x), weight.shape[1]), x.dtype)
    states = []
    for t in range(x.shape[1]):
        state, cell = step(from_input[:, t], weight, bias, state, cell)
        states.append(state)
    return np.stack(states, 1)


# Pools over windows


def max_pool(x, *, kernel, stride, padding=0, dilation=1, overhang=0):
    """Largest element of each window; padding never wins."""
    x = padded(padded(x, padding, -np.inf), overhang, -np.inf)
    y = -np.inf
    for tap in taps(x, kernel, stride, dilation):
        y = np.maximum(y, tap)
    return y


def avg_pool(x, *, kernel, stride, padding=0, overhang=0, count_include_pad=True):
    """Mean of each window. Padding counts as zeros or not at all, an overhang never."""
    ones = padded(np.ones_like(x[:1, :1]), padding, float(count_include_pad))
    counts = sum(taps(padded(ones, overhang), kernel, stride))
    return sum(taps(padded(padded(x, padding), overhang), kernel, stride)) / counts


def lp_pool(x, *, kernel, stride, padding=0, overhang=0, norm=2.0):
    """Lp norm of each window; one that overhangs is scaled up to a full one."""
    ones = padded(np.ones_like(x[:1, :1]), padding, 1.0)
    counts = sum(taps(padded(ones, overhang), kernel, stride))
    powers = padded(padded(np.abs(x) ** norm, padding), overhang)
    share = counts / math.prod(per_axis(kernel, x))
    return (sum(taps(powers, kernel, stride)) / share) ** (1 / norm)


# Windows and axes; x is [N, C, *spatial]


def taps(x, kernel, stride, dilation=1):
    """For each position inside the kernel, the elements of x under it in any window."""
    kernel, stride, dilation = (per_axis(v, x) for v in (kernel, stride, dilation))
    axes = list(zip(x.shape[2:], kernel, stride, dilation))
    for position in np.ndindex(*kernel):
        under = (
            slice(i * d, n - (k - 1 - i) * d, s)
            for i, (n, k, s, d) in zip(position, axes)
        )
        yield x[(..., *under)]


def padded(x, padding, value=0.0):
    """`value` around the spatial axes: a number, or (before, after) for each axis."""
    if padding == 0:
        return x
    sides = [(padding, padding)] * (x.ndim - 2) if isinstance(padding, int) else padding
    return np.pad(x, ((0, 0), (0, 0), *sides), constant_values=value)


def cropped(x, padding):
    """The opposite: as much taken away."""
    sides = [(padding, padding)] * (x.ndim - 2) if isinstance(padding, int) else padding
    kept = (slice(a, n - b) for (a, b), n in zip(sides, x.shape[2:]))
    return x[(..., *kept)]


def per_axis(value, x):
    """`value` for each spatial axis."""
    return [value] * (x.ndim - 2) if isinstance(value, int) else value


def along_channels(vector, x):
    """vector[C] in a shape that stretches over x."""
    return vector.reshape(-1, *[1] * (x.ndim - 2))


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


def behind_batch(axis, x):
    """The place of an axis that is counted without the batch."""
    return axis + 1 if axis >= 0 else axis + x.ndim


# Pools over whole maps


def global_avg_pool(x, *, keep=True):
    """Mean of each channel."""
    return x.mean(tuple(range(2, x.ndim)), keepdims=keep)


def global_max_pool(x, *, keep=True):
    """Largest element of each channel."""
    return x.max(tuple(range(2, x.ndim)), keepdims=keep)


def adaptive_avg_pool(x, *, size=1):
    """Means of `size` stretches of each axis, which overlap where they must."""
    for axis, count in enumerate(per_axis(size, x), start=2):
        parts = [part.mean(axis) for part in stretches(x, axis, count)]
        x = np.stack(parts, axis)
    return x


def adaptive_max_pool(x, *, size=1):
    """The largest of `size` stretches of each axis, which overlap where they must."""
    for axis, count in enumerate(per_axis(size, x), start=2):
        parts = [part.max(axis) for part in stretches(x, axis, count)]
        x = np.stack(parts, axis)
    return x


def stretches(x, axis, count):
    """`count` parts that cover an axis, as alike as can be."""
    n, before = x.shape[axis], (slice(None),) * axis
    ends = [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
    return [x[(*before, slice(a, b))] for a, b in ends]


# Element by element


def relu(x):
    """Negative elements become 0."""
    return np.maximum(x, 0)


def relu6(x):
    """Elements are kept between 0 and 6."""
    return np.clip(x, 0, 6)


def clip(x, *, min=None, max=None):
    """Elements are kept between two bounds, of which one may be left out."""
    return np.clip(x, min, max)


def leaky_relu(x, *, slope=0.01):
    """Negative elements shrink."""
    return np.where(x > 0, x, x * slope)


def elu(x, *, alpha=1.0):
    """Negative elements follow an exponential down to -alpha."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x):
    """ELU with the two constants of arXiv:1706.02515."""
    return 1.0507009873554805 * elu(x, alpha=1.6732632423543772)


def gelu(x, *, approximate="none"):
    """x times the normal distribution's cumulative function, exact or by tanh."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    erf = np.frompyfunc(math.erf, 1, 1)
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)).astype(x.dtype))


def sigmoid(x):
    """1 / (1 + exp(-x)); the exponential of a negative number alone cannot overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def hard_sigmoid(x):
    """Sigmoid in three straight pieces."""
    return np.clip(x + 3, 0, 6) / 6


def silu(x):
    """x * sigmoid(x), also called swish."""
    return x * sigmoid(x)


def hard_swish(x):
    """Swish with the sigmoid in straight pieces."""
    return x * hard_sigmoid(x)


def softplus(x):
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def mish(x):
    """x * tanh(softplus(x))."""
    return x * np.tanh(softplus(x))


def softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + np.abs(x))


def tanh(x):
    """Hyperbolic tangent."""
    return np.tanh(x)


def abs_(x):
    """|x|."""
    return np.abs(x)


def offset(x, *, number):
    """x plus a constant."""
    return x + number


def scale(x, *, factor):
    """x times a constant."""
    return x * factor


# Along an axis, which is counted without the batch


def l2_normalize(x, *, axis=-1, eps=1e-12):
    """The elements along `axis` over their L2 norm."""
    norm = np.sqrt((x**2).sum(behind_batch(axis, x), keepdims=True))
    return x / np.maximum(norm, eps)


def softmax(x, *, axis=0):
    """Exponentials over their sum, of x less its maximum lest they overflow."""
    axis = behind_batch(axis, x)
    y = np.exp(x - x.max(axis, keepdims=True))
    return y / y.sum(axis, keepdims=True)


def log_softmax(x, *, axis=0):
    """Logarithm of softmax, without the underflow of its small values."""
    axis = behind_batch(axis, x)
    y = x - x.max(axis, keepdims=True)
    return y - np.log(np.exp(y).sum(axis, keepdims=True))


def lrn(x, *, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha * mean of the squares of `size` channels around it)^beta."""
    around = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    squares = np.pad(np.moveaxis(x, 1, -1) ** 2, around)
    windows = np.lib.stride_tricks.sliding_window_view(squares, size, -1)
    return x / (k + alpha * np.moveaxis(windows.mean(-1), -1, 1)) ** beta


def concat(*parts, axis=0):
    """The parts one after the other."""
    return np.concatenate(parts, behind_batch(axis, parts[0]))


def add(*branches):
    """Sum of branches aligned at the channels; one stretches over axes it lacks."""
    return merged(np.add, branches)


def subtract(*branches):
    """The first branch less the others, aligned at the channels."""
    return merged(np.subtract, branches)


def multiply(*factors):
    """Product of factors aligned at the channels; one stretches over axes it lacks."""
    return merged(np.multiply, factors)


def divide(*branches):
    """The first branch over the others, aligned at the channels."""
    return merged(np.divide, branches)


def maximum(*branches):
    """The largest at each place, of branches aligned at the channels."""
    return merged(np.maximum, branches)


def merged(function, branches):
    """A function of two arrays over branches aligned at the channels."""
    ndim = max(b.ndim for b in branches)
    y, *others = [b.reshape(*b.shape, *(1,) * (ndim - b.ndim)) for b in branches]
    for other in others:
        y = function(y, other)
    return y


def matmul(first, second, *, transpose_first=False, transpose_second=False):
    """Matrix products over the last two axes."""
    first = np.swapaxes(first, -1, -2) if transpose_first else first
    return first @ (np.swapaxes(second, -1, -2) if transpose_second else second)


def slice_(x, *, start=0, end=None, axis=0, part=None):
    """Entries of an axis from `start` up to `end`, or part i of n for `part` (i, n)."""
    axis = behind_batch(axis, x)
    if part:
        length = x.shape[axis] // part[1]
        start, end = part[0] * length, (part[0] + 1) * length
    return x[(slice(None),) * axis + (slice(start, end),)]


def take(x, *, indices, axis=0):
    """The entries of an axis with these numbers."""
    return np.take(x, indices, behind_batch(axis, x))


# Shapes


def flatten(x):
    """All elements of an image in one axis."""
    return x.reshape(len(x), -1)


def reshape(x, *, shape):
    """The same elements in the same order under another shape."""
    return x.reshape(len(x), *shape)


def permute(x, *, order):
    """Axes in another order, counted without the batch."""
    return x.transpose(0, *(axis + 1 for axis in order))


def roll(x, *, shift, axis):
    """Entries of an axis moved round."""
    return np.roll(x, shift, behind_batch(axis, x))


def pad(x, *, sides, value=0.0, mode="constant"):
    """Elements before and after each spatial axis; a negative number cuts off."""
    sides = [sides] * 2 * (x.ndim - 2) if isinstance(sides, int) else list(sides)
    pairs = list(zip(sides[::2], sides[1::2]))
    around = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        x = padded(x, around, value)
    else:
        x = np.pad(
            x, ((0, 0), (0, 0), *around), "reflect" if mode == "reflect" else "edge"
        )
    return cropped(x, [(max(-a, 0), max(-b, 0)) for a, b in pairs])


def pixel_shuffle(x, *, factor=2, order="channels_first"):
    """Blocks of pixels from channels."""
    n, _, h, w = x.shape
    if order == "channels_first":
        x = x.reshape(n, -1, factor, factor, h, w)
    else:
        x = x.reshape(n, factor, factor, -1, h, w).transpose(0, 3, 1, 2, 4, 5)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, h * factor, w * factor)


def pixel_unshuffle(x, *, factor=2, order="channels_first"):
    """Channels from blocks of pixels."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // factor, factor, w // factor, factor)
    axes = (0, 1, 3, 5, 2, 4) if order == "channels_first" else (0, 3, 5, 1, 2, 4)
    return x.transpose(axes).reshape(n, -1, h // factor, w // factor)


def unfold(x, *, kernel, stride=1, padding=0, dilation=1):
    """The elements under each position of a window as a column."""
    found = np.stack([*taps(padded(x, padding), kernel, stride, dilation)], 2)
    return found.reshape(len(x), x.shape[1] * found.shape[2], -1)


def shuffle(x, *, groups):
    """Channels of `groups` groups dealt in turn."""
    y = x.reshape(len(x), groups, -1, *x.shape[2:])
    return y.swapaxes(1, 2).reshape(x.shape)


def upsample(x, *, factor=2, mode="nearest", align_corners=False):
    """Each spatial axis `factor` times as long, by repetition or interpolation."""
    corners = "align_corners" if align_corners else "half_pixel"
    for axis, times in enumerate(per_axis(factor, x), start=2):
        if mode == "nearest":
            x = x.repeat(times, axis)
        else:
            x = interpolated(x, axis, x.shape[axis] * times, "linear", corners)
    return x


def resize(x, *, size, mode="nearest", corners="half_pixel"):
    """Each spatial axis brought to `size` elements."""
    for axis, count in enumerate(per_axis(size, x), start=2):
        n, i = x.shape[axis], np.arange(count)
        if mode == "nearest":
            x = x.take(i * n // count, axis)
        elif mode == "nearest_exact":
            x = x.take((2 * i + 1) * n // (2 * count), axis)
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
    share, y = position - low, 0
    for tap in range(2) if mode == "linear" else range(-1, 3):
        far = abs(share - tap)
        weight = 1 - far if mode == "linear" else keys(far)
        weight = weight.astype(x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
        y = y + x.take(np.clip(low + tap, 0, n - 1), axis) * weight
    return y


def keys(far):
    """The cubic kernel of Keys (1981) with a = -0.75, at a distance of up to 2."""
    near = (1.25 * far - 2.25) * far**2 + 1
    return np.where(far <= 1, near, 3 - 0.75 * ((far - 5) * far + 8) * far)
