"""Batch normalisation over 1 to 4 axes (features, 1-D, 2-D and 3-D maps)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import Init, ParamDecl, TensorType
from archforge.ops.base import (
    Array,
    Backward,
    Example,
    Flag,
    Forward,
    Gradients,
    Op,
    Rate,
    along_channels,
    other_axes,
    require_rank,
)
from archforge.ops.lazy_numpy import np

__all__ = ["BatchNorm"]


class BatchNorm(Op):
    """Each channel minus its mean, over its standard deviation, times weight, plus bias.

    x: float[N, C, *spatial] with 0 to 3 spatial axes; all parameters: float[C]. At inference the
    running statistics stand for the batch's. `momentum` is the weight of the *new* batch statistic,
    as in torch. Without `scale` there is no weight and without `center` no bias, as in keras;
    without `affine` there is neither. Source: arXiv:1502.03167.

    Attributes:
        eps: added to the variance before its square root is taken, so that nothing is divided by 0; it may
            be 0 for weights that were made so, of which no variance is 0
        momentum: weight of the newest batch in the running statistics, for training; inference does not
            depend on it
        affine: adds a trained factor and a trained bias for each channel
        scale: has the trained factor; without it `affine` adds the bias alone
        center: has the trained bias; without it `affine` is the factor alone
    """

    op = "bn"

    # Bounded, so that `bn: 64`, channels as other frameworks want them first, is refused.
    eps: Annotated[float, Field(ge=0, le=1, description="a number of 0 or more, at most 1")] = 1e-5
    momentum: Rate = 0.1
    affine: Flag = True
    scale: Flag = True
    center: Flag = True

    examples = (
        Example({}, ((3, 4, 5),)),
        Example({"eps": 1e-3, "momentum": 0.01}, ((2, 3, 3),)),
        Example({"affine": False}, ((4, 2, 2),)),
        Example({"scale": False}, ((3, 2, 4),), "bias alone"),
        Example({"center": False}, ((3, 2, 4),), "factor alone"),
        Example({}, ((6,),), "features"),
        Example({}, ((3, 7),), "1-D"),
        Example({}, ((2, 3, 2, 4),), "3-D"),
    )

    @property
    def only_parameter(self) -> str:
        """`weight` or `bias`, where one is trained without the other; else empty."""
        if not self.affine or self.scale == self.center:
            return ""
        return "weight" if self.scale else "bias"

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (1, 2, 3, 4), "`bn`")
        return x

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        shape = (inputs[0].channels,)
        ones, zeros = Init("constant", 1.0), Init("constant", 0.0)
        weight = {"weight": ParamDecl(shape, "weight", ones)} if self.affine and self.scale else {}
        bias = {"bias": ParamDecl(shape, "weight", zeros)} if self.affine and self.center else {}
        running = {
            "running_mean": ParamDecl(shape, "buffer", zeros),
            "running_var": ParamDecl(shape, "buffer", ones),
        }
        return weight | bias | running

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        along = (-1, *(1,) * (x.ndim - 2))
        deviation = np.sqrt(params["running_var"] + self.eps)
        y: Array = (x - params["running_mean"].reshape(along)) / deviation.reshape(along)
        if self.affine and self.scale:
            y = y * params["weight"].reshape(along)
        return y + params["bias"].reshape(along) if self.affine and self.center else y

    def train(self, params: Mapping[str, Array], *inputs: Array, draw: np.random.Generator) -> Forward:
        """The batch's own statistics normalise it. The running variance is of the unbiased one, over the
        number of elements less 1, as in torch; of a single element the variance is 0."""
        (x,) = inputs
        elements, mean, variance = self.moments(x)
        inverse = 1 / np.sqrt(variance + self.eps)
        normal = (x - along_channels(mean, x)) * along_channels(inverse, x)
        y = normal * along_channels(params["weight"], x) if "weight" in params else normal
        y = y + along_channels(params["bias"], x) if "bias" in params else y
        statistics = {"running_mean": mean, "running_var": variance * (elements / max(elements - 1, 1))}
        buffers = {n: params[n] + self.momentum * (new - params[n]) for n, new in statistics.items()}
        return Forward(y, (normal, inverse), buffers)

    def saved_elements(self, *inputs: TensorType) -> int:
        return inputs[0].size

    def gradient(self, back: Backward) -> Gradients:
        """Through the batch's statistics, which depend on all. Source: arXiv:1502.03167, section 3."""
        dy, (normal, inverse) = back.dy, back.saved
        axes = other_axes(dy, 1)
        sums = {"weight": (dy * normal).sum(axes), "bias": dy.sum(axes)}
        means = self.gradient_means(dy, sums["bias"], sums["weight"])
        mean_bias, mean_weight = (along_channels(mean, dy) for mean in means)
        factor = inverse * back.params["weight"] if "weight" in back.params else inverse
        dx = along_channels(factor, dy) * (dy - mean_bias - normal * mean_weight)
        return Gradients((dx,), {name: d for name, d in sums.items() if name in back.params})

    def moments(self, x: Array) -> tuple[float, Array, Array]:
        """The number of elements of a channel in a batch, their mean and their biased variance, float[C]."""
        axes = other_axes(x, 1)
        return x.size // x.shape[1], x.mean(axes), x.var(axes)

    def gradient_means(self, dy: Array, *sums: Array) -> tuple[Array, ...]:
        """Sums over a batch, float[C], divided by the number of elements of a channel."""
        elements = dy.size // dy.shape[1]
        return tuple(total / elements for total in sums)
