"""Operations over all channels of a pixel in training: softmax, and normalisation over channels or responses.

Forward is the kernel of inference, whose factors and summands are the parameters where they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from archforge.backends.numba.families import across_channels
from archforge.backends.numba.families.across_channels import lrn_numbers, pixels_back
from archforge.backends.numba.families.channel_windows import square_sums, weighed
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.runtime.tape import TapeValue, aligned
from archforge.backends.numba.training.kernel import NodeOnTape, TrainingKernel, WayBack, as_inferred
from archforge.backends.numba.training.streams import channel_gradient, products_of_maps
from archforge.ir import TensorType
from archforge.ops.base import resolve_axis
from archforge.ops.global_response_norm import GlobalResponseNorm
from archforge.ops.layer_norm import LayerNorm
from archforge.ops.lrn import Lrn
from archforge.ops.softmax import Softmax

__all__ = ["global_response_norm", "layer_norm", "lrn", "softmax"]


def softmax(op: Softmax, x: TensorType) -> TrainingKernel:
    """Softmax over any axis, or its logarithm, by the kind of the op."""
    axis = resolve_axis(op.axis, x)

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        return (pixels_back(f"{op.kind}_back", along(back.output, axis), along(back.dy, axis)),)

    return TrainingKernel(as_inferred(across_channels.softmax(op, x)), backward)


def layer_norm(op: LayerNorm, x: TensorType) -> TrainingKernel | None:
    """Layer normalisation over one axis; None for more."""
    kernel = across_channels.layer_norm(op, x)
    if kernel is None:
        return None
    run, (axis,) = kernel.run, op.axes(x)
    plain = {"weight": aligned((x.shape[axis],)), "bias": aligned((x.shape[axis],))}
    plain["weight"][:] = 1

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        made: TapeValue = run(on.params if op.affine else plain, x)
        return made

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        x, dy = along(back.inputs[0], axis), along(back.dy, axis)
        weight = on.gradient("weight")
        if weight is not None:
            channel_gradient(weight, dy, run(plain, x))
        channel_gradient(on.gradient("bias"), dy)
        if not back.wanted[0]:
            return (None,)
        params = on.params if op.affine else plain
        return (pixels_back("layer_norm_back", x, dy, {"weight": params["weight"], "constant": op.eps}),)

    return TrainingKernel(forward, backward)


def lrn(op: Lrn, x: TensorType) -> TrainingKernel | None:
    """Local response normalisation; None where it takes roots of numbers that may be negative."""
    kernel = across_channels.lrn(op, x)
    if kernel is None:
        return None

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        return (pixels_back("lrn_back", back.inputs[0].blocked(), back.dy, lrn_numbers(op)),)

    return TrainingKernel(as_inferred(kernel), backward)


def global_response_norm(op: GlobalResponseNorm, x: TensorType) -> TrainingKernel:
    """Global response normalisation. The gradient of x is dy times a factor plus x times another, each for a
    channel of an image."""
    axis = resolve_axis(op.axis, x)

    def backward(on: NodeOnTape, back: WayBack) -> Sequence[TapeValue | None]:
        x, dy = along(back.inputs[0], axis), along(back.dy, axis)
        sums = square_sums(x)
        products = products_of_maps(x, dy, sums.shape)
        channel_gradient(on.gradient("bias"), dy)
        responses = pixels_back("response_products", sums, products, {"constant": op.eps})
        channel_gradient(on.gradient("weight"), responses)
        if not back.wanted[0]:
            return (None,)
        numbers = {"weight": on.params["weight"], "constant": op.eps}
        of_x = pixels_back("responses_back", sums, products, numbers)
        factors = across_channels.response_factors(sums, on.params["weight"], op.eps)
        more = weighed(x, of_x.place, factor_image=of_x.image)
        return (weighed(dy, factors.place, residual=more, factor_image=factors.image),)

    return TrainingKernel(as_inferred(across_channels.global_response_norm(op, x)), backward)
