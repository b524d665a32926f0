"""Self-attention within the windows of a map, a whole layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from archforge.ir import WHOLE, Init, OfExtents, ParamDecl, Reach, ShapeError, TensorType, by_x
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Count,
    Example,
    Flag,
    Gradients,
    Op,
    Positive,
    PositiveReal,
    per_axis,
    require_groups,
)
from archforge.ops.features import feature_rows, join_heads, split_heads
from archforge.ops.l2_normalize import L2Normalize
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import before_softmax, softmax_along
from archforge.ops.window_positions import (
    Places,
    WindowPlaces,
    differences,
    log_coordinates,
    relative_index,
    window_places,
)

__all__ = ["APART", "UNIT", "WINDOW_NAMES", "WindowAttention"]

# The layer of queries, keys and values together, and the one behind the heads, in each family of networks.
WINDOW_NAMES: Mapping[str, tuple[str, str]] = {"swin": ("qkv", "proj"), "maxvit": ("to_qkv", "merge")}

TABLE, INDEX = "relative_position_bias_table", "relative_position_index"
COORDINATES, SCALE = "relative_coords_table", "logit_scale"
MLP = ("cpb_mlp.0.weight", "cpb_mlp.0.bias", "cpb_mlp.2.weight")
MLP_WIDTH = 512  # hidden features of the network behind the biases of Swin V2
APART = -100.0  # what is added to the logits of tokens from different ends of a shifted map
LARGEST_SCALE = math.log(100)
LARGEST_BIAS = 16.0
UNIT = L2Normalize(axis=-1)


class WindowAttention(Op):
    """Self-attention of the tokens of each window of a map, in several heads of D features side by side, with
    a trained bias for each difference of two positions.

    x: float[N, *spatial, F], a map with its channels last, on 1 to 3 axes; the output has its shape. The map
    is padded with zeros at its ends to whole windows, and rolled back by `shift_size` before it is cut into
    them; tokens that met only by that do not see each other: -100 is added to their logits. With `grid`, a
    window holds tokens from all over the map, evenly apart. For T tokens of a window,
    `relative_position_bias_table`: float[prod(2 window_size - 1), heads]; `relative_position_index`: its row
    for each pair of tokens, whole numbers that `window_size` says, [T, T] or all in a row (Swin for images);
    `qkv.weight`: float[3F, F]; `proj.weight`: float[F, F].

    With `cosine`, as in Swin V2, queries and keys have length 1, `logit_scale` float[heads, 1, 1] is the
    logarithm of what their products are multiplied by, 100 at most, keys have no bias (its numbers are stored
    but not added), and the biases are 16 sigmoid(m) for the outputs m of a small network `cpb_mlp` on the
    differences in `relative_coords_table`. MACs are those of all matrix products, on padded maps. Source:
    arXiv:2103.14030, arXiv:2111.09883, arXiv:2204.01697; torchvision's `shifted_window_attention`.

    Attributes:
        heads: number of heads, which divides the features
        window_size: tokens of a window along each axis of the map
        shift_size: positions by which windows are moved, along each axis; an axis of one window stays
        grid: a window holds every (size / window)-th position of the map, along each axis
        shrink: a window wider than the map shrinks to it; else the map is padded
        cosine: compares queries and keys by their angle, and computes the biases, as in Swin V2
        scale: factor of the products of queries and keys; null for 1 / sqrt(D)
        bias: adds a trained number to each feature of the queries, keys, values and outputs
        names: the networks whose names the parameters have: Swin's above, or MaxViT's, to_qkv and merge
    """

    op = "window_attention"
    gradient_reads = INPUTS

    heads: Positive
    window_size: Annotated[
        tuple[Positive, ...],
        Field(min_length=1, max_length=3, description="a list of positive whole numbers, one per axis"),
    ]
    shift_size: Annotated[
        Count | tuple[Count, ...],
        Field(description="a whole number, 0 or more, or a list of one per axis"),
    ] = 0
    grid: Flag = False
    shrink: Flag = False
    cosine: Flag = False
    scale: Annotated[PositiveReal | None, Field(description="a number above 0, or null")] = None
    bias: Flag = True
    names: Annotated[Literal["swin", "maxvit"], Field(description="`swin` or `maxvit`")] = "swin"

    examples = (
        Example({"heads": 2, "window_size": (2, 2)}, ((4, 2, 4),)),
        Example({"heads": 1, "window_size": (2, 3), "shift_size": 1}, ((4, 6, 2),), "shifted"),
        Example(
            {"heads": 2, "window_size": (2, 2), "shift_size": (1, 0), "bias": False}, ((3, 5, 4),), "padded"
        ),
        Example({"heads": 2, "window_size": (3, 2), "shift_size": 1}, ((2, 4, 2),), "one window high"),
        Example(
            {"heads": 2, "window_size": (2, 2), "grid": True, "names": "maxvit", "scale": 0.5}, ((4, 6, 4),)
        ),
        Example(
            {"heads": 2, "window_size": (2, 2), "shift_size": 1, "cosine": True}, ((4, 3, 4),), "Swin V2"
        ),
        Example(
            {"heads": 1, "window_size": (2, 2, 2), "shift_size": 1, "shrink": True}, ((4, 1, 3, 2),), "3-D"
        ),
        Example({"heads": 1, "window_size": (4,), "shift_size": 2}, ((8, 3),), "1-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if len(x.shape) != len(self.window_size) + 1:
            raise ShapeError(
                f"a window of {len(self.window_size)} axes is for maps with as many and the channels behind, "
                f"found {x}",
                "window_size",
                help="`permute: [1, 2, 0]` puts the channels of an image last",
            )
        if isinstance(self.shift_size, tuple) and len(self.shift_size) != len(self.window_size):
            raise ShapeError(
                f"`shift_size` has {len(self.shift_size)} values, `window_size` {len(self.window_size)}",
                "shift_size",
                code="E0404",
            )
        if any(s >= w for s, w in zip(self._shifts, self.window_size, strict=True)):
            raise ShapeError(
                "a shift is less than the window",
                "shift_size",
                help="half of the window, as Swin has it",
                code="E0404",
            )
        if self.cosine and self.scale is not None:
            raise ShapeError("with `cosine` the scale is trained", "scale", help="leave it out", code="E0404")
        if self.cosine and not all(w > 1 for w in self.window_size):
            raise ShapeError(
                "with `cosine` a window has 2 tokens or more along each axis", "window_size", code="E0404"
            )
        if self.grid and any(n % w for n, w in zip(x.shape, self.window_size, strict=False)):
            raise ShapeError(
                f"the windows of a grid must divide the map, {by_x(self.window_size)} in {x}",
                "window_size",
                code="E0402",
            )
        if self.grid and any(self._shifts):
            raise ShapeError(
                "the windows of a grid are not shifted", "shift_size", help="leave it out", code="E0404"
            )
        require_groups(self.heads, "heads", features=x.shape[-1])
        return x

    @property
    def _shifts(self) -> tuple[int, ...]:
        return per_axis(self.shift_size, len(self.window_size), "shift_size")

    @property
    def has_flat_index(self) -> bool:
        """True if the rows of all pairs are stored in one row, as torchvision's Swin for images has them."""
        return self.names == "swin" and len(self.window_size) < 3

    def cut(self, x: TensorType) -> tuple[int, ...]:
        """The tokens of a window along each axis, as this map is cut."""
        sizes = zip(x.shape, self.window_size, strict=False)
        return tuple(min(n, w) if self.shrink else w for n, w in sizes)

    def shift_of(self, x: TensorType) -> tuple[int, ...]:
        """The shift along each axis of this map."""
        sizes = zip(x.shape, self.cut(x), self._shifts, strict=False)
        return tuple(s if n > w else 0 for n, w, s in sizes)

    def places(self, x: TensorType) -> WindowPlaces:
        """The places of the windows' tokens in the map."""
        return window_places(x.shape[:-1], self.cut(x), self.shift_of(x), self.grid)

    def index(self, x: TensorType) -> Places:
        """The row of the biases for each pair of the T tokens of a window, int64[T, T].

        That of a window which shrinks is the beginning of the whole one, as torchvision has it.
        """
        tokens = math.prod(self.cut(x))
        return relative_index(self.window_size)[:tokens, :tokens]

    def apart(self, x: TensorType) -> Array | None:
        """The numbers added to the logits, float64[windows, 1, T, T], where the map is shifted."""
        regions = self.places(x).regions
        if regions is None:
            return None
        return np.where(regions[:, None, :, None] != regions[:, None, None], APART, 0.0)

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        features, tokens = x.shape[-1], math.prod(self.window_size)
        extents = differences(self.window_size)
        index = Init("index", computed=OfExtents(relative_index, self.window_size))
        made = {INDEX: ParamDecl((tokens**2,) if self.has_flat_index else (tokens, tokens), "buffer", index)}
        if self.cosine:
            coordinates = Init("computed", computed=OfExtents(log_coordinates, self.window_size))
            shape = (1, *extents, len(extents))
            made = {
                SCALE: ParamDecl((self.heads, 1, 1), "weight", Init("constant", math.log(10))),
                COORDINATES: ParamDecl(shape, "buffer", coordinates),
            } | made
        else:
            made = {TABLE: ParamDecl((math.prod(extents), self.heads), "weight", Init("normal", 0.02))} | made
        for name, out in zip(WINDOW_NAMES[self.names], (3 * features, features), strict=True):
            made[f"{name}.weight"] = ParamDecl((out, features))
            if self.bias:
                made[f"{name}.bias"] = ParamDecl((out,), "bias", Init("constant", 0.0))
        if self.cosine:
            axes = len(self.window_size)
            shapes = ((MLP_WIDTH, axes), (MLP_WIDTH,), (self.heads, MLP_WIDTH))
            made |= {
                name: ParamDecl(shape, "bias" if len(shape) == 1 else "weight", Init("uniform", 1.0, axes))
                for name, shape in zip(MLP, shapes, strict=True)
            }
        return made

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        features = x.shape[-1]
        cut = self.cut(x)
        tokens = math.prod(-(-n // w) * w for n, w in zip(x.shape, cut, strict=False))
        rows = math.prod(differences(self.window_size))
        of_biases = rows * MLP_WIDTH * (len(self.window_size) + self.heads) if self.cosine else 0
        return tokens * features * (4 * features + 2 * math.prod(cut)) + of_biases

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(inputs[0].shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return self._outside(self._run(params, x).mixed, params, x)

    def _outside(self, mixed: Array, params: Mapping[str, Array], x: Array) -> Array:
        """The map, of what the heads give float[N, windows, heads, T, D], through the layer behind them."""
        places = self.places(TensorType(x.shape[1:]))
        rows = _tokens(join_heads(mixed))[:, places.back]
        return self._linear(params, 1, rows).reshape(x.shape)

    def _linear(self, params: Mapping[str, Array], number: int, x: Array) -> Array:
        name = WINDOW_NAMES[self.names][number]
        y = x @ params[f"{name}.weight"].T
        return y + self.added_bias(params[f"{name}.bias"], number) if self.bias else y

    def added_bias(self, bias: Array, number: int) -> Array:
        """The bias of one of the two layers, as it is added: with `cosine`, none for keys."""
        if number or not self.cosine:
            return bias
        without_keys: Array = bias * np.repeat([1, 0, 1], len(bias) // 3).astype(bias.dtype)
        return without_keys

    def _run(self, params: Mapping[str, Array], x: Array) -> _WindowPass:
        type_ = TensorType(x.shape[1:])
        places = self.places(type_)
        rows = _tokens(x)
        padded = np.concatenate([rows, np.zeros_like(rows[:, :1])], axis=1)
        windows = padded[:, places.tokens]
        qkv = np.split(self._linear(params, 0, windows), 3, axis=-1)
        q, k, v = (split_heads(part, self.heads) for part in qkv)
        hidden, biases = self.biases(params)
        directions = (UNIT.reference({}, q), UNIT.reference({}, k)) if self.cosine else (q, k)
        factor = self.factor(params, q.shape[-1])
        logits = directions[0] @ directions[1].swapaxes(-1, -2) * factor
        logits = logits + biases[self.index(type_)].transpose(2, 0, 1)
        apart = self.apart(type_)
        if apart is not None:
            logits = logits + apart.astype(x.dtype)
        shares = softmax_along(logits, -1)
        return _WindowPass(windows, q, k, v, directions, hidden, biases, shares, shares @ v)

    def factor(self, params: Mapping[str, Array], width: int) -> Any:
        """The factor of products of queries and keys of so many features, a number or float[heads, 1, 1]."""
        if self.cosine:
            return np.exp(np.minimum(params[SCALE], LARGEST_SCALE))
        return width**-0.5 if self.scale is None else self.scale

    def biases(self, params: Mapping[str, Array]) -> tuple[Array, Array]:
        """The hidden features of the network that computes the biases, none without it, and the biases,
        float[R, heads]."""
        if not self.cosine:
            return params[TABLE][:0], params[TABLE]
        coordinates = params[COORDINATES].reshape(-1, len(self.window_size))
        hidden = np.maximum(coordinates @ params[MLP[0]].T + params[MLP[1]], 0)
        return hidden, LARGEST_BIAS / (1 + np.exp(-(hidden @ params[MLP[2]].T)))

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy, params = back.inputs, back.dy, back.params
        type_ = TensorType(x.shape[1:])
        places, run = self.places(type_), self._run(params, x)
        first, last = WINDOW_NAMES[self.names]
        dy = _tokens(dy)
        d_rows = np.zeros_like(_tokens(run.windows))
        d_rows[:, places.back] = dy @ params[f"{last}.weight"]
        d_mixed = split_heads(d_rows.reshape(run.windows.shape), self.heads)
        d_logits = before_softmax(d_mixed @ run.v.swapaxes(-1, -2), run.shares, -1)
        factor = self.factor(params, run.q.shape[-1])
        to_q, to_k = run.directions
        d_q, d_k = d_logits @ to_k * factor, d_logits.swapaxes(-1, -2) @ to_q * factor
        if self.cosine:
            d_q, d_k = _of_vectors(run.q, to_q, d_q), _of_vectors(run.k, to_k, d_k)
        parts = (d_q, d_k, run.shares.swapaxes(-1, -2) @ d_mixed)
        d_qkv = np.concatenate([join_heads(part) for part in parts], axis=-1)
        d_windows = d_qkv @ params[f"{first}.weight"]
        d_x = _tokens(d_windows)[:, places.back].reshape(x.shape)
        if not back.of_params:
            return Gradients((d_x,))
        d_first, d_last = feature_rows(d_qkv), feature_rows(dy)
        grads: dict[str, Array] = {
            f"{first}.weight": d_first.T @ feature_rows(run.windows),
            f"{last}.weight": d_last.T @ feature_rows(_tokens(join_heads(run.mixed))[:, places.back]),
        }
        if self.bias:
            grads |= {f"{first}.bias": self.added_bias(d_first.sum(0), 0), f"{last}.bias": d_last.sum(0)}
        grads |= self._gradients_of_logits(params, run, d_logits, self.index(type_))
        return Gradients((d_x,) if back.of_inputs else (), grads)

    def _gradients_of_logits(
        self, params: Mapping[str, Array], run: _WindowPass, d_logits: Array, index: Places
    ) -> dict[str, Array]:
        """Gradients of what is added to the logits and multiplies them."""
        of_pairs = d_logits.sum((0, 1))
        d_biases = np.zeros_like(run.biases)
        np.add.at(d_biases, index, of_pairs.transpose(1, 2, 0))
        if not self.cosine:
            return {TABLE: d_biases}
        d_out = d_biases * run.biases * (1 - run.biases / LARGEST_BIAS)
        d_hidden = d_out @ params[MLP[2]] * (run.hidden > 0)
        products = run.directions[0] @ run.directions[1].swapaxes(-1, -2)
        d_factor = (d_logits * products).sum((0, 1, 3, 4)).reshape(-1, 1, 1)
        scale = params[SCALE]
        return {
            SCALE: d_factor * np.exp(scale) * (scale <= LARGEST_SCALE),
            MLP[0]: d_hidden.T @ params[COORDINATES].reshape(-1, len(self.window_size)),
            MLP[1]: d_hidden.sum(0),
            MLP[2]: d_out.T @ run.hidden,
        }


class _WindowPass(NamedTuple):
    """Values of the way forward: windows float[N, windows, T, F]; queries, keys and values float[N,
    windows, heads, T, D]; queries and keys as they are compared; hidden features and biases of the
    differences; shares that tokens have in tokens; and what the heads give."""

    windows: Array
    q: Array
    k: Array
    v: Array
    directions: tuple[Array, Array]
    hidden: Array
    biases: Array
    shares: Array
    mixed: Array


def _tokens(x: Array) -> Array:
    """The features of all tokens of windows or of a map, float[N, tokens, F] of float[N, *, F]."""
    return x.reshape(len(x), -1, x.shape[-1])


def _of_vectors(x: Array, direction: Array, d_direction: Array) -> Array:
    """The gradient of vectors, of that of their directions."""
    (d,) = UNIT.gradient(Backward({}, (x,), direction, None, d_direction)).inputs
    return d
