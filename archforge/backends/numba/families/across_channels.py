"""Operations over all channels of a pixel: softmax, and normalisation over channels or responses.

Each pixel's channels are copied side by side to scratch memory, since sums over them cross all blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from archforge.backends.numba.families.channel_blocks import AnyAxis, lanes_of
from archforge.backends.numba.families.channel_windows import square_sums, weighed
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.runtime.records import ACROSS, merged
from archforge.backends.numba.runtime.tape import Params, TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.ops.base import Array, resolve_axis
from archforge.plan import Kernel

if TYPE_CHECKING:
    from archforge.ops.global_response_norm import GlobalResponseNorm
    from archforge.ops.layer_norm import LayerNorm
    from archforge.ops.lrn import Lrn
    from archforge.ops.softmax import Softmax

__all__ = [
    "global_response_norm",
    "layer_norm",
    "lrn",
    "lrn_numbers",
    "pixels_back",
    "response_factors",
    "softmax",
]

CHUNK = 1 << 13  # floats of a unit


def softmax(op: Softmax, x: TensorType) -> Kernel:
    """Softmax over any axis, or its logarithm, by the kind of the op."""
    axis = resolve_axis(op.axis, x)
    return AnyAxis(lambda params, x: _record_pixels(op.kind, along(x, axis)))


def layer_norm(op: LayerNorm, x: TensorType) -> Kernel | None:
    """Layer normalisation over one axis; None for more."""
    axes = op.axes(x)
    if len(axes) > 1:
        return None

    def pack(params: Params) -> Params:
        (axis,) = axes
        ones, zeros = np.ones(x.shape[axis]), np.zeros(x.shape[axis])
        return {
            "weight": lanes_of(params.get("weight", ones)),
            "bias": lanes_of(params.get("bias", zeros)),
        }

    def run(params: Params, x: TapeValue) -> TapeValue:
        return _record_pixels("layer_norm", along(x, axes[0]), {**params, "constant": op.eps})

    return AnyAxis(run, pack, packing=op.kind if op.affine else None)


def lrn(op: Lrn, x: TensorType) -> Kernel | None:
    """Local response normalisation; None where it takes roots of numbers that may be negative."""
    if op.k <= 0 or op.alpha < 0:
        return None
    return Kernel(lambda params, x: _record_pixels("lrn", x.blocked(), lrn_numbers(op)))


def lrn_numbers(op: Lrn) -> dict[str, Any]:
    """The fields of ACROSS for the windows of a local response normalisation."""
    return {
        "before": op.size // 2,
        "size": op.size,
        "constant": op.k,
        "factor": op.alpha / op.size,
        "power": -op.beta,
    }


def global_response_norm(op: GlobalResponseNorm, x: TensorType) -> Kernel:
    """Global response normalisation: sums of squares, a factor for each channel, the product with it."""
    axis = resolve_axis(op.axis, x)

    def pack(params: Params) -> Params:
        return {name: lanes_of(array) for name, array in params.items()}

    def run(params: Params, x: TapeValue) -> TapeValue:
        x = along(x, axis)
        factors = response_factors(square_sums(x), params["weight"], op.eps)
        return weighed(x, factors.place, params["bias"], factor_image=factors.image)

    return AnyAxis(run, pack, packing=op.kind)


def response_factors(sums: TapeValue, weight: Array, eps: float) -> TapeValue:
    """Record the factors of channels from their sums of squares, for each image."""
    numbers = {"weight": weight, "constant": eps}
    return _record_pixels("responses", sums, numbers, sums.tape.temporary(sums.shape))


def pixels_back(
    name: str, x: TapeValue, dy: TapeValue, numbers: Mapping[str, Any] | None = None
) -> TapeValue:
    """Record one call of the unit `name` over all pixels of two values that lie alike, with fields of ACROSS
    that are its own."""
    given = merged({"dy": dy.place, "dy_image": dy.image}, numbers or {})
    return _record_pixels(name, x, given, x.tape.temporary(x.shape, x.axis))


def _record_pixels(
    name: str, x: TapeValue, numbers: Mapping[str, Any] | None = None, out: TapeValue | None = None
) -> TapeValue:
    """Record one call of the unit `name` over all pixels, with fields of ACROSS that are its own.

    Without `out` the result is that of the step being recorded.
    """
    out = out or x.tape.output(x.shape, x.axis)
    width = x.blocks * machine().lanes
    chunk = min(max(CHUNK // width, 1), x.pixels)
    chunks = -(-x.pixels // chunk)
    fields = merged(
        {"pixels": x.pixels, "chunk": chunk, "chunks": chunks},
        {"channels": x.channels, "blocks": x.blocks},
        {"source": x.place, "source_image": x.image},
        {"out": out.place, "out_image": out.image},
        numbers or {},
    )
    # A pixel, its gradient, what is made of it, and a window's margin.
    scratch = ((4 if "dy" in fields else 3) * width + fields.get("size", 0)) * FLOAT
    x.tape.call(UnitRecipe("across_channels", name), ACROSS, fields, x.tape.batch * chunks, scratch)
    return out
