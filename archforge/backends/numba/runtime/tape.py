"""Tapes: the calls that kernels of this backend record when they run, once for each size of batch.

A `Tape` knows no addresses. Values lie in buffers whose lifetimes follow from the calls that touch them, and
`workspace.py` gives each buffer its place and makes records of the calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from archforge.backends.numba.runtime.records import RecordTable
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.numba.toolchain.machine_code import begin
from archforge.ir import TensorType
from archforge.lifetimes import Lifetime
from archforge.ops.base import Array
from archforge.plan import Step
from archforge.plan.arena import Buffer

__all__ = [
    "ALIGNMENT",
    "BufferPlace",
    "PackedPlace",
    "Params",
    "PythonCall",
    "Tape",
    "TapeCall",
    "TapeValue",
    "aligned",
    "table_of",
]

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


@dataclass(frozen=True, slots=True)
class PackedPlace(BufferPlace):
    """The place of weights that calls of the tape lay out, with their size in bytes."""

    nbytes: int = 0


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
        """The extent of the axis whose entries make blocks."""
        return self.shape[self.axis]

    @property
    def others(self) -> tuple[int, ...]:
        """The extents of the other axes, which make the pixels."""
        return (*self.shape[: self.axis], *self.shape[self.axis + 1 :])

    @property
    def blocks(self) -> int:
        """Blocks of channels; the last one may not be full."""
        return -(-self.channels // machine().lanes)

    @property
    def pixels(self) -> int:
        """Pixels of one image."""
        return math.prod(self.others)

    @property
    def map_size(self) -> tuple[int, int]:
        """The (height, width) of a map; one axis is a width, none is one pixel."""
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
        """A value of the same bytes under another shape, with the same channels at its `axis`."""
        return replace(self, shape=shape, axis=axis)

    def blocked(self) -> TapeValue:
        """The value in blocks of channels: an input of the network is copied so."""
        return self if self.is_blocked else self.tape.blocked_input(self)


@dataclass(frozen=True, slots=True)
class TapeCall:
    """A call of machine code for the plan's step that makes the value `step`: `units` calls of a unit, with
    the fields of its record, numbers, places, arrays, or functions for their addresses, and tuples of places
    for the address of an array of theirs; others are 0."""

    step: str
    unit: UnitRecipe
    record: RecordTable
    fields: Mapping[str, Any]
    units: int


@dataclass(frozen=True, slots=True)
class PythonCall:
    """A call in Python for the step that makes the value `step`: `compute` takes arrays of `inputs`, in the
    reference's order, and returns those of `outputs`."""

    step: str
    compute: Callable[..., Sequence[Array]]
    inputs: tuple[TapeValue, ...]
    outputs: tuple[TapeValue, ...]


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
    calls: list[TapeCall | PythonCall] = field(default_factory=list)
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
        """The place of a new buffer of so many bytes."""
        self.sizes.append(-(-size // ALIGNMENT) * ALIGNMENT)
        return BufferPlace(len(self.sizes) - 1)

    def input(self, name: str, shape: tuple[int, ...], *, is_blocked: bool = False) -> TapeValue:
        """A value that each call begins with."""
        value = self._value(shape, is_blocked=is_blocked, images=self.images)
        self.inputs.append((name, value))
        self._touch(value.place.buffer, -1)
        return value

    def blocked_input(self, plain: TapeValue) -> TapeValue:
        """The plain input in blocks of channels. Python copies it, since networks begin with few channels."""
        if plain.place not in self._blocked:
            name = next(n for n, v in self.inputs if v.place == plain.place)
            self._blocked[plain.place] = self.input(name, plain.shape, is_blocked=True)
        return self._blocked[plain.place].seen_as(plain.shape)

    def output(self, shape: tuple[int, ...], axis: int = 0) -> TapeValue:
        """A value for the result of the step being recorded, inside a concatenation if it can lie there.

        With its channels at another axis than 0 it cannot.
        """
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
        """Record `units` calls of a unit, each with `scratch` bytes of its thread's own memory."""
        begin(unit)
        for value in fields.values():
            for place in value if isinstance(value, tuple) else (value,):
                if isinstance(place, BufferPlace):
                    self._touch(place.buffer, len(self.calls))
        self.calls.append(TapeCall(self.current, unit, record, fields, units))
        self.scratch = max(self.scratch, -(-scratch // ALIGNMENT) * ALIGNMENT)

    @contextmanager
    def as_step(self, name: str) -> Iterator[None]:
        """Have what is recorded meanwhile count as a step of this name, for whoever watches."""
        before, self.current = self.current, name
        yield
        self.current = before

    def fall_back(self, step: Step, params: Mapping[str, Array], inputs: tuple[TapeValue, ...]) -> TapeValue:
        """Record a step that the reference computes in Python."""
        made = self._value(self.types[step.output].shape, images=self.images)
        self.python_call(lambda *arrays: (step.node.op.reference(params, *arrays),), inputs, (made,))
        return made

    def python_call(
        self,
        compute: Callable[..., Sequence[Array]],
        inputs: Sequence[TapeValue],
        outputs: Sequence[TapeValue],
    ) -> None:
        """Record a call in Python, between steps of machine code."""
        for value in (*inputs, *outputs):
            self._touch(value.place.buffer, len(self.calls))
        self.calls.append(PythonCall(self.current, compute, tuple(inputs), tuple(outputs)))

    def is_whole(self, value: TapeValue) -> bool:
        """True if the value has memory for all images."""
        return not self.image_by_image or value.place.buffer in self._strides

    def repeat(self, first: int) -> None:
        """Record the calls from number `first` on again, for each of the other images.

        They work in the same memory, except for values that have memory for all images, which are in use from
        the first image to the last.
        """
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
        if isinstance(value, tuple):
            return tuple(self._of_image(image, place) for place in value)
        if isinstance(value, BufferPlace):
            return value + image * self._strides.get(value.buffer, 0)
        return value

    def keep(self, value: TapeValue) -> None:
        """Let the value live to the end."""
        self._touch(value.place.buffer, len(self.calls))

    def buffers(self) -> list[Buffer]:
        """The size and the lifetime of each buffer, in bytes and in numbers of calls."""
        unused = Lifetime(0, -1)
        return [Buffer(size, self._lifetimes.get(i, unused)) for i, size in enumerate(self.sizes)]

    def _images(self, name: str) -> int:
        """Images for which a value needs memory."""
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

    def is_joined(self, name: str) -> bool:
        """True if the value lies inside a concatenation, or others inside it."""
        return name in self.inside_concats or self._is_root(name)

    def _is_root(self, name: str) -> bool:
        """True if other values lie inside this one."""
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


def table_of(record: RecordTable, rows: Sequence[Mapping[str, Any]]) -> Array:
    """Records with these fields, one behind the other. Raises KeyError for a row that lacks one."""
    table: Any = aligned((len(rows),), record.dtype)
    for name in record.dtype.names or ():
        table[name] = [row[name] for row in rows]
    made: Array = table
    return made
