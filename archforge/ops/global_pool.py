"""Global pooling: one value per channel, the mean or the largest element of its whole map."""

from __future__ import annotations

import math
from collections.abc import Mapping

from archforge.ir import ELEMENTWISE, WHOLE, Reach, TensorType
from archforge.ops.base import INPUTS, Array, Backward, Example, Flag, Gradients, Op, require_rank
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import mean_along

__all__ = ["GlobalAvgPool", "GlobalMaxPool"]


class _GlobalPool(Op):
    """x: float[N, C, *spatial] with 1 to 3 spatial axes, which stay with extent 1 if `keep`.

    Attributes:
        keep: keeps the spatial axes, with extent 1; without it only the channels are left
    """

    keep: Flag = True

    is_idempotent = True
    examples = (
        Example({}, ((3, 4, 5),)),
        Example({"keep": False}, ((3, 4, 5),)),
        Example({}, ((2, 6),), "1-D"),
        Example({}, ((2, 3, 2, 4),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), f"`{self.kind}`")
        return TensorType((x.channels, *((1,) * len(x.spatial) if self.keep else ())))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (ELEMENTWISE, *(WHOLE,) * len(self.infer(*inputs).spatial))

    def _kept(self, y: Array) -> Array:
        """The axes of `y` that stay: without `keep` those of the batch and the channels."""
        return y if self.keep else y.reshape(y.shape[:2])


class GlobalAvgPool(_GlobalPool):
    """Mean of each channel. Source: arXiv:1312.4400, section 3.2."""

    op = "global_avg_pool"

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return self._kept(mean_along(x, tuple(range(2, x.ndim))))

    def gradient(self, back: Backward) -> Gradients:
        shape = back.inputs[0].shape
        means = back.dy.reshape(*shape[:2], *(1,) * (len(shape) - 2)) / math.prod(shape[2:])
        return Gradients((np.broadcast_to(means, shape),))


class GlobalMaxPool(_GlobalPool):
    """Largest element of each channel."""

    op = "global_max_pool"
    gradient_reads = INPUTS

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return self._kept(x.max(tuple(range(2, x.ndim)), keepdims=True))

    def gradient(self, back: Backward) -> Gradients:
        """The first of several largest elements takes it all."""
        (x,) = back.inputs
        flat = x.reshape(*x.shape[:2], -1)
        dx = np.zeros_like(flat)
        np.put_along_axis(dx, flat.argmax(-1)[..., None], back.dy.reshape(*x.shape[:2], 1), -1)
        return Gradients((dx.reshape(x.shape),))
