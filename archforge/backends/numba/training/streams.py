"""Streams over the vectors of values, block of channels by block, and sums over all pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archforge.backends.numba.microkernels.channel_streams import ChannelStream, StreamKind
from archforge.backends.numba.runtime.opcodes import CONSTANTS
from archforge.backends.numba.runtime.records import CHANNELS, STREAM, merged
from archforge.backends.numba.runtime.tape import BufferPlace, Tape, TapeValue
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.training.kernel import GradientArray
from archforge.ops.base import Op

__all__ = ["ChannelStreams", "channel_gradient", "gradient_before", "gradient_fields", "products_of_maps"]

STREAMING = UnitRecipe("channel_streams", "stream")
PART = 1 << 10  # vectors of a part: so few that their sums lose little, and stay in a cache


@dataclass(frozen=True)
class ChannelStreams:
    """Streams of values of one type on a tape. They are cut into parts by the type and the batch alone.

    channels, blocks, pixels: of one image. of_maps: each map of each image is a part.
    """

    tape: Tape
    channels: int
    blocks: int
    pixels: int
    of_maps: bool = False

    @classmethod
    def of(cls, value: TapeValue) -> ChannelStreams:
        """Streams of values like this one."""
        return cls(value.tape, value.channels, value.blocks, value.pixels)

    @cached_property
    def constants(self) -> BufferPlace:
        """Vectors of constants by the numbers of `opcodes.py`, for each block."""
        return self.tape.buffer(self.blocks * CONSTANTS * machine().vector)

    @cached_property
    def _parts(self) -> dict[str, int]:
        """The fields of STREAM for the parts."""
        chunk = -(-self.pixels // -(-self.pixels // PART))
        images = min(self.tape.images, max(1, PART // self.pixels))
        if self.of_maps:
            chunk, images = self.pixels, 1
        return {
            "images": self.tape.images,
            "image_chunk": images,
            "pixels": self.pixels,
            "chunk": chunk,
            "chunks": -(-self.pixels // chunk),
            "blocks": self.blocks,
        }

    @property
    def _image_chunks(self) -> int:
        return -(-self.tape.images // self._parts["image_chunk"])

    @property
    def _units(self) -> int:
        return self._image_chunks * self._parts["chunks"] * self.blocks

    def run(
        self,
        kind: StreamKind,
        activation: Op | None = None,
        *,
        sums: BufferPlace | None = None,
        **values: TapeValue,
    ) -> BufferPlace:
        """Record a stream over `x`, `y`, `dy` and `out`, as far as it has them, with an activation that
        clamps. Returns the place of its sums, a new one unless it is given."""
        number = 2 if kind in ("moments", "normal_sums") else 1
        sums = sums or self.tape.buffer(self._units * number * machine().vector)
        clamp = activation.kind if activation else ""
        fields = merged(
            self._parts,
            {"function": ChannelStream(machine().lanes, kind, clamp)},
            *(_stream(name, values.get(name)) for name in ("x", "y", "dy", "out")),
            self._sums(sums, number),
        )
        self.tape.call(STREAMING, STREAM, fields, self._units)
        return sums

    def finish(self, name: str, sums: BufferPlace, number: int, fields: Mapping[str, Any]) -> None:
        """Record what follows for each channel when all parts are summed up."""
        own = {"channels": self.channels, "image_chunks": self._image_chunks}
        whole = merged(self._parts, self._sums(sums, number), own, fields)
        self.tape.call(UnitRecipe("channel_streams", name), CHANNELS, whole, self.blocks)

    def _sums(self, sums: BufferPlace, number: int) -> dict[str, Any]:
        vector = machine().vector
        return {
            "constants": self.constants,
            "constants_block": CONSTANTS * vector,
            "sums": sums,
            "sums_block": number * vector,
        }


def _stream(name: str, value: TapeValue | None) -> dict[str, Any]:
    if value is None:
        return {name: 0, f"{name}_image": 0}
    return {name: value.place, f"{name}_image": value.image}


def gradient_before(
    activation: Op | None, output: TapeValue, dy: TapeValue, bias: GradientArray | None
) -> TapeValue:
    """Record the gradient before an activation that clamps, if there is one, from that behind it; and its sum
    over all pixels as the gradient of a bias, if that is wanted."""
    if activation is None:
        channel_gradient(bias, dy)
        return dy
    streams, before = ChannelStreams.of(dy), dy.tape.temporary(dy.shape)
    sums = streams.run("masked", activation, y=output, dy=dy, out=before)
    _finish_sums(streams, sums, bias)
    return before


def channel_gradient(into: GradientArray | None, dy: TapeValue, x: TapeValue | None = None) -> None:
    """Record the sum over all pixels of `dy`, or of `x` times `dy`, as the gradient of a parameter, if it is
    wanted."""
    if into is not None:
        streams = ChannelStreams.of(dy)
        sums = streams.run("dot", x=x, dy=dy) if x else streams.run("sum", dy=dy)
        _finish_sums(streams, sums, into)


def _finish_sums(streams: ChannelStreams, sums: BufferPlace, into: GradientArray | None) -> None:
    if into is not None:
        streams.finish("finish_sums", sums, 1, gradient_fields("bias", into))


def gradient_fields(name: str, into: GradientArray | None) -> dict[str, Any]:
    """The fields of CHANNELS for the gradient of a parameter, if it is wanted."""
    return {} if into is None else {f"d_{name}": into.array, f"adds_{name}": int(into.adds)}


def products_of_maps(x: TapeValue, dy: TapeValue, shape: tuple[int, ...]) -> TapeValue:
    """Record the sum over each map of `x` times `dy`, as a value of this shape, which has one pixel."""
    out = x.tape.temporary(shape)
    streams = ChannelStreams(x.tape, x.channels, x.blocks, x.pixels, of_maps=True)
    streams.run("dot", x=x, dy=dy, sums=out.place)
    return out
