"""Arrays whose last axis is features: linear layers over them, and the heads of attention that share them."""

from __future__ import annotations

from archforge.ops.base import Array

__all__ = ["feature_rows", "join_heads", "plus_bias", "split_heads"]


def feature_rows(x: Array) -> Array:
    """The features of all places one below the other, float[places, F]."""
    return x.reshape(-1, x.shape[-1])


def plus_bias(x: Array, bias: Array | None) -> Array:
    """`x` and the bias of a linear layer, if it has one."""
    return x if bias is None else x + bias


def split_heads(x: Array, heads: int) -> Array:
    """The features of each head, float[*, heads, T, D] of float[*, T, heads D]."""
    return x.reshape(*x.shape[:-1], heads, -1).swapaxes(-2, -3)


def join_heads(x: Array) -> Array:
    """The features of all heads, float[*, T, heads D] of float[*, heads, T, D]."""
    together = x.swapaxes(-2, -3)
    return together.reshape(*together.shape[:-2], -1)
