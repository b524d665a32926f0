"""The table of kernels that train, by kind of op. What is missing or None runs on the op's own file."""

from __future__ import annotations

from archforge.backends.numba.families.epilogues import ACTIVATIONS
from archforge.backends.numba.training import across_channels, batch_norm, conv, elementwise, pools
from archforge.backends.numba.training.kernel import TrainingLowering
from archforge.ops.activations import CLAMPS

__all__ = ["TRAINING"]

TRAINING: dict[str, TrainingLowering] = {
    **dict.fromkeys(ACTIVATIONS, elementwise.activation),
    **dict.fromkeys(CLAMPS, elementwise.clamp),
    **dict.fromkeys(("channel_dropout", "dropout", "stochastic_depth"), elementwise.dropout),
    **dict.fromkeys(("add", "subtract"), elementwise.merge),
    "adaptive_avg_pool": pools.adaptive_avg_pool,
    "avg_pool": pools.avg_pool,
    "bn": batch_norm.batch_norm,
    "concat": elementwise.concat,
    "conv": conv.conv,
    "conv_transpose": conv.conv_transpose,
    "flatten": elementwise.flatten,
    "global_avg_pool": pools.global_pool,
    "global_max_pool": pools.global_pool,
    "global_response_norm": across_channels.global_response_norm,
    "identity": elementwise.identity,
    "layer_scale": elementwise.layer_scale,
    "linear": conv.linear,
    "layer_norm": across_channels.layer_norm,
    "log_softmax": across_channels.softmax,
    "lrn": across_channels.lrn,
    "max_pool": pools.max_pool,
    "multiply": elementwise.multiply,
    "pad": elementwise.pad,
    "permute": elementwise.permute,
    "reshape": elementwise.reshape,
    "scale": elementwise.scale,
    "shuffle": elementwise.shuffle,
    "slice": elementwise.slice_,
    "softmax": across_channels.softmax,
}
