"""Convolutions and linear layers in training: forward by the kernels of inference on weights packed in each
step, data gradients by the same kernels on transposed weights, weight gradients by their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from archforge.backends.numba.families import winograd, winograd_cost
from archforge.backends.numba.families.channel_windows import depthwise, record_depthwise
from archforge.backends.numba.families.direct_conv import PackedConv, record_conv
from archforge.backends.numba.families.epilogues import Ending
from archforge.backends.numba.families.map_pixels import Phase
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.families.transposed_conv import PhaseAxis, phase_window, phases_of
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.runtime.tape import TapeValue
from archforge.backends.numba.training.kernel import GradientArray, NodeOnTape, TrainingKernel, WayBack
from archforge.backends.numba.training.packing import (
    DenseWeights,
    packed_bias,
    packed_depthwise,
    packed_frequencies,
    packed_weights,
)
from archforge.backends.numba.training.streams import gradient_before
from archforge.backends.numba.training.weight_gradient import depthwise_weight_gradient, weight_gradient
from archforge.backends.winograd_forms import WinogradForm
from archforge.ir import TensorType
from archforge.ops.activations import CLAMPS
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.conv_transpose import ConvTranspose
from archforge.ops.linear import Linear
from archforge.plan import Epilogue

__all__ = ["conv", "conv_transpose", "linear"]


def conv(op: Conv, x: TensorType) -> TrainingKernel | None:
    """A convolution over one or two axes."""
    window = Window2d.of(op.window(x), x)
    if window is None:
        return None
    if op.groups == op.out == x.channels > 1:
        return _depthwise(op, x, window)
    return _mixing(op, x)


def _depthwise(op: Conv, x: TensorType, window: Window2d) -> TrainingKernel | None:
    """A convolution of each channel by itself; None where windows leave gaps between them."""
    phases = phases_of(op.window(x), x.spatial)
    kernel = depthwise(op, x)
    if kernel is None or not all(rows.places and columns.places for rows, columns in phases):
        return None
    run = kernel.run

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        params = {
            "weight": packed_depthwise(on.tape, op.out, DenseWeights.forward(on.params["weight"], op.groups)),
            "bias": packed_bias(on.tape, op.out, on.params.get("bias")),
        }
        made: TapeValue = run(params, x, None, Epilogue(activation=on.activation))
        return made

    def backward(on: NodeOnTape, way: WayBack) -> Sequence[TapeValue | None]:
        dy = gradient_before(on.activation, way.output, way.dy, on.gradient("bias"))
        depthwise_weight_gradient(window, way.inputs[0], dy, on.gradient("weight"))
        if not way.wanted[0]:
            return (None,)
        dense = DenseWeights.forward(on.params["weight"], op.groups)
        ending = Ending.of(on.tape.temporary(x.shape), way.sums[0])
        for rows, columns in phases:
            weight = packed_depthwise(on.tape, op.out, dense.back(_places(rows, columns, window)))
            phase = Phase((rows.first, columns.first), (rows.stride, columns.stride))
            record_depthwise(phase_window(rows, columns, dy), weight, dy, ending, phase)
        return (ending.out,)

    return TrainingKernel(forward, backward, frozenset(CLAMPS), adds=True)


def _places(rows: PhaseAxis, columns: PhaseAxis, window: Window2d) -> list[int]:
    """The places of the kernel that a phase sees, in its order."""
    return [k * window.kernel[1] + i for k in rows.places for i in columns.places]


@dataclass(frozen=True)
class MixingConv:
    """A convolution from one map to another that mixes channels, whose weights also lead back; a transposed
    one leads back forward."""

    op: Conv
    x: TensorType

    @cached_property
    def y(self) -> TensorType:
        """The type of the other map."""
        return self.op.infer(self.x)

    @cached_property
    def window(self) -> Window2d:
        """The window over the first map, of one or two axes."""
        window = Window2d.of(self.op.window(self.x), self.x)
        assert window is not None
        return window

    @cached_property
    def layout(self) -> WeightLayout:
        """The layout of the weights on the way across."""
        window = self.window
        pixels = math.prod(window.output) if window.is_pointwise else window.output[1]
        return WeightLayout.of(self.op, self.x, pixels)

    @cached_property
    def transposed(self) -> Conv:
        """The convolution whose weights have outputs and inputs exchanged."""
        reach = tuple(r - 1 for r in self.op.window(self.x).reach)
        return self.op.model_copy(update={"out": self.x.channels, "padding": reach, "bias": False})

    def across(self, weight: Array, bias: Array | None, x: TapeValue, ending: Ending) -> TapeValue:
        """Record the convolution."""
        form = winograd_cost.trained_form(self.op, self.x, x.tape.images)
        dense = DenseWeights.forward(weight, self.op.groups)
        return _record(form, self.window, self.layout, dense, bias, x, ending)

    def back(self, weight: Array, bias: Array | None, y: TapeValue, ending: Ending) -> TapeValue:
        """Record the way back, a convolution for each phase of the first map."""
        phases = phases_of(self.op.window(self.x), self.x.spatial)
        least = min(rows.size * columns.size for rows, columns in phases)
        layout = replace(WeightLayout.of(self.transposed, self.y, least), thin=False)
        form = winograd_cost.trained_form(self.transposed, self.y, y.tape.images)
        dense = DenseWeights.forward(weight, self.op.groups)
        for rows, columns in phases:
            weights = dense.back(_places(rows, columns, self.window))
            phase = Phase((rows.first, columns.first), (rows.stride, columns.stride))
            seen = phase_window(rows, columns, y)
            _record(form, seen, layout, weights, bias, y, ending, phase if len(phases) > 1 else None)
        return ending.out

    def weight_gradient(self, x: TapeValue, y: TapeValue, into: GradientArray | None) -> None:
        """Record the gradient of the weights, from values of both maps, one of which is a gradient."""
        weight_gradient(self.window, self.layout, x, y, into)


def _mixing(op: Conv, x: TensorType) -> TrainingKernel:
    """A convolution that mixes channels."""
    conv = MixingConv(op, x)

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        ending = Ending.of(on.tape.output(conv.y.shape), None, Epilogue(activation=on.activation))
        return conv.across(on.params["weight"], on.params.get("bias"), x, ending)

    def backward(on: NodeOnTape, way: WayBack) -> Sequence[TapeValue | None]:
        dy = gradient_before(on.activation, way.output, way.dy, on.gradient("bias"))
        conv.weight_gradient(way.inputs[0], dy, on.gradient("weight"))
        if not way.wanted[0]:
            return (None,)
        ending = Ending.of(on.tape.temporary(x.shape), way.sums[0])
        return (conv.back(on.params["weight"], None, dy, ending),)

    return TrainingKernel(forward, backward, frozenset(CLAMPS), adds=True)


def conv_transpose(op: ConvTranspose, x: TensorType) -> TrainingKernel | None:
    """A transposed convolution over one or two axes: forward is the way back through a convolution."""
    if len(x.spatial) > 2:
        return None
    window, y = op.window(x), op.infer(x)
    attributes = {"kernel": window.kernel, "stride": window.stride, "dilation": window.dilation}
    adjoint = Conv(out=x.channels, padding=window.padding, groups=op.groups, bias=False, **attributes)
    conv = MixingConv(adjoint, y)
    if conv.y != x:  # the output was made larger than the convolution sees
        return None

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        ending = Ending.of(on.tape.output(y.shape), None, Epilogue(activation=on.activation))
        return conv.back(on.params["weight"], on.params.get("bias"), x.blocked(), ending)

    def backward(on: NodeOnTape, way: WayBack) -> Sequence[TapeValue | None]:
        dy = gradient_before(on.activation, way.output, way.dy, on.gradient("bias"))
        conv.weight_gradient(dy, way.inputs[0].blocked(), on.gradient("weight"))
        if not way.wanted[0]:
            return (None,)
        ending = Ending.of(on.tape.temporary(x.shape), way.sums[0])
        return (conv.across(on.params["weight"], None, dy, ending),)

    return TrainingKernel(forward, backward, frozenset(CLAMPS), adds=True)


def _record(
    form: WinogradForm | None,
    window: Window2d,
    layout: WeightLayout,
    dense: DenseWeights,
    bias: Array | None,
    x: TapeValue,
    ending: Ending,
    phase: Phase | None = None,
) -> TapeValue:
    """Record the packing of weights, and a convolution with them by a form of Winograd's or directly."""
    if form is None:
        weight = packed_weights(x.tape, layout, dense)
        conv = PackedConv(window, layout, weight, packed_bias(x.tape, layout.outputs, bias))
        return record_conv(conv, x, ending, phase)
    whole = WeightLayout.of_products(layout.inputs, layout.outputs)
    weight = packed_frequencies(x.tape, whole, form, dense)
    params = {"weight": weight, "bias": packed_bias(x.tape, whole.outputs, bias)}
    return winograd.record_tiles(form, window, whole, params, x, ending)


def linear(op: Linear, x: TensorType) -> TrainingKernel:
    """A linear layer over any axis, as a pointwise convolution of what lies in blocks of its features."""
    axis = op.feature_axis(x)
    features, pixels = x.shape[axis], x.size // x.shape[axis]
    shape = op.infer(x).shape
    layout, back = WeightLayout.of_products(features, op.out), WeightLayout.of_products(op.out, features)
    window = Window2d.of_one_pixel(pixels)

    def forward(on: NodeOnTape, x: TapeValue) -> TapeValue:
        seen = along(x, axis)
        on.saved["x"] = x, seen
        weight = packed_weights(on.tape, layout, DenseWeights.forward(on.params["weight"], 1))
        bias = packed_bias(on.tape, op.out, on.params.get("bias"))
        ending = Ending.of(on.tape.output(shape, axis), None, Epilogue(activation=on.activation))
        return record_conv(PackedConv(window, layout, weight, bias), seen, ending)

    def backward(on: NodeOnTape, way: WayBack) -> Sequence[TapeValue | None]:
        given, x = on.saved["x"]
        if way.inputs[0] is not given:  # it was computed again, and this layer was not
            x = along(way.inputs[0], axis)
        output, dy = (along(value, axis) for value in (way.output, way.dy))
        dy = gradient_before(on.activation, output, dy, on.gradient("bias"))
        weight_gradient(window, layout, x, dy, on.gradient("weight"))
        if not way.wanted[0]:
            return (None,)
        dense = DenseWeights.forward(on.params["weight"], 1).back((0,))
        weight = packed_weights(on.tape, back, dense)
        more = along(way.sums[0], axis) if way.sums[0] else None
        ending = Ending.of(on.tape.temporary(x.shape, axis), more)
        return (
            record_conv(PackedConv(window, back, weight, packed_bias(on.tape, features, None)), dy, ending),
        )

    return TrainingKernel(forward, backward, frozenset(CLAMPS), adds=True)
