"""The table of kernels that train, by kind of op. What is missing or None runs on the op's own file."""

from __future__ import annotations

from archforge.backends.numba.training import batch_norm, conv, elementwise, pools
from archforge.backends.numba.training.kernel import TrainingLowering
from archforge.ops.activations import CLAMPS

__all__ = ["TRAINING"]

TRAINING: dict[str, TrainingLowering] = {
    **dict.fromkeys(CLAMPS, elementwise.clamp),
    **dict.fromkeys(("channel_dropout", "dropout", "stochastic_depth"), elementwise.dropout),
    "adaptive_avg_pool": pools.adaptive_avg_pool,
    "add": elementwise.add,
    "avg_pool": pools.avg_pool,
    "bn": batch_norm.batch_norm,
    "concat": elementwise.concat,
    "conv": conv.conv,
    "flatten": elementwise.flatten,
    "global_avg_pool": pools.global_pool,
    "global_max_pool": pools.global_pool,
    "identity": elementwise.identity,
    "linear": conv.linear,
    "max_pool": pools.max_pool,
}
