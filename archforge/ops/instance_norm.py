"""Normalisation of each channel of each image by itself."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import ParamDecl, Reach, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Epsilon,
    Example,
    Flag,
    Gradients,
    Op,
    require_rank,
    whole_along,
)
from archforge.ops.group_norm import GroupNorm

__all__ = ["InstanceNorm"]


class InstanceNorm(Op):
    """Each channel of each image less its mean, over its standard deviation, times weight, plus bias.

    x: float[N, C, *spatial] with 1 to 3 spatial axes; weight, bias: float[C]. The statistics are those of
    the image, in training and at inference: it is `group_norm` with a group for each channel. Like
    torch.nn.InstanceNorm2d it has no weight and no bias unless they are asked for. Source: arXiv:1607.08022.

    Attributes:
        eps: added to the variance before its square root is taken, so that nothing is divided by 0
        affine: adds a trained factor and a trained bias for each channel
    """

    op = "instance_norm"
    gradient_reads = INPUTS

    eps: Epsilon = 1e-5
    affine: Flag = False

    examples = (
        Example({}, ((3, 4, 5),)),
        Example({"affine": True, "eps": 0.1}, ((3, 2, 4),)),
        Example({}, ((2, 6),), "1-D"),
        Example({"affine": True}, ((2, 3, 2, 4),), "3-D"),
    )

    def group_norm(self, channels: int) -> GroupNorm:
        """A norm of as many groups as there are channels."""
        return GroupNorm(groups=channels, eps=self.eps, affine=self.affine)

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (2, 3, 4), "`instance_norm`")
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        return self.group_norm(inputs[0].channels).params(*inputs)

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return whole_along(range(1, len(x.shape)), x)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return self.group_norm(inputs[0].shape[1]).reference(params, *inputs)

    def gradient(self, back: Backward) -> Gradients:
        return self.group_norm(back.dy.shape[1]).gradient(back)
