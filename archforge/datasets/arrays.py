"""Samples whose inputs and targets are arrays: in memory already, or read whole when they are first used."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from archforge.data.stored_arrays import StoredArray
from archforge.datasets.base import AnyArray, Pair, Samples, Stored, Targets
from archforge.errors import fail
from archforge.hardware import require_memory
from archforge.ir import by_x
from archforge.ops.lazy_numpy import np

__all__ = ["ArraySamples", "Layout", "Rows", "Subset", "input_rows", "sampled", "target_rows"]

Layout = Literal["channels_first", "channels_last"]
HASHED = 1024  # rows at a time
CHANNELS = ((1, 3), (4,))  # of pictures, by which their place is told; the last if nothing else fits


@dataclass(slots=True, eq=False)
class Rows:
    """An array whose first axis counts samples, made by `load` when it is first used and kept from then on.

    name: for messages. dtype: that of its elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    load: Callable[[], AnyArray]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _array: AnyArray | None = None

    @classmethod
    def of(cls, array: AnyArray | StoredArray, name: str) -> Rows:
        """The rows of an array in memory or in a file."""
        rows = cls(name, tuple(array.shape), array.dtype, partial(np.asarray, array))
        rows._array = array if isinstance(array, np.ndarray) else None
        return rows

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def array(self) -> AnyArray:
        """The array. Raises E0601 where it cannot be read, E0706 where memory does not suffice."""
        with self._lock:
            if self._array is None:
                require_memory(math.prod(self.shape) * np.dtype(self.dtype).itemsize, self.name)
                self._array = self.load()
            return self._array

    def changed(self, shape: tuple[int, ...], dtype: Any, change: Callable[[AnyArray], AnyArray]) -> Rows:
        """Rows of another shape or dtype, which `change` makes of these. Only the changed ones are kept."""
        return Rows(self.name, shape, dtype, lambda: change(self.load()))


class ArraySamples:
    """Samples in two arrays. classes: their names by number; empty where they have none."""

    def __init__(self, name: str, x: Rows, y: Rows, classes: tuple[str, ...] = ()) -> None:
        self.name = name
        self.x, self.y = x, y
        self.classes = classes
        self.shape: tuple[int, ...] | None = x.shape[1:]
        self.target_shape: tuple[int, ...] | None = y.shape[1:]
        self.stored: Stored = "pixels" if x.dtype == np.uint8 else "values"

    @property
    def targets(self) -> Targets:
        if np.issubdtype(self.y.dtype, np.floating):
            return "values"
        return "classes" if self.target_shape else "class"

    @property
    def labels(self) -> AnyArray | None:
        return self.y.array if self.targets == "class" else None

    @cached_property
    def digest(self) -> str:
        hash = hashlib.sha256()
        for rows in (self.x, self.y):
            hash.update(f"{rows.dtype} {rows.shape}\n".encode())
            for first in range(0, len(rows), HASHED):
                hash.update(np.ascontiguousarray(rows.array[first : first + HASHED]).data)
        return hash.hexdigest()

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: AnyArray) -> Pair:
        chosen = np.asarray(indices, np.int64)
        return Pair(self.x.array[chosen], self.y.array[chosen])

    def examine(self) -> None:
        """Read the targets; inputs are compared batch by batch."""
        if self.targets == "values" and not np.isfinite(self.y.array).all():
            fail("E0601", f"{self.y.name} holds values that are not finite")
        if self.targets != "values" and self.y.array.size and self.y.array.min() < 0:
            first = np.unravel_index(int(self.y.array.argmin()), self.y.shape)[0]
            help = "classes are numbered from 0"
            fail("E0601", f"sample {first} of {self.y.name} has class {self.y.array.min()}", help=help)


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some of the samples of others, by their numbers there."""

    whole: Samples
    chosen: AnyArray

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def shape(self) -> tuple[int, ...] | None:
        return self.whole.shape

    @property
    def stored(self) -> Stored:
        return self.whole.stored

    @property
    def targets(self) -> Targets:
        return self.whole.targets

    @property
    def target_shape(self) -> tuple[int, ...] | None:
        return self.whole.target_shape

    @property
    def classes(self) -> tuple[str, ...]:
        return self.whole.classes

    @property
    def labels(self) -> AnyArray | None:
        labels = self.whole.labels
        return None if labels is None else labels[self.chosen]

    @property
    def digest(self) -> str:
        hash = hashlib.sha256(self.whole.digest.encode())
        hash.update(np.ascontiguousarray(self.chosen, np.int64).data)
        return hash.hexdigest()

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, indices: AnyArray) -> Pair:
        return self.whole.take(self.chosen[np.asarray(indices, np.int64)])

    def examine(self) -> None:
        self.whole.examine()


def sampled(
    name: str,
    x: AnyArray | StoredArray,
    y: AnyArray | StoredArray,
    *,
    names: tuple[str, str] = ("x", "y"),
    layout: Layout | None = None,
    classes: tuple[str, ...] = (),
) -> ArraySamples:
    """Samples of two arrays, as they may be stored: see `input_rows` and `target_rows`. names: those of the
    two, for messages. Raises E0601."""
    inputs = input_rows(x, f"`{names[0]}` of {name}", layout)
    targets = target_rows(y, f"`{names[1]}` of {name}")
    if len(inputs) != len(targets):
        help = "one target for each input, in the same order"
        message = f"{name} has {len(inputs):,} inputs and {len(targets):,} targets"
        fail("E0601", message, help=help)
    return ArraySamples(name, inputs, targets, classes)


def input_rows(array: AnyArray | StoredArray, name: str, layout: Layout | None) -> Rows:
    """Inputs as uint8 or float32, pictures with their channels first. Raises E0601.

    Of an array of four axes the channels, 1, 3 or 4, are the second or the last one. Where both could be,
    `layout` must say.
    """
    rows = Rows.of(array, name)
    if not rows.shape or not math.prod(rows.shape):
        fail("E0601", f"{name} holds no samples: its shape is {by_x(rows.shape) or '()'}")
    if rows.dtype != np.uint8 and not _is_float(rows.dtype):
        help = "x.astype('uint8') for pixels from 0 to 255, x.astype('float32') for values as they are"
        fail("E0601", f"{name} is {rows.dtype}, expected uint8 or floating-point numbers", help=help)
    if _is_float(rows.dtype) and rows.dtype != np.float32:
        rows = rows.changed(rows.shape, np.dtype(np.float32), lambda found: found.astype(np.float32))
    if _channels_are_last(rows.shape, name, layout):
        n, height, width, channels = rows.shape
        shape = (n, channels, height, width)
        rows = rows.changed(shape, rows.dtype, lambda found: np.moveaxis(found, -1, 1))
    return rows


def _channels_are_last(shape: tuple[int, ...], name: str, layout: Layout | None) -> bool:
    if len(shape) != 4:
        if layout == "channels_last":
            fail("E0601", f"{name} has no axis of channels: its shape is {by_x(shape)}")
        return False
    if layout is not None:
        return layout == "channels_last"
    found = ((shape[1] in known, shape[3] in known) for known in CHANNELS)
    first, last = next((places for places in found if any(places)), (True, False))
    if first and last:
        help = "--set 'train.data.format={npz: {layout: channels_first}}', or channels_last"
        fail("E0601", f"the channels of {name}, {by_x(shape)}, may be the second axis or the last", help=help)
    return last


def target_rows(array: AnyArray | StoredArray, name: str) -> Rows:
    """Targets as int64 or float32: numbers of classes, of masks int[N, H, W] with or without an axis of one
    channel; rows of a single one among zeros, which become the numbers of their classes; or floats as they
    are. Raises E0601."""
    rows = Rows.of(array, name)
    if not rows.shape:
        fail("E0601", f"{name} is a single number", help="one target for each input")
    shape, dtype = rows.shape, np.dtype(rows.dtype)
    if dtype.kind not in "biuf":
        help = "numbers of classes from 0, such as y.astype('int64')"
        fail("E0601", f"{name} is {dtype}, expected whole or floating-point numbers", help=help)
    if len(shape) == 2 and shape[1] > 1 and _are_one_hot(rows):
        return rows.changed(shape[:1], np.dtype(np.int64), lambda found: found.argmax(1))
    if dtype.kind == "f":
        return rows.changed(shape, np.dtype(np.float32), lambda found: found.astype(np.float32))
    single = next((axis for axis in (1, -1) if len(shape) in (2, 4) and shape[axis] == 1), None)
    if single is None:
        return rows.changed(shape, np.dtype(np.int64), lambda found: found.astype(np.int64))
    without = tuple(np.delete(shape, single).tolist())
    return rows.changed(without, np.dtype(np.int64), lambda found: found.squeeze(single).astype(np.int64))


def _are_one_hot(rows: Rows) -> bool:
    found = rows.array
    return bool(((found == 0) | (found == 1)).all() and (found.sum(1) == 1).all())


def _is_float(dtype: Any) -> bool:
    return bool(np.issubdtype(dtype, np.floating))
