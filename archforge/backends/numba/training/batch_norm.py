"""Batch normalisation in training: the batch's own statistics forward, and the way back through them.

Both directions read x twice. A clamp behind the norm is applied as the output is written, and on the way back
known from x again, so that nothing is kept between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.training.kernel import NodeOnTape, TrainingKernel, WayBack
from archforge.backends.numba.training.streams import ChannelStreams, gradient_fields
from archforge.ir import TensorType
from archforge.ops.activations import CLAMPS
from archforge.ops.batch_norm import BatchNorm

__all__ = ["batch_norm"]


def batch_norm(op: BatchNorm, x: TensorType) -> TrainingKernel:
    """Batch normalisation of any value."""

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        x = x.blocked()
        streams = on.saved["streams"] = ChannelStreams.of(x)
        fields = {
            "weight": on.params.get("weight", 0),
            "bias": on.params.get("bias", 0),
            "running_mean": on.params["running_mean"],
            "running_var": on.params["running_var"],
            "new_mean": on.buffers["running_mean"],
            "new_var": on.buffers["running_var"],
            "eps": op.eps,
            "momentum": op.momentum,
        }
        streams.finish("finish_moments", streams.run("moments", x=x), 2, fields)
        out = on.tape.output(x.shape)
        streams.run("normal", on.activation, x=x, out=out)
        return out

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        streams: ChannelStreams = on.saved["streams"]
        x = back.inputs[0].blocked()
        fields = gradient_fields("weight", on.gradient("weight")) | gradient_fields(
            "bias", on.gradient("bias")
        )
        sums = streams.run("normal_sums", on.activation, x=x, dy=back.dy)
        streams.finish("finish_normal_sums", sums, 2, fields)
        if not back.wanted[0]:
            return (None,)
        dx = on.tape.temporary(x.shape)
        streams.run("normal_back", on.activation, x=x, dy=back.dy, out=dx)
        return (dx,)

    return TrainingKernel(forward, backward, frozenset(CLAMPS))
