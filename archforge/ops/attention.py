"""Scaled dot-product self-attention, a whole layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from archforge.ir import Init, ParamDecl, Reach, ShapeError, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Example,
    Flag,
    Gradients,
    Op,
    Positive,
    require_groups,
    whole_along,
)
from archforge.ops.features import feature_rows, join_heads, plus_bias, split_heads
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import before_softmax, softmax_along

__all__ = ["ATTENTION_NAMES", "Attention"]

# The matrix and the bias of queries, keys and values together, then those behind the heads, in each library.
ATTENTION_NAMES: Mapping[str, tuple[str, str, str, str]] = {
    "torch": ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"),
    "timm": ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias"),
}


class Attention(Op):
    """Each token becomes a mean of the values of all tokens, weighed by softmax(q k^T / sqrt(D)) for its
    query q and their keys k, in several heads of D features side by side; then a linear layer joins them.

    x: float[N, *, T, F], T tokens of F features; in_proj_weight: float[3F, F], the rows of all queries, then
    of keys, then of values; in_proj_bias: float[3F]; out_proj.weight: float[F, F]; out_proj.bias: float[F].
    MACs are those of the two linear layers and of both products of tokens with tokens, 2 T T F. Source:
    arXiv:1706.03762, section 3.2; torch.nn.MultiheadAttention with `batch_first`.

    Attributes:
        heads: number of heads, which divides the features
        bias: adds a trained number to each feature of the queries, keys, values and outputs
        names: the library whose names the parameters have: torch's above, or timm's, qkv and proj
    """

    op = "attention"
    gradient_reads = INPUTS

    heads: Positive
    bias: Flag = True
    names: Annotated[Literal["torch", "timm"], Field(description="`torch` or `timm`")] = "torch"

    examples = (
        Example({"heads": 2}, ((3, 4),)),
        Example({"heads": 1, "bias": False, "names": "timm"}, ((5, 2),)),
        Example({"heads": 2, "names": "timm"}, ((2, 4, 6),), "windows of tokens"),
        Example({"heads": 3}, ((1, 6),), "one token"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if len(x.shape) < 2:
            raise ShapeError(
                f"`attention` takes (tokens, features), found {x}",
                help="`reshape` to the channels and the positions, then `permute: [1, 0]`",
            )
        require_groups(self.heads, "heads", features=x.shape[-1])
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        features, zeros = x.shape[-1], Init("constant", 0.0)
        made = (
            # Glorot's bound for a matrix of 3F outputs and F inputs.
            ParamDecl((3 * features, features), "weight", Init("uniform", math.sqrt(6 / 4))),
            ParamDecl((3 * features,), "bias", zeros),
            ParamDecl((features, features)),
            ParamDecl((features,), "bias", zeros),
        )
        named = dict(zip(ATTENTION_NAMES[self.names], made, strict=True))
        return {name: decl for name, decl in named.items() if self.bias or decl.role != "bias"}

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        tokens, features = x.shape[-2:]
        return x.size * (4 * features + 2 * tokens)

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        axes = len(x.shape)
        return whole_along({axes - 2, axes - 1}, x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        mixed = join_heads(self._mixed(params, x)[0])
        _, _, weight, bias = self._own(params)
        return plus_bias(mixed @ weight.T, bias)

    def _own(self, params: Mapping[str, Array]) -> tuple[Array, Array | None, Array, Array | None]:
        """Matrix and bias in front of the heads, and behind them."""
        first, first_bias, last, last_bias = ATTENTION_NAMES[self.names]
        return params[first], params.get(first_bias), params[last], params.get(last_bias)

    def _mixed(self, params: Mapping[str, Array], x: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Outputs of the heads, their queries, keys and values float[N, *, heads, T, D], and the shares that
        tokens have in tokens float[N, *, heads, T, T]."""
        weight, bias, _, _ = self._own(params)
        qkv = np.split(plus_bias(x @ weight.T, bias), 3, axis=-1)
        q, k, v = (split_heads(part, self.heads) for part in qkv)
        logits = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]))
        shares = softmax_along(logits, -1)
        return shares @ v, q, k, v, shares

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        in_weight, _, out_weight, _ = self._own(back.params)
        mixed, q, k, v, shares = self._mixed(back.params, x)
        dmixed = split_heads(dy @ out_weight, self.heads)
        dlogits = before_softmax(dmixed @ v.swapaxes(-1, -2), shares, -1) / math.sqrt(q.shape[-1])
        parts = (dlogits @ k, dlogits.swapaxes(-1, -2) @ q, shares.swapaxes(-1, -2) @ dmixed)
        dqkv = np.concatenate([join_heads(part) for part in parts], axis=-1)
        params = {}
        if back.of_params:
            names = ATTENTION_NAMES[self.names]
            d_first, d_last = feature_rows(dqkv), feature_rows(dy)
            params = {
                names[0]: d_first.T @ feature_rows(x),
                names[2]: d_last.T @ feature_rows(join_heads(mixed)),
            }
            if self.bias:
                params |= {names[1]: d_first.sum(0), names[3]: d_last.sum(0)}
        return Gradients((dqkv @ in_weight,) if back.of_inputs else (), params)
