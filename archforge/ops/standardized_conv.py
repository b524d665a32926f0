"""Convolution with standardised weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Init, ParamDecl, TensorType
from archforge.ops.base import Array, Backward, Epsilon, Example, Gradients, PositiveReal, other_axes
from archforge.ops.conv import Convolution
from archforge.ops.lazy_numpy import np
from archforge.ops.sums import before_standardised, standardised

__all__ = ["StandardizedConv"]


class StandardizedConv(Convolution):
    """A convolution with the kernel of each output channel less its mean, over its standard deviation.

    The variance is the biased one. With `gamma` the kernels are then multiplied by it, by a trained `gain`
    float[out, 1, ...] and by 1 / sqrt(C/groups * elements of the window), as in networks without norms. MACs
    are those of the convolution. Source: arXiv:1903.10520; arXiv:2101.08692, section 4, equation 1; timm's
    StdConv2d and ScaledStdConv2d.

    Attributes:
        eps: added to a kernel's variance before its square root is taken, so that nothing is divided by 0
        gamma: factor that undoes what the activation in front takes from the variance, 1.7139588594436646
            behind a relu; null for kernels without factor and gain
    """

    op = "standardized_conv"

    eps: Epsilon = 1e-6
    gamma: Annotated[PositiveReal | None, Field(description="a number above 0, or null")] = None

    examples = (
        Example({"out": 4, "kernel": 3, "padding": 1, "stride": 2, "groups": 2}, ((4, 5, 6),)),
        Example({"out": 3, "kernel": (1, 2), "eps": 0.1, "gamma": 1.5}, ((2, 4, 3),), "scaled"),
        Example({"out": 2, "kernel": 2, "padding": "same_upper", "bias": False, "gamma": 0.5}, ((3, 4, 4),)),
        Example({"out": 2, "kernel": 3, "padding": "valid"}, ((2, 5),), "1-D"),
        Example({"out": 2, "kernel": (2, 1, 2)}, ((2, 2, 3, 3),), "3-D"),
    )

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        made = super().params(*inputs)
        if self.gamma is not None:
            gain = (self.out, *(1,) * len(inputs[0].shape))
            made["gain"] = ParamDecl(gain, "weight", Init("constant", 1.0))
        return made

    def standardized(self, params: Mapping[str, Array]) -> Array:
        """The weights of the convolution, in the shape and the dtype of `weight`."""
        kernels, factor, *_ = self._parts(params)
        return kernels * factor

    def _parts(self, params: Mapping[str, Array]) -> tuple[Array, Array, float, Array]:
        """Kernels with mean 0 and deviation 1; what each is multiplied by, float[out, 1, ...], and what of it
        is no gain; and the deviations that they had, float[out, 1, ...]."""
        weight = params["weight"]
        kernels, deviation = standardised(weight, other_axes(weight, 0), self.eps)
        if self.gamma is None:
            return kernels, np.ones_like(deviation), 1.0, deviation
        scale = self.gamma / math.sqrt(weight[0].size)
        return kernels, params["gain"] * scale, scale, deviation

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return super().reference({**params, "weight": self.standardized(params)}, *inputs)

    def gradient(self, back: Backward) -> Gradients:
        """The convolution's gradients, and on through its weights."""
        kernels, factor, scale, deviation = self._parts(back.params)
        found = super().gradient(back._replace(params={**back.params, "weight": kernels * factor}))
        if not back.of_params:
            return found
        d_weight, axes = found.params["weight"], other_axes(kernels, 0)
        params = {**found.params, "weight": before_standardised(d_weight * factor, kernels, deviation, axes)}
        if self.gamma is not None:
            d_factor = (d_weight * kernels).sum(axes, keepdims=True)
            params["gain"] = d_factor * scale
        return Gradients(found.inputs, params)
