"""Layers that torch lacks, of which exported source copies what it needs."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def same_padding(x, kernel_size, stride, dilation=1):
    """Sides for `F.pad`: an output of ceil(size / stride), the odd element after."""
    sides = []
    for axis, size in enumerate(x.shape[2:]):
        k, s, d = (
            v[axis] if isinstance(v, tuple) else v
            for v in (kernel_size, stride, dilation)
        )
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        sides = [total // 2, total - total // 2, *sides]
    return sides


class SameConv1d(nn.Conv1d):
    """A convolution whose output has ceil(size / stride) elements."""

    def forward(self, x):
        return super().forward(
            F.pad(x, same_padding(x, self.kernel_size, self.stride, self.dilation))
        )


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) elements along each axis."""

    def forward(self, x):
        return super().forward(
            F.pad(x, same_padding(x, self.kernel_size, self.stride, self.dilation))
        )


class SameConv3d(nn.Conv3d):
    """A convolution whose output has ceil(size / stride) elements along each axis."""

    def forward(self, x):
        return super().forward(
            F.pad(x, same_padding(x, self.kernel_size, self.stride, self.dilation))
        )


class PaddedConv1d(nn.Conv1d):
    """A convolution that pads each side by its own number."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x):
        return super().forward(F.pad(x, self.sides))


class PaddedConv2d(nn.Conv2d):
    """A convolution that pads each side by its own number: left, right, top, bottom."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x):
        return super().forward(F.pad(x, self.sides))


class PaddedConv3d(nn.Conv3d):
    """A convolution that pads each side by its own number, the last axis first."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x):
        return super().forward(F.pad(x, self.sides))


def take(x, indices, dim):
    """The entries of an axis with these numbers."""
    return x[(slice(None),) * dim + (torch.tensor(indices, device=x.device),)]


class StandardizedConv2d(nn.Conv2d):
    """A convolution with each kernel less its mean, over its deviation.

    With `gamma` the kernels have a gain as well (arXiv:2101.08692).
    """

    def __init__(self, *args, sides=0, eps=1e-6, gamma=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides, self.eps, self.scale = sides, eps, None
        if gamma is not None:
            self.scale = gamma * self.weight[0].numel() ** -0.5
            self.gain = nn.Parameter(torch.ones(len(self.weight), 1, 1, 1))

    def forward(self, x):
        dims = (1, 2, 3)
        weight = self.weight - self.weight.mean(dims, keepdim=True)
        weight = weight / (weight.square().mean(dims, keepdim=True) + self.eps).sqrt()
        if self.scale is not None:
            weight = weight * (self.gain * self.scale)
        x = F.pad(x, self.sides) if self.sides else x
        return self._conv_forward(x, weight, self.bias)


class CroppedConvTranspose1d(nn.ConvTranspose1d):
    """A transposed convolution with more cut off each side."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x):
        return F.pad(super().forward(x), self.sides)


class CroppedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with more cut off: left, right, top, bottom."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x):
        return F.pad(super().forward(x), self.sides)


class CroppedConvTranspose3d(nn.ConvTranspose3d):
    """A transposed convolution with more cut off each side, the last axis first."""

    def __init__(self, *args, sides=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x):
        return F.pad(super().forward(x), self.sides)


class CenteredBatchNorm1d(nn.BatchNorm1d):
    """A batch normalisation that has a bias and no weight."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight = None


class CenteredBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation that has a bias and no weight."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight = None


class CenteredBatchNorm3d(nn.BatchNorm3d):
    """A batch normalisation that has a bias and no weight."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight = None


class ScaledBatchNorm1d(nn.BatchNorm1d):
    """A batch normalisation that has a weight and no bias."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bias = None


class ScaledBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation that has a weight and no bias."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bias = None


class ScaledBatchNorm3d(nn.BatchNorm3d):
    """A batch normalisation that has a weight and no bias."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bias = None


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation along the channels, the first axis behind the batch."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GlobalResponseNorm(nn.Module):
    """Each channel by its norm, relative to the mean of all (arXiv:2301.00808)."""

    def __init__(self, channels, dim, others, eps=1e-6):
        super().__init__()
        self.dim, self.others, self.eps = dim, others, eps
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        norms = torch.linalg.vector_norm(x, dim=self.others, keepdim=True)
        norms = norms / (norms.mean(self.dim, keepdim=True) + self.eps)
        shape = (-1, *(1,) * (x.dim() - 1 - self.dim))
        return x + self.bias.reshape(shape) + self.weight.reshape(shape) * x * norms


class SelfAttention(nn.MultiheadAttention):
    """Self-attention of the tokens in [..., T, F], with torch's names."""

    def __init__(self, features, heads, bias=True):
        super().__init__(features, heads, bias=bias, batch_first=True)

    def forward(self, x):
        y = x.flatten(0, -3)
        return super().forward(y, y, y, need_weights=False)[0].reshape(x.shape)


class FusedAttention(nn.Module):
    """Self-attention of the tokens in [..., T, F], with timm's names."""

    def __init__(self, features, heads, bias=True):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(features, 3 * features, bias=bias)
        self.proj = nn.Linear(features, features, bias=bias)

    def forward(self, x):
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = (part.transpose(-2, -3) for part in qkv.unbind(-3))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(-2, -3).flatten(-2))


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
        index = index.flatten() if flat else index
        self.register_buffer("relative_position_index", index)
        self.add_module(names[0], nn.Linear(features, 3 * features, bias=bias))
        self.add_module(names[1], nn.Linear(features, features, bias=bias))

    def make_biases(self):
        rows = math.prod(2 * w - 1 for w in self.window_size)
        table = nn.Parameter(0.02 * torch.randn(rows, self.heads))
        self.relative_position_bias_table = table

    def biases(self):
        return self.relative_position_bias_table

    def projected(self, x):
        return getattr(self, self.names[0])(x)

    def compared(self, q, k):
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        return q @ k.mT * scale

    def forward(self, x):
        size, axes = x.shape[1:-1], tuple(range(1, x.dim() - 1))
        cut = self.window_size
        if self.shrink:
            cut = tuple(min(n, w) for n, w in zip(size, cut))
        sides = [s for n, w in zip(size[::-1], cut[::-1]) for s in (0, -n % w)]
        y = F.pad(x, (0, 0, *sides))
        padded = y.shape[1:-1]
        if self.shift_size:
            y = y.roll([-s for s in self.shift_size], axes)
        windows = windows_of(y, cut, self.grid)
        qkv = self.projected(windows).unflatten(-1, (3, self.heads, -1))
        q, k, v = (part.transpose(-2, -3) for part in qkv.unbind(-3))
        tokens = windows.shape[-2]
        index = self.relative_position_index.view(math.prod(self.window_size), -1)
        biases = self.biases()[index[:tokens, :tokens]]
        logits = self.compared(q, k) + biases.permute(2, 0, 1)
        if self.shift_size:
            region = 0
            for n, s in zip(padded, self.shift_size):
                region = 2 * torch.as_tensor(region, device=x.device)[..., None]
                region = region + (torch.arange(n, device=x.device) >= n - s)
            region = windows_of(region[None, ..., None], cut, self.grid)[..., 0]
            apart = region[..., None, :, None] != region[..., None, None, :]
            logits = logits - 100.0 * apart
        mixed = (logits.softmax(-1) @ v).transpose(-2, -3).flatten(-2)
        y = map_of(getattr(self, self.names[1])(mixed), padded, cut, self.grid)
        if self.shift_size:
            y = y.roll(self.shift_size, axes)
        for axis, n in zip(axes, size):
            y = y.narrow(axis, 0, n)
        return y


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
        self.cpb_mlp = nn.Sequential(
            nn.Linear(len(self.window_size), 512),
            nn.ReLU(),
            nn.Linear(512, self.heads, bias=False),
        )

    def make_biases(self):
        self.logit_scale = nn.Parameter(torch.full((self.heads, 1, 1), math.log(10)))
        axes = [torch.arange(1.0 - w, w) * 8 / (w - 1) for w in self.window_size]
        far = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        table = far.sign() * (1 + far.abs()).log2() / 3
        self.register_buffer("relative_coords_table", table[None])

    def biases(self):
        return 16 * self.cpb_mlp(self.relative_coords_table.flatten(0, -2)).sigmoid()

    def projected(self, x):
        bias = self.qkv.bias
        if bias is not None:  # keys have none
            ones = torch.tensor([1, 0, 1], device=x.device)
            bias = bias * ones.repeat_interleave(len(bias) // 3)
        return F.linear(x, self.qkv.weight, bias)

    def compared(self, q, k):
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * scale


def relative_index(window_size):
    """A row of a table for each pair of the tokens of a window."""
    axes = torch.meshgrid(*map(torch.arange, window_size), indexing="ij")
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
    x = x.reshape(len(x), *split, -1).permute(0, *order, -1)
    return x.reshape(len(x), -1, math.prod(window_size), x.shape[-1])


def map_of(x, size, window_size, grid):
    """The map [N, *size, F] of its windows [N, windows, T, F]."""
    axes = len(window_size)
    x = x.reshape(
        len(x), *(n // w for n, w in zip(size, window_size)), *window_size, -1
    )
    order = [1 + a + side * axes for a in range(axes) for side in (grid, not grid)]
    return x.permute(0, *order, -1).reshape(len(x), *size, -1)


def without_state_bias(layer):
    """Leave a recurrent layer one vector of biases: the other is zeros for good."""
    for name in [n for n, _ in layer.named_parameters() if n.startswith("bias_hh")]:
        zeros = torch.zeros_like(getattr(layer, name))
        delattr(layer, name)
        layer.register_buffer(name, zeros, persistent=False)
    layer._flat_weights = [getattr(layer, name) for name in layer._flat_weights_names]


class OneBiasRNN(nn.RNN):
    """A recurrent layer with one vector of biases."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        without_state_bias(self)


class OneBiasLSTM(nn.LSTM):
    """An LSTM with one vector of biases for each gate."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        without_state_bias(self)


class OneBiasGRU(nn.GRU):
    """A GRU with one vector of biases for each gate."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        without_state_bias(self)


class ResetBeforeGRU(nn.Module):
    """A GRU that resets the state before it is multiplied, as in arXiv:1406.1078."""

    def __init__(self, input_size, hidden_size, biases=2, bidirectional=False):
        super().__init__()
        self.hidden_size = hidden_size
        self.directions = ("", "_reverse") if bidirectional else ("",)
        bound = hidden_size**-0.5
        shapes = {
            "weight_ih_l0": (3 * hidden_size, input_size),
            "weight_hh_l0": (3 * hidden_size, hidden_size),
        }
        shapes |= dict.fromkeys(
            ("bias_ih_l0", "bias_hh_l0")[:biases], (3 * hidden_size,)
        )
        for end in self.directions:
            for name, shape in shapes.items():
                array = torch.empty(shape).uniform_(-bound, bound)
                self.register_parameter(name + end, nn.Parameter(array))

    def forward(self, x):
        there, *back = (
            self.states(x.flip(1) if end else x, end) for end in self.directions
        )
        return torch.cat([there, *(states.flip(1) for states in back)], 2)

    def states(self, x, end):
        """The states of one direction, in its order."""
        rows = 2 * self.hidden_size
        weight_ih, weight, bias_ih, bias = (
            getattr(self, f"{name}_l0{end}", None)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        first, second = (None, None) if bias is None else (bias[:rows], bias[rows:])
        totals = F.linear(x, weight_ih, bias_ih)
        state, states = x.new_zeros(x.shape[0], self.hidden_size), []
        for total in totals.unbind(1):
            gates = torch.sigmoid(
                total[:, :rows] + F.linear(state, weight[:rows], first)
            )
            reset, update = gates.chunk(2, 1)
            new = torch.tanh(
                total[:, rows:] + F.linear(reset * state, weight[rows:], second)
            )
            state = (1 - update) * new + update * state
            states.append(state)
        return torch.stack(states, 1)


def stochastic_depth(x, p, training):
    """In training each sample is zeros with probability p, else it is scaled up."""
    if not training:
        return x
    return x * F.dropout(x.new_ones(x.shape[0], *(1,) * (x.dim() - 1)), p)


class StochasticDepth(nn.Module):
    """Drop whole samples in training."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        return stochastic_depth(x, self.p, self.training)


class Permute(nn.Module):
    """Put the axes in another order."""

    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.permute(self.dims)


def avg_pool(x, kernel_size, stride, padding=0, ceil_mode=False):
    """The mean of each window along one to three axes."""
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.dim() - 3]
    return pool(x, kernel_size, stride, padding, ceil_mode)


def padded_avg_pool(x, kernel_size, stride, sides):
    """The mean of the elements of each window that are not padding."""
    inside = F.pad(torch.ones_like(x[:1, :1]), sides)
    return avg_pool(F.pad(x, sides), kernel_size, stride) / avg_pool(
        inside, kernel_size, stride
    )


def same_avg_pool(x, kernel_size, stride, count_include_pad=True):
    """The mean of each window, of which there are ceil(size / stride) along an axis."""
    sides = same_padding(x, kernel_size, stride)
    if count_include_pad:
        return avg_pool(F.pad(x, sides), kernel_size, stride)
    return padded_avg_pool(x, kernel_size, stride, sides)


def same_max_pool(x, kernel_size, stride, dilation=1):
    """The largest element of each window, of which there are ceil(size / stride)."""
    x = F.pad(x, same_padding(x, kernel_size, stride, dilation), value=float("-inf"))
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[x.dim() - 3]
    return pool(x, kernel_size, stride, dilation=dilation)


def lp_pool(x, norm, kernel_size, stride, padding=0, ceil_mode=False, sides=None):
    """The root of the sum of powers of each window along one to three axes."""
    x = x.abs() ** norm
    x = F.pad(x, sides) if sides else x
    size = (
        math.prod(kernel_size)
        if isinstance(kernel_size, tuple)
        else kernel_size ** (x.dim() - 2)
    )
    return (avg_pool(x, kernel_size, stride, padding, ceil_mode) * size) ** (1 / norm)
