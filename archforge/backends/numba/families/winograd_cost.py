"""Winograd forms for a convolution: those that can compute it, and the one expected to be fastest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.winograd_forms import WinogradAxis, WinogradForm
from archforge.ir import TensorType
from archforge.ops.conv import Conv

__all__ = ["expected_form", "possible_forms", "trained_form"]

# Outputs of a tile by the taps of an axis, for kernels of two axes and of one: as many as keep the rounding
# error near that of F(4x4, 3x3).
SQUARE = {2: (3,), 3: (2, 4), 4: (3,), 5: (2,)}
SINGLE = {1: (1,), 2: (3, 5), 3: (4, 6), 4: (3, 5), 5: (4, 6), 6: (5,), 7: (4, 6)}

# Of one core, for the choice: vector multiply-adds in a cycle, cycles of a transform for each vector that it
# reads or writes, and bytes of weights in a cycle from beyond the L2 cache.
MULTIPLY_ADDS, VECTOR_CYCLES, BYTES_PER_CYCLE = 1.8, 3.0, 8.0
# How many times as many multiply-adds a direct convolution makes in bfloat16. Measured on Zen 4 it is 1.9, of
# fewer in float32 than the above; with 1.2 to 1.7 the choices for the ResNets are the faster ones there.
BFLOAT16 = 1.5


def possible_forms(op: Conv, x: TensorType) -> Iterator[WinogradForm]:
    """The forms that can compute a convolution; none where Winograd's method cannot."""
    window = op.window(x)
    ones = (1,) * len(window.kernel)
    thin = x.channels <= machine().lanes // 2
    if op.groups > 1 or thin or len(ones) != 2 or (window.stride, window.dilation) != (ones, ones):
        return
    rows, columns = window.kernel
    if rows == columns == 1:
        return
    table = SINGLE if 1 in (rows, columns) else SQUARE
    for height, width in product(table.get(rows, ()), table.get(columns, ())):
        yield WinogradForm(WinogradAxis(height, rows), WinogradAxis(width, columns))


def expected_form(op: Conv, x: TensorType, *, bfloat16: bool = False) -> WinogradForm | None:
    """The form that is expected to be fastest for one image, None if the direct convolution is, or that in
    `bfloat16`.

    The estimate counts the cycles of products and transforms, and those of reading more weights.
    """
    return _cheapest(op, x, images=1, packed=0, speedup=BFLOAT16 if bfloat16 else 1.0)


def trained_form(op: Conv, x: TensorType, images: int) -> WinogradForm | None:
    """The form that is expected to be fastest for so many images, for which the weights are transformed,
    written and read again; None if the direct convolution is."""
    return _cheapest(op, x, images=images, packed=2)


def _cheapest(
    op: Conv, x: TensorType, *, images: int, packed: int, speedup: float = 1.0
) -> WinogradForm | None:
    """The form of the fewest cycles, whose transformed weights go to and from memory `packed` times more;
    None if the direct convolution, with `speedup` times the multiply-adds in a cycle, takes fewer."""
    candidates = [*possible_forms(op, x)]
    if not candidates:
        return None
    height, width = op.infer(x).spatial
    blocks_in, blocks_out = blocks_of(x.channels), blocks_of(op.out)
    pairs = blocks_in * machine().lanes * blocks_out  # vectors of weights for one place of the kernel
    taps = math.prod(op.window(x).kernel)

    def cycles(form: WinogradForm) -> float:
        tiles = images * -(-height // form.rows.outputs) * -(-width // form.columns.outputs)
        products = form.frequencies * tiles * pairs / MULTIPLY_ADDS
        vectors = blocks_in * 2 * form.frequencies + blocks_out * (form.frequencies + form.outputs)
        passes = form.frequencies - taps + packed * form.frequencies
        weights = passes * pairs * machine().vector / BYTES_PER_CYCLE
        return products + tiles * vectors * VECTOR_CYCLES + weights

    direct = taps * images * height * width * pairs / (MULTIPLY_ADDS * speedup)
    best = min(candidates, key=cycles)
    return best if cycles(best) < direct else None
