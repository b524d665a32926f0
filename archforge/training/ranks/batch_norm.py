"""Batch norms whose statistics are those of the whole batch, on whatever ranks its samples are."""

from __future__ import annotations

from dataclasses import replace

from pydantic import PrivateAttr

from archforge.ir import Array, TypedGraph
from archforge.ops.base import other_axes
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.lazy_numpy import np
from archforge.training.ranks.group import RankGroup

__all__ = ["SharedBatchNorm", "with_shared_batch_norms"]


class SharedBatchNorm(BatchNorm):
    """A batch norm in training with sums over all ranks: for every batch two numbers for each channel are
    sent forward, and two on the way back.

    No spec has it, and its kind is not `bn`, so that every backend takes it from this file.
    Source: torch.nn.SyncBatchNorm.
    """

    _group: RankGroup = PrivateAttr()

    @property
    def kind(self) -> str:
        return "shared_bn"

    @classmethod
    def of(cls, op: BatchNorm, group: RankGroup) -> SharedBatchNorm:
        """The shared form of a batch norm."""
        made = cls(**op.attributes())
        made._group = group
        return made

    def moments(self, x: Array) -> tuple[float, Array, Array]:
        axes = other_axes(x, 1)
        own = x.sum(axes, dtype=np.float64), np.square(x, dtype=np.float64).sum(axes)
        elements, total, squares = self._over_ranks(x, *own)
        mean = total / elements
        variance = np.maximum(squares / elements - np.square(mean), 0)
        return elements, mean.astype(x.dtype), variance.astype(x.dtype)

    def gradient_means(self, dy: Array, *sums: Array) -> tuple[Array, ...]:
        elements, *totals = self._over_ranks(dy, *sums)
        return tuple((total / elements).astype(dy.dtype) for total in totals)

    def _over_ranks(self, x: Array, first: Array, second: Array) -> tuple[float, Array, Array]:
        """The number of elements of a channel, and the sums of two numbers for each, over all ranks."""
        elements = [x.size // x.shape[1]]
        found = self._group.sum(np.concatenate([elements, first, second], dtype=np.float64))
        total_first, total_second = np.split(found[1:], 2)
        return float(found[0]), total_first, total_second


def with_shared_batch_norms(typed: TypedGraph, group: RankGroup) -> TypedGraph:
    """The graph with the shared form of each batch norm."""
    nodes = tuple(
        replace(node, op=SharedBatchNorm.of(node.op, group)) if isinstance(node.op, BatchNorm) else node
        for node in typed.nodes
    )
    return replace(typed, graph=replace(typed.graph, nodes=nodes))
