"""Channel shuffle."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Reach, TensorType
from archforge.ops.base import Array, Backward, Example, Gradients, Op, Positive, require_groups, whole_along

__all__ = ["Shuffle"]


class Shuffle(Op):
    """Channels of `groups` groups dealt in turn: the first of each group, then the second of each.

    x: float[N, C, *]. Source: arXiv:1707.01083, figure 1; torch.nn.ChannelShuffle.

    Attributes:
        groups: number of groups whose channels are interleaved
    """

    op = "shuffle"

    groups: Positive

    examples = (
        Example({"groups": 2}, ((6, 2, 3),)),
        Example({"groups": 3}, ((6, 4),), "1-D"),
        Example({"groups": 4}, ((4, 2, 1, 2),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_groups(self.groups, in_channels=x.channels)
        return x

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return whole_along({0}, inputs[0])

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x.reshape(len(x), self.groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)

    def gradient(self, back: Backward) -> Gradients:
        dy = back.dy
        dealt = dy.reshape(len(dy), -1, self.groups, *dy.shape[2:])
        return Gradients((dealt.swapaxes(1, 2).reshape(dy.shape),))
