"""The table of this backend's kernels in float32, by kind of op. What has none of its own runs on the kernel
of its op file, which is this backend's too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from archforge.backends.numpy import channel_windows, conv, elementwise, winograd
from archforge.backends.numpy.call_memory import Scratch
from archforge.backends.numpy.epilogues import ACTIVATION_KINDS
from archforge.ir import TensorType
from archforge.ops import all_ops
from archforge.ops.base import Array, Op
from archforge.ops.conv import Conv
from archforge.plan import Kernel, Lowering

__all__ = ["LOWERINGS", "lowerings"]


def lowerings(without: frozenset[str]) -> Mapping[str, Lowering]:
    """Lowerings by kind of op, for every op that has a reference."""
    own = dict(LOWERINGS)
    if "winograd" in without:
        own["conv"] = partial(convolution, with_winograd=False)
    return {kind: _first(own[kind], reference) if kind in own else reference for kind in all_ops()}


def _first(lowering: Lowering, other: Lowering) -> Lowering:
    """A lowering that takes the second one where the first has no kernel."""
    return lambda op, *inputs: lowering(op, *inputs) or other(op, *inputs)


def convolution(op: Conv, x: TensorType, *, with_winograd: bool = True) -> Kernel:
    """A kernel for a convolution: depthwise, pointwise, Winograd's, or the general one."""
    window = op.window(x)
    if op.groups == op.out == x.channels > 1:
        return channel_windows.depthwise(op, x)
    if op.groups == 1 and window.is_pointwise(x.spatial):
        return conv.pointwise(op, x)
    if with_winograd and winograd.pays(op, x):
        return winograd.convolution(op, x)
    return conv.convolution(op, x)


def reference(op: Op, *inputs: TensorType) -> Kernel | None:
    """The kernel of the op's own file, for values with their channels last; None if the op has none."""
    if not op.has_reference:
        return None

    def run(params: Mapping[str, Array], *given: Array, out: Array, scratch: Scratch) -> None:
        y = op.reference(params, *(np.moveaxis(x, -1, 1) for x in given))
        np.copyto(out, np.moveaxis(y, 1, -1))

    return Kernel(run, is_slow=op.kind not in MOVING and not op.is_identity)


# Ops whose reference kernels only copy, which no other would do faster.
MOVING = frozenset(
    (
        *("flatten", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "reshape", "roll", "shuffle"),
        *("slice", "take"),
    )
)

LOWERINGS: Mapping[str, Lowering] = {
    **dict.fromkeys(ACTIVATION_KINDS, elementwise.activation),
    "add": elementwise.merge(np.add),
    "avg_pool": channel_windows.avg_pool,
    "bn": elementwise.batch_norm,
    "concat": elementwise.concat,
    "conv": convolution,
    "global_avg_pool": channel_windows.global_avg_pool,
    "layer_norm": elementwise.layer_norm,
    "layer_scale": elementwise.layer_scale,
    "linear": conv.linear,
    "max_pool": channel_windows.max_pool,
    "divide": elementwise.merge(np.divide),
    "multiply": elementwise.merge(np.multiply),
    "scale": elementwise.scale,
    "subtract": elementwise.merge(np.subtract),
}
