"""Elements that change places: concatenation, slices, shuffles, permutations, padding, repetition.

Element [i, j, ...] of such a result lies in its source at a sum of offsets, one for each of i, j, ...; a list
of offsets for each axis of the result describes the whole move. Where channels alone change places, nothing
need move at once: an order of channels (`channel_order.py`) is gathered when a kernel reads it in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archforge.backends.numba.families.channel_blocks import AnyAxis
from archforge.backends.numba.families.channel_order import AnyOrder, ChannelOrder
from archforge.backends.numba.microkernels.lane_gather import LaneGather
from archforge.backends.numba.runtime.opcodes import BLANK, KEEP
from archforge.backends.numba.runtime.records import GATHER, MOVE, RecordTable, merged
from archforge.backends.numba.runtime.tape import Params, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.ops.base import Op, resolve_axis
from archforge.plan import Kernel

if TYPE_CHECKING:
    from archforge.ops.concat import Concat
    from archforge.ops.pad import Pad
    from archforge.ops.permute import Permute
    from archforge.ops.resize import Resize
    from archforge.ops.shuffle import Shuffle
    from archforge.ops.slice import Slice

__all__ = [
    "along",
    "broadcast",
    "channels_from",
    "concat",
    "flatten",
    "gathered",
    "nearest",
    "pad",
    "permute",
    "reshape",
    "shuffle",
    "slice_",
    "spread_slice",
    "unflattened",
]

MOVING, FLATTENING, GATHERING = (UnitRecipe("moves", name) for name in ("move", "flatten", "gather"))
CHUNK = 1 << 10  # pixels of a unit
GATHERED = 1 << 8  # pixels of a unit whose lanes come from as many places

Offsets = NDArray[np.int64]  # of the entries of one axis, in bytes


def along(x: TapeValue, axis: int) -> TapeValue:
    """`x` in blocks of the entries of an axis, moved if it does not lie so."""
    x = x.blocked()
    if x.axis == axis:
        return x
    return _moved(x, x.tape.temporary(x.shape, axis), _offsets(x))


def concat(op: Concat, *inputs: TensorType) -> Kernel:
    """A concatenation along any axis. Inputs that already lie in place are not copied."""
    axis = resolve_axis(op.axis, inputs[0])

    def run(params: Params, *inputs: TapeValue) -> TapeValue:
        blocked = [x.blocked() for x in inputs]
        out = inputs[0].tape.output(op.infer(*(TensorType(x.shape) for x in inputs)).shape)
        first = 0
        for x in blocked:
            here = out.place + first // machine().lanes * out.plane
            if axis or x.place != here:
                offsets = _offsets(x)
                rest = out.shape[axis] - first - x.shape[axis]
                offsets[axis] = np.pad(offsets[axis], (first, rest), constant_values=KEEP)
                _moved(x, out, offsets)
            first += x.shape[axis]
        return out

    return Kernel(run) if axis else AnyOrder(run, order=ChannelOrder.joined)


def gathered(x: TapeValue | ChannelOrder) -> TapeValue:
    """A value in blocks: nothing is copied of channels that lie so."""
    if isinstance(x, TapeValue):
        return x
    if stretch := x.stretch():
        return channels_from(x.sources[0], stretch.start, x.shape)
    out = x.sources[0].tape.temporary(x.shape)
    lanes = [aligned((out.blocks * machine().lanes,), np.int64) for _ in range(2)]
    for numbers, found in zip(lanes, (x.source, _by_channel(out, x.channel)), strict=True):
        numbers[: out.channels] = found
    images = aligned((len(x.sources),), np.int64)
    images[:] = [source.image for source in x.sources]
    fields = {
        "sources": tuple(source.place for source in x.sources),
        "source_images": images,
        "lane_sources": lanes[0],
        "lane_offsets": lanes[1],
        "function": LaneGather(machine().lanes),
    }
    scratch = machine().lanes * images.itemsize
    return _in_chunks(GATHERING, GATHER, fields, out, GATHERED, scratch)


def channels_from(x: TapeValue, first: int, shape: tuple[int, ...]) -> TapeValue:
    """Channels of `x` from the first on, as many as `shape` has: where they lie, if blocks begin there."""
    if first % machine().lanes == 0 and (shape[0] % machine().lanes == 0 or first + shape[0] == x.channels):
        return replace(x, shape=shape, place=x.place + first // machine().lanes * x.plane)
    offsets = _with_axis(_offsets(x), 0, lambda o: o[first : first + shape[0]])
    return _moved(x, x.tape.temporary(shape), offsets)


def unflattened(x: TapeValue, shape: tuple[int, ...]) -> TapeValue:
    """A vector as the map that has its elements in the reference's order."""
    if math.prod(shape[1:]) == 1:
        return x.seen_as(shape)
    return _moved(x, x.tape.temporary(shape), _in_order(shape, FLOAT))


def spread_slice(op: Slice, x: TensorType, dy: TapeValue) -> TapeValue:
    """Record the gradient before a slice of `x`: that behind it, and zeros around."""
    axis, part = op.stretch(x)

    def around(offsets: Offsets) -> Offsets:
        return np.pad(offsets, (part.start, x.shape[axis] - part.stop), constant_values=BLANK)

    return _moved(dy, dy.tape.temporary(x.shape), _with_axis(_offsets(dy), axis, around))


def slice_(op: Slice, x: TensorType) -> Kernel:
    """A part of one axis."""
    axis, part = op.stretch(x)
    kernel = _kernel(op, lambda x: _with_axis(_offsets(x), axis, lambda o: o[part]))
    return kernel if axis else AnyOrder(kernel.run, order=lambda x: x.taking(np.arange(x.shape[0])[part]))


def shuffle(op: Shuffle, x: TensorType) -> Kernel:
    """A shuffle: channel g * n + i of the input, n to a group, is channel i * groups + g of the output."""
    order = np.arange(x.channels).reshape(op.groups, -1).T.ravel()
    kernel = _kernel(op, lambda x: _with_axis(_offsets(x), 0, lambda o: o[order]))
    return AnyOrder(kernel.run, order=lambda x: x.taking(order))


def pad(op: Pad, x: TensorType) -> Kernel:
    """Padding and cropping of the spatial axes."""

    if op.mode != "constant":
        sources = op.sources(x)
        return _kernel(op, lambda x: _taken(_offsets(x), sources))

    def padded(offsets: Offsets, before: int, after: int) -> Offsets:
        wide = np.pad(offsets, (max(before, 0), max(after, 0)), constant_values=BLANK)
        return wide[max(-before, 0) : len(wide) - max(-after, 0)]

    def offsets(x: TapeValue) -> list[Offsets]:
        channels, *spatial = _offsets(x)
        sides = op.widths(TensorType(x.shape))
        return [channels, *(padded(o, *s) for o, s in zip(spatial, sides, strict=True))]

    return _kernel(op, offsets, op.value)


def nearest(op: Resize, x: TensorType) -> Kernel:
    """A map of another size from its nearest pixels."""
    sizes = zip(x.spatial, op.infer(x).spatial, strict=True)
    sources = [op.taps(*both).indices[0] for both in sizes]
    return _kernel(op, lambda x: _taken(_offsets(x), sources))


def _taken(offsets: Sequence[Offsets], sources: Sequence[Offsets]) -> list[Offsets]:
    """The offsets of these elements of the spatial axes."""
    channels, *spatial = offsets
    return [channels, *(o[taken] for o, taken in zip(spatial, sources, strict=True))]


def permute(op: Permute, x: TensorType) -> Kernel:
    """A permutation of the axes. Nothing moves where the pixels keep their order."""

    def run(params: Params, x: TapeValue) -> TapeValue:
        x = x.blocked()
        shape, axis = tuple(x.shape[a] for a in op.order), op.order.index(x.axis)
        if [a for a in op.order if a != x.axis] == sorted({*op.order} - {x.axis}):
            return x.seen_as(shape, axis)
        offsets = _offsets(x)
        return _moved(x, x.tape.output(shape), [offsets[a] for a in op.order])

    return AnyAxis(run)


def flatten(op: Op, x: TensorType) -> Kernel:
    """All elements as a vector, in the reference's order."""
    return Kernel(lambda params, x: _vector(x.blocked(), is_result=True))


def reshape(op: Op, x: TensorType) -> Kernel:
    """A new shape for elements that keep the reference's order, by way of a vector."""
    shape = op.infer(x).shape
    if len(shape) == 1:
        return flatten(op, x)

    def run(params: Params, x: TapeValue) -> TapeValue:
        vector = _vector(x.blocked(), is_result=False)
        return _moved(vector, x.tape.output(shape), _in_order(shape, FLOAT))

    return Kernel(run)


def broadcast(x: TapeValue, shape: tuple[int, ...]) -> TapeValue:
    """`x` repeated over the axes that it lacks, or where its extent is 1."""
    if x.shape == shape:
        return x.blocked()
    offsets = [*_offsets(x), *(np.zeros(1, np.int64) for _ in shape[len(x.shape) :])]
    whole = [np.broadcast_to(o, n) for o, n in zip(offsets, shape, strict=True)]
    return _moved(x, x.tape.temporary(shape), whole)


def _vector(x: TapeValue, *, is_result: bool) -> TapeValue:
    """Record all elements in the reference's order; nothing for a map of one pixel, which lies so."""
    shape = (math.prod(x.shape),)
    if x.pixels == 1:
        return x.seen_as(shape)
    out = x.tape.output(shape) if is_result else x.tape.temporary(shape)
    fields = {
        "blocks": x.blocks,
        "pixels": x.pixels,
        "channels": x.channels,
        "source": x.place,
        "source_image": x.image,
        "out": out.place,
        "out_image": out.image,
    }
    x.tape.call(FLATTENING, MOVE, fields, x.tape.batch * x.blocks)
    return out


def _kernel(op: Op, offsets: Callable[[TapeValue], list[Offsets]], fill: float = 0.0) -> Kernel:
    """A kernel whose result has its elements at `offsets(x)` in the input."""

    def run(params: Params, x: TapeValue) -> TapeValue:
        x = x.blocked()
        return _moved(x, x.tape.output(op.infer(TensorType(x.shape)).shape), offsets(x), fill)

    return Kernel(run)


def _offsets(x: TapeValue) -> list[Offsets]:
    """int64[extent] for each axis of `x`: bytes from its first entry to each of them."""
    others = _in_order(x.others, x.pixel)
    return [*others[: x.axis], _by_channel(x, np.arange(x.channels)), *others[x.axis :]]


def _by_channel(x: TapeValue, channels: Offsets) -> Offsets:
    """Bytes from the first channel of `x`, or of a value with equal other axes, to each of these."""
    lanes = machine().lanes
    return channels // lanes * x.plane + channels % lanes * FLOAT if x.is_blocked else channels * x.plane


def _in_order(shape: tuple[int, ...], size: int) -> list[Offsets]:
    """Offsets of elements of `size` bytes, the last axis running fastest."""
    return [np.arange(n) * (math.prod(shape[a + 1 :]) * size) for a, n in enumerate(shape)]


def _with_axis(offsets: list[Offsets], axis: int, change: Callable[[Offsets], Offsets]) -> list[Offsets]:
    """The offsets, with those of one axis changed."""
    return [change(o) if a == axis else o for a, o in enumerate(offsets)]


def _moved(x: TapeValue, out: TapeValue, offsets: Sequence[Offsets], fill: float = 0.0) -> TapeValue:
    """Record one call. An offset `KEEP` leaves the result's element as it is, `BLANK` makes it `fill`."""
    lanes = aligned((out.blocks * machine().lanes,), np.int64)
    lanes[:] = BLANK  # beyond the last channel
    lanes[: out.channels] = offsets[out.axis]
    others = [o for a, o in enumerate(offsets) if a != out.axis]
    places, one = aligned((out.pixels,), np.int64), np.zeros(1, np.int64)
    places[:] = reduce(_sums, others, one)
    is_run = (places == np.arange(out.pixels) * machine().vector).all()
    fields = {
        "source": x.place,
        "source_image": x.image,
        "lane_offsets": lanes,
        "pixel_offsets": 0 if is_run else places,
        "fill": fill,
    }
    return _in_chunks(MOVING, MOVE, fields, out, CHUNK)


def _in_chunks(
    unit: UnitRecipe, record: RecordTable, fields: dict[str, Any], out: TapeValue, most: int, scratch: int = 0
) -> TapeValue:
    """Record one call that makes `out`. A unit is at most so many pixels of one block of channels of one
    image; `fields` are those of the record that do not say so."""
    chunk = min(most, out.pixels)
    chunks = -(-out.pixels // chunk)
    fields = merged(
        {"blocks": out.blocks, "pixels": out.pixels, "chunk": chunk, "chunks": chunks},
        {"channels": out.channels, "out": out.place, "out_image": out.image},
        fields,
    )
    out.tape.call(unit, record, fields, out.tape.batch * out.blocks * chunks, scratch)
    return out


def _sums(first: Offsets, second: Offsets) -> Offsets:
    """Each of the first offsets plus each of the second, in order."""
    both = first[:, None] + second
    for code in (BLANK, KEEP):  # what is kept on one axis is kept
        both = np.where((first[:, None] == code) | (second == code), code, both)
    made: Offsets = both.ravel()
    return made
