"""Normalisation of each image by itself, by groups of channels."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import WHOLE, Init, ParamDecl, Reach, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Epsilon,
    Example,
    Flag,
    Gradients,
    Op,
    Positive,
    along_channels,
    other_axes,
    require_groups,
    require_rank,
)
from archforge.ops.sums import before_standardised, standardised

__all__ = ["GroupNorm"]


class GroupNorm(Op):
    """Each group of channels less its mean over the map, over its deviation, times weight, plus bias.

    x: float[N, C, *spatial] with 0 to 3 spatial axes; weight, bias: float[C]. Group i of g begins at channel
    i * C / g. One group normalises all of an image together; a group for each channel is `instance_norm`. The
    variance is the biased one. Source: arXiv:1803.08494; torch.nn.GroupNorm.

    Attributes:
        groups: number of groups of channels
        eps: added to the variance before its square root is taken, so that nothing is divided by 0
        affine: adds a trained factor and a trained bias for each channel
    """

    op = "group_norm"
    gradient_reads = INPUTS

    groups: Positive
    eps: Epsilon = 1e-5
    affine: Flag = True

    examples = (
        Example({"groups": 2}, ((6, 3, 4),)),
        Example({"groups": 1, "eps": 0.1}, ((3, 2, 3),), "everything together"),
        Example({"groups": 3, "affine": False}, ((6, 2, 2),)),
        Example({"groups": 2}, ((8,),), "features"),
        Example({"groups": 2}, ((4, 5),), "1-D"),
        Example({"groups": 2}, ((4, 2, 3, 2),), "3-D"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (1, 2, 3, 4), "`group_norm`")
        require_groups(self.groups, in_channels=x.channels)
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        shape = (inputs[0].channels,)
        if not self.affine:
            return {}
        return {
            "weight": ParamDecl(shape, "weight", Init("constant", 1.0)),
            "bias": ParamDecl(shape, "weight", Init("constant", 0.0)),
        }

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(inputs[0].shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        normal, _ = self._normal(x)
        y = normal.reshape(x.shape)
        if self.affine:
            y = y * along_channels(params["weight"], x) + along_channels(params["bias"], x)
        return y

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Each group normalised, float[N, groups, elements], and its deviation, float[N, groups, 1]."""
        return standardised(x.reshape(len(x), self.groups, -1), 2, self.eps)

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy = back.inputs, back.dy
        normal, deviation = self._normal(x)
        params = {}
        if self.affine:
            others = other_axes(x, 1)
            params = {"weight": (dy * normal.reshape(x.shape)).sum(others), "bias": dy.sum(others)}
            dy = dy * along_channels(back.params["weight"], x)
        dx = before_standardised(dy.reshape(normal.shape), normal, deviation, 2)
        return Gradients((dx.reshape(x.shape),), params)
