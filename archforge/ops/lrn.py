"""Local response normalisation across neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import ELEMENTWISE, Reach, TensorType
from archforge.ops.base import INPUTS, Array, Backward, Example, Gradients, Op, Positive, Real, require_rank
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

    op = "lrn"
    gradient_reads = INPUTS

    size: Positive = 5
    alpha: Real = 1e-4
    beta: Real = 0.75
    k: Real = 1.0

    examples = (
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
        return x / self._divisor(x) ** self.beta

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        divisor = self._divisor(x)
        # A channel is in the windows of those that see it: offsets are the other way round.
        weighed = dy * x * divisor ** (-self.beta - 1)
        shared = _sums(weighed, range(-((self.size - 1) // 2), self.size // 2 + 1))
        return Gradients((dy * divisor**-self.beta - 2 * self.alpha * self.beta / self.size * x * shared,))

    def _divisor(self, x: Array) -> Array:
        """The divisor of `x` before it is raised to the power of beta."""
        total = _sums(np.square(x), range(-(self.size // 2), (self.size - 1) // 2 + 1))
        return total * (self.alpha / self.size) + self.k


def _sums(x: Array, offsets: range) -> Array:
    """Sum over the channels that lie `offsets` from each channel of `x`; those outside count as 0."""
    channels, total = x.shape[1], np.zeros_like(x)
    for offset in offsets:
        first, last = max(0, -offset), min(channels, channels - offset)
        if first < last:
            total[:, first:last] += x[:, first + offset : last + offset]
    return total
