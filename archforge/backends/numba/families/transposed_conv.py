"""Transposed convolutions, as one convolution for each phase of the output.

Pixels whose places are equal modulo the stride see the same places of the kernel, in reverse: each such
phase is a convolution of stride 1 over the input, written to pixels that are the stride apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from archforge.backends.numba.families.direct_conv import PackedConv, record_conv
from archforge.backends.numba.families.epilogues import ABSORBED, Ending
from archforge.backends.numba.families.map_pixels import Phase
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.runtime.tape import Params, TapeValue, aligned
from archforge.ir import TensorType
from archforge.ops.conv import Conv
from archforge.ops.window import Window
from archforge.plan import Epilogue, Kernel

if TYPE_CHECKING:
    from archforge.ops.conv_transpose import ConvTranspose

__all__ = ["PhaseAxis", "conv_transpose", "phase_window", "phases_of"]


@dataclass(frozen=True, slots=True)
class PhaseAxis:
    """A phase along one axis: every `stride`-th pixel of the output from `first` on, `size` of them, and the
    window that a convolution passes over the input for them."""

    first: int
    stride: int
    size: int
    places: tuple[int, ...]  # of the kernel, in the order in which the window sees them
    dilation: int
    before: int

    @classmethod
    def of(cls, first: int, *, size: int, kernel: int, stride: int, dilation: int, cut: int) -> PhaseAxis:
        """The phase from pixel `first` on, of an output from which `cut` pixels are cut off at the beginning.

        Output o takes input i times place k of the kernel where o + cut = i * stride + k * dilation.
        """
        at = first + cut
        places = [k for k in reversed(range(kernel)) if (at - k * dilation) % stride == 0]
        before = (places[0] * dilation - at) // stride if places else 0
        count = -(-(size - first) // stride)
        return cls(first, stride, count, tuple(places), dilation // math.gcd(stride, dilation), before)

    @property
    def reach(self) -> int:
        """Extent of the window; 1 for an empty one, since a patch holds a pixel at least."""
        return self.dilation * max(len(self.places) - 1, 0) + 1


def conv_transpose(op: ConvTranspose, x: TensorType, *, bfloat16: bool = False) -> Kernel | None:
    """A transposed convolution over one or two axes, a convolution for each phase of its output."""
    if len(x.spatial) > 2:
        return None
    phases = _phases(op, x)
    pixels = min(rows.size * columns.size for rows, columns in phases)
    layout = WeightLayout.of(Conv(out=op.out, kernel=1, groups=op.groups), x, pixels)
    layout = replace(layout, thin=False, bfloat16=bfloat16)

    def pack(params: Params) -> Params:
        """`bias`, and for each phase i the packed `weight{i}` of the places of the kernel that it sees."""
        inputs, outputs = x.channels // op.groups, op.out // op.groups
        grouped = params["weight"].reshape(op.groups, inputs, outputs, *_kernel(op, x)).swapaxes(1, 2)
        weight = grouped.reshape(op.out, inputs, *_kernel(op, x))
        packed = {"bias": layout.pack_bias(params.get("bias"))}
        for i, (rows, columns) in enumerate(phases):
            part = weight[:, :, list(rows.places)][:, :, :, list(columns.places)]
            # Where the stride leaves gaps between the kernels, a phase sees nothing and is the bias alone.
            packed[f"weight{i}"] = layout.pack({"weight": part})["weight"] if part.size else aligned((0,))
        return packed

    def run(
        params: Params, x: TapeValue, residual: TapeValue | None = None, epilogue: Epilogue | None = None
    ) -> TapeValue:
        x = x.blocked()
        ending = Ending.of(x.tape.output(op.infer(TensorType(x.shape)).shape), residual, epilogue)
        for i, (rows, columns) in enumerate(phases):
            conv = PackedConv(phase_window(rows, columns, x), layout, params[f"weight{i}"], params["bias"])
            record_conv(conv, x, ending, Phase((rows.first, columns.first), (rows.stride, columns.stride)))
        return ending.out

    return Kernel(run, pack, ABSORBED, packing=layout)


def _phases(op: ConvTranspose, x: TensorType) -> list[tuple[PhaseAxis, PhaseAxis]]:
    """The phases of the output, each along the rows and along the columns."""
    return phases_of(op.window(x), op.infer(x).spatial)


def phases_of(window: Window, output: tuple[int, ...]) -> list[tuple[PhaseAxis, PhaseAxis]]:
    """The phases of an output of one or two axes that a window lays down, each along the rows and along the
    columns; one axis is a single row."""
    lines = [
        [
            PhaseAxis.of(first, size=size, kernel=k, stride=s, dilation=d, cut=before)
            for first in range(min(s, size))
        ]
        for size, k, s, d, (before, _) in zip(
            output, window.kernel, window.stride, window.dilation, window.padding, strict=True
        )
    ]
    if len(lines) == 1:
        lines.insert(0, [PhaseAxis.of(0, size=1, kernel=1, stride=1, dilation=1, cut=0)])
    rows, columns = lines
    return list(product(rows, columns))


def _kernel(op: ConvTranspose, x: TensorType) -> tuple[int, ...]:
    """(height, width) of the kernel."""
    kernel = op.window(x).kernel
    return (1,) * (2 - len(kernel)) + kernel


def phase_window(rows: PhaseAxis, columns: PhaseAxis, x: TapeValue) -> Window2d:
    """The window that makes the pixels of a phase."""
    return Window2d(
        kernel=(len(rows.places), len(columns.places)),
        stride=(1, 1),
        dilation=(rows.dilation, columns.dilation),
        before=(rows.before, columns.before),
        reach=(rows.reach, columns.reach),
        source=x.map_size,
        output=(rows.size, columns.size),
    )
