"""A constant that each element is multiplied by or that is added, or one trained factor per channel."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.ir import Init, ParamDecl, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Example,
    Flag,
    Gradients,
    Op,
    Real,
    along_channels,
    other_axes,
)

__all__ = ["LayerScale", "Offset", "Scale"]


class Scale(Op):
    """x * factor.

    Attributes:
        factor: number that each element is multiplied by
    """

    op = "scale"

    factor: Real

    examples = (Example({"factor": 0.17}, ((3, 4, 5),)), Example({"factor": -2.0}, ((6,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return inputs[0] * self.factor

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy * self.factor,))


class Offset(Op):
    """x + number.

    Attributes:
        number: what is added to each element
    """

    op = "offset"

    number: Real

    examples = (Example({"number": 1.0}, ((3, 4, 5),)), Example({"number": -0.5}, ((6,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return inputs[0] + self.number

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((back.dy,))


class LayerScale(Op):
    """Each channel times a trained factor that starts at `init`. Source: arXiv:2103.17239.

    Its one parameter is called like the node itself: float[C, 1, ...] with an axis of extent 1 for
    each spatial axis, as torchvision stores it, or float[C], as timm does, without `keep`.

    Attributes:
        init: value from which the factors are trained
        keep: stores the factors with an axis of extent 1 for each spatial axis, as torchvision; without it as
            one vector, as timm
    """

    op = "layer_scale"
    gradient_reads = INPUTS

    init: Real = 1e-6
    keep: Flag = True

    examples = (
        Example({}, ((3, 4, 5),)),
        Example({"init": 0.1, "keep": False}, ((3, 4, 5),)),
        Example({}, ((6,),)),
    )

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        (x,) = inputs
        ones = (1,) * len(x.spatial) if self.keep else ()
        return {"": ParamDecl((x.channels, *ones), "weight", Init("constant", self.init))}

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x * along_channels(params[""], x)

    def gradient(self, back: Backward) -> Gradients:
        (x,), dy, factors = back.inputs, back.dy, back.params[""]
        dfactors = (dy * x).sum(other_axes(x, 1)).reshape(factors.shape)
        return Gradients((dy * along_channels(factors, x),), {"": dfactors})
