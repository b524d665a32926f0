"""What kernels of this backend do when they run: they record calls, once for each size of batch.

A `Tape` knows no addresses. Values lie in buffers whose lifetimes follow from the calls that touch them,
and `workspace.py` gives each buffer its place and makes records of the calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from archforge.backends.numba.runtime.records import RecordTable
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.lifetimes import Lifetime
from archforge.ops.base import Array
from archforge.plan import Step
from archforge.plan.arena import Buffer

__all__ = ["ALIGNMENT", "BufferPlace", "Params", "Tape", "TapeCall", "TapeValue", "aligned"]

# The packed parameters of a kernel, by the names that the kernel gives them.
Params = Mapping[str, Array]

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True, slots=True)
class BufferPlace:
    """A number of bytes into a buffer, both of a tape."""

    buffer: int
    offset: int = 0

    def __add__(self, offset: int) -> BufferPlace:
        return BufferPlace(self.buffer, self.offset + offset)


@dataclass(frozen=True, slots=True, eq=False)
class TapeValue:
    """float32[N, *shape] at a place, images `image` bytes apart.

    Blocked, it lies as [N, ceil(C / lanes), *others, lanes], the lanes beyond the last channel holding
    anything finite; plain, as the caller gave it. Channels are the entries of `axis`, 0 but for values
    that the graph sees with its channels elsewhere.
    """

    tape: Tape
    shape: tuple[int, ...]
    place: BufferPlace
    image: int
    is_blocked: bool = True
    axis: int = 0

    @property
    def channels(self) -> int:
        return self.shape[self.axis]

    @property
    def others(self) -> tuple[int, ...]:
        """The extents of the other axes, which make the pixels."""
        return (*self.shape[: self.axis], *self.shape[self.axis + 1 :])

    @property
    def blocks(self) -> int:
        return -(-self.channels // machine().lanes)

    @property
    def pixels(self) -> int:
        return math.prod(self.others)

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of a map; one axis is a width, none is one pixel."""
        return (self.others[0], self.others[1]) if len(self.others) == 2 else (1, self.pixels)

    @property
    def pixel(self) -> int:
        """Bytes from a pixel to the next."""
        return machine().vector if self.is_blocked else FLOAT

    @property
    def plane(self) -> int:
        """Bytes from a block of channels, or plain from a channel, to the next."""
        return self.pixels * self.pixel

    def seen_as(self, shape: tuple[int, ...], axis: int = 0) -> TapeValue:
        """The same bytes under another shape, with the same channels at its `axis`."""
        return replace(self, shape=shape, axis=axis)

    def blocked(self) -> TapeValue:
        return self if self.is_blocked else self.tape.blocked_input(self)


@dataclass(frozen=True, slots=True)
class TapeCall:
    """One step for machine code, of the plan's step that makes the value `step`. Fields are numbers, places,
    arrays or functions for their addresses."""

    step: str
    unit: UnitRecipe
    record: RecordTable
    fields: Mapping[str, Any]
    units: int


# A step that runs in Python: a reference kernel between values.
Fallback = tuple[Step, Mapping[str, Array], tuple[TapeValue, ...], TapeValue]


@dataclass(slots=True, eq=False)
class Tape:
    """Calls in order for one size of batch, and the buffers between which they work.

    `inside_concats` are values that live inside concatenations, from a channel on; `types` are those of all
    values. While a section of the steps is recorded image by image, `of_one_image` are the values that have
    memory for one image only.
    """

    images: int
    types: Mapping[str, TensorType]
    inside_concats: Mapping[str, tuple[str, int]]
    calls: list[TapeCall | Fallback] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes of each buffer
    inputs: list[tuple[str, TapeValue]] = field(default_factory=list)
    scratch: int = 0  # bytes that a thread needs
    current: str = ""  # the value that the step being recorded makes
    of_one_image: frozenset[str] = frozenset()
    image_by_image: bool = False
    _roots: dict[str, int] = field(default_factory=dict)
    _blocked: dict[BufferPlace, TapeValue] = field(default_factory=dict)
    _lifetimes: dict[int, Lifetime] = field(default_factory=dict)
    _strides: dict[int, int] = field(default_factory=dict)  # of buffers for all images, bytes of one

    @property
    def batch(self) -> int:
        """Images of the calls that are being recorded."""
        return 1 if self.image_by_image else self.images

    def buffer(self, size: int) -> BufferPlace:
        self.sizes.append(-(-size // ALIGNMENT) * ALIGNMENT)
        return BufferPlace(len(self.sizes) - 1)

    def input(self, name: str, shape: tuple[int, ...], *, is_blocked: bool = False) -> TapeValue:
        """A value that each call begins with."""
        value = self._value(shape, is_blocked=is_blocked, images=self.images)
        self.inputs.append((name, value))
        self._touch(value.place.buffer, -1)
        return value

    def blocked_input(self, plain: TapeValue) -> TapeValue:
        """The same input as blocks; copied in Python, since networks begin with few channels."""
        if plain.place not in self._blocked:
            name = next(n for n, v in self.inputs if v.place == plain.place)
            self._blocked[plain.place] = self.input(name, plain.shape, is_blocked=True)
        return self._blocked[plain.place].seen_as(plain.shape)

    def output(self, shape: tuple[int, ...], axis: int = 0) -> TapeValue:
        """Where the step being recorded writes its result. With its channels elsewhere than at axis 0 it
        cannot lie inside another."""
        if axis:
            return self._value(shape, axis=axis, images=self._images(self.current))
        root, channel = self.inside_concats.get(self.current, (self.current, 0))
        if root not in self._roots and (channel or root != self.current or self._is_root(root)):
            self._roots[root] = self._value(self.types[root].shape, images=self._images(root)).place.buffer
        if root not in self._roots:
            return self._value(shape, images=self._images(self.current))
        whole = TapeValue(self, self.types[root].shape, BufferPlace(self._roots[root]), 0)
        image = whole.blocks * whole.plane
        return TapeValue(self, shape, whole.place + channel // machine().lanes * whole.plane, image)

    def temporary(self, shape: tuple[int, ...], axis: int = 0) -> TapeValue:
        """A value that no other step sees."""
        return self._value(shape, axis=axis, images=self.batch)

    def call(
        self, unit: UnitRecipe, record: RecordTable, fields: Mapping[str, Any], units: int, scratch: int = 0
    ) -> None:
        for value in fields.values():
            if isinstance(value, BufferPlace):
                self._touch(value.buffer, len(self.calls))
        self.calls.append(TapeCall(self.current, unit, record, fields, units))
        self.scratch = max(self.scratch, -(-scratch // ALIGNMENT) * ALIGNMENT)

    def fall_back(self, step: Step, params: Mapping[str, Array], inputs: tuple[TapeValue, ...]) -> TapeValue:
        """Record a step that the reference does in Python."""
        made = self._value(self.types[step.output].shape, images=self.images)
        for value in (*inputs, made):
            self._touch(value.place.buffer, len(self.calls))
        self.calls.append((step, params, inputs, made))
        return made

    def is_whole(self, value: TapeValue) -> bool:
        """Whether it has memory for all images."""
        return not self.image_by_image or value.place.buffer in self._strides

    def repeat(self, first: int) -> None:
        """The calls from this one on again for each of the other images, in the same memory but for what
        has memory for all, which is in use from the first image to the last."""
        recorded = self.calls[first:]
        for image in range(1, self.images):
            for call in recorded:
                assert isinstance(call, TapeCall)
                fields = {name: self._of_image(image, value) for name, value in call.fields.items()}
                self.calls.append(replace(call, fields=fields))
        for buffer in self._strides.keys() & self._lifetimes.keys():
            if self._lifetimes[buffer].last >= first:
                self._touch(buffer, first)
                self._touch(buffer, len(self.calls) - 1)

    def _of_image(self, image: int, value: Any) -> Any:
        if isinstance(value, BufferPlace):
            return value + image * self._strides.get(value.buffer, 0)
        return value

    def keep(self, value: TapeValue) -> None:
        """Let the value live to the end."""
        self._touch(value.place.buffer, len(self.calls))

    def buffers(self) -> list[Buffer]:
        """The size of each buffer, and the calls between which it is in use."""
        unused = Lifetime(0, -1)
        return [Buffer(size, self._lifetimes.get(i, unused)) for i, size in enumerate(self.sizes)]

    def _images(self, name: str) -> int:
        return 1 if name in self.of_one_image else self.images

    def _value(
        self, shape: tuple[int, ...], *, images: int, is_blocked: bool = True, axis: int = 0
    ) -> TapeValue:
        shaped = TapeValue(self, shape, BufferPlace(-1), 0, is_blocked, axis)
        image = (shaped.blocks if is_blocked else shaped.channels) * shaped.plane
        place = self.buffer(images * image)
        if images == self.images:
            self._strides[place.buffer] = image
        return replace(shaped, place=place, image=image)

    def _is_root(self, name: str) -> bool:
        return any(root == name for root, _ in self.inside_concats.values())

    def _touch(self, buffer: int, at: int) -> None:
        now = Lifetime(at, at)
        self._lifetimes[buffer] = now.joined(self._lifetimes.get(buffer, now))


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Zeros that begin at a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    made: Array = raw[start : start + size].view(dtype).reshape(shape)
    return made
