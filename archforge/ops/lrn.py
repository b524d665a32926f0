"""Local response normalisation across neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from archforge.ir import ELEMENTWISE, Reach, TensorType
from archforge.ops.base import Array, Example, Op, Positive, Real, require_rank
from archforge.ops.lazy_numpy import np

__all__ = ["Lrn"]


class Lrn(Op):
    """x / (k + alpha / size * s)^beta, with s the sum of squares over `size` channels around x's.

    An even window has one more channel before than after. Channels outside count as 0. `alpha` is
    divided by `size` as in torch and ONNX; in the AlexNet paper (section 3.3) it is not.

    Attributes:
        size: number of neighbouring channels that are summed
        alpha: weight of the mean square of the neighbours
        beta: power of the divisor
        k: constant in the divisor
    """

    op: ClassVar[str] = "lrn"

    size: Positive = 5
    alpha: Real = 1e-4
    beta: Real = 0.75
    k: Real = 1.0

    examples: ClassVar = (
        Example({}, ((7, 3, 2),)),
        Example({"size": 3, "alpha": 0.5, "beta": 0.5, "k": 2.0}, ((4, 2, 3),)),
        Example({"size": 4, "alpha": 1.0}, ((6, 2, 2),), "even"),
        Example({"size": 9, "alpha": 1.0}, ((3, 4),), "wider than the channels, 1-D"),
        Example({"size": 2, "alpha": 1.0}, ((3, 2, 2, 2),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`lrn`")
        return x

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return (Reach(self.size), *(ELEMENTWISE,) * len(x.spatial))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        channels, squares = x.shape[1], np.square(x)
        total = np.zeros_like(x)
        for offset in range(-(self.size // 2), (self.size - 1) // 2 + 1):
            first, last = max(0, -offset), min(channels, channels - offset)
            if first < last:
                total[:, first:last] += squares[:, first + offset : last + offset]
        return x / (total * (self.alpha / self.size) + self.k) ** self.beta
