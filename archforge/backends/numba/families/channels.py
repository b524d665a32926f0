"""Channels that change places: concatenation, slices, shuffles, flattening."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.backends.numba.compiled import Unit
from archforge.backends.numba.families.common import lane_map
from archforge.backends.numba.machine import machine
from archforge.backends.numba.records import CHANNELS
from archforge.backends.numba.tape import Value
from archforge.ir import TensorType
from archforge.ops.base import Array, Op, resolve_axis
from archforge.ops.concat import Concat
from archforge.ops.shuffle import Shuffle
from archforge.ops.slice import Slice
from archforge.plan import Kernel

__all__ = ["concat", "flatten", "shuffle", "slice_"]

GATHER, FLATTEN = Unit("channels", "channels"), Unit("channels", "flatten")


def concat(op: Concat, *inputs: TensorType) -> Kernel | None:
    """Along the channels; branches that already lie in place are not copied."""
    if resolve_axis(op.axis, inputs[0]):
        return None

    def run(params: Mapping[str, Array], *inputs: Value) -> Value:
        blocked = [x.blocked() for x in inputs]
        out = inputs[0].tape.output((sum(x.channels for x in inputs), *inputs[0].shape[1:]))
        first = 0
        for x in blocked:
            here = out.place + first // machine().lanes * out.plane
            if x.place != here:
                _gather(x, out, {first + i: i for i in range(x.channels)})
            first += x.channels
        return out

    return Kernel(run)


def slice_(op: Slice, x: TensorType) -> Kernel | None:
    axis, stretch = op.stretch(x)
    if axis:
        return None
    return _rearranged(op, dict(enumerate(range(x.channels)[stretch])))


def shuffle(op: Shuffle, x: TensorType) -> Kernel:
    """Channel g * n + i of the input, n to a group, is channel i * groups + g of the output."""
    each = x.channels // op.groups
    return _rearranged(op, {i * op.groups + g: g * each + i for g in range(op.groups) for i in range(each)})


def _rearranged(op: Op, sources: Mapping[int, int]) -> Kernel:
    def run(params: Mapping[str, Array], x: Value) -> Value:
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        _gather(x.blocked(), out, sources)
        return out

    return Kernel(run)


def flatten(op: Op, x: TensorType) -> Kernel | None:
    """To a vector; a map of one pixel is one already."""
    shape = op.infer(x).shape
    if len(shape) != 1:
        return None

    def run(params: Mapping[str, Array], x: Value) -> Value:
        x = x.blocked()
        if x.pixels == 1:
            return x.seen_as(shape)
        out = x.tape.output(shape)
        _gather(x, out, {i: i for i in range(x.channels)}, FLATTEN)
        return out

    return Kernel(run)


def _gather(x: Value, out: Value, sources: Mapping[int, int], unit: Unit = GATHER) -> None:
    """Output channel by input channel; to flatten, input channels by themselves."""
    blocks = (x if unit == FLATTEN else out).blocks
    fields = {
        "batch": x.tape.batch,
        "blocks": blocks,
        "pixels": x.pixels,
        "map": lane_map((x if unit == FLATTEN else out).shape, sources),
        "source": x.place,
        "source_image": x.image,
        "out": out.place,
        "out_image": out.image,
    }
    x.tape.call(unit, CHANNELS, fields, x.tape.batch * blocks)
