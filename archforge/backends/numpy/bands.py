"""What kernels share: bands of rows that fit a cache, windows over them, and epilogues.

A kernel is called as `run(params, *inputs, out=..., scratch=..., epilogue=...)` with values float32
[N, *spatial, C], whose pixels may lie further apart than C where they are inside a concatenation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from archforge.backends.numpy.call_memory import Scratch
from archforge.ops.activations import ACTIVATIONS, CLAMPS
from archforge.ops.base import Array, Op
from archforge.ops.window import Window
from archforge.plan import Epilogue, Kernel
from archforge.plan.contract import Pack, unpacked

__all__ = [
    "ABSORBED",
    "ACTIVATION_KINDS",
    "Band",
    "Part",
    "Reader",
    "bands",
    "finish",
    "in_parts",
    "pixels",
    "windows",
]

BAND_BYTES = 2 << 20  # what is worked on at a time: the L2 caches of two cores or more

ACTIVATION_KINDS = frozenset(("elu", "gelu", "leaky_relu", *(cls.op for cls in ACTIVATIONS)))
ABSORBED = ACTIVATION_KINDS | {"add"}

# Images and rows of their first spatial axis: all rows of several images, or some rows of one.
Band = tuple[slice, slice]
Part = tuple[slice, ...]  # of any axes from the first on


def bands(batch: int, rows: int, row_bytes: int, most: int = BAND_BYTES) -> Iterator[Band]:
    """Bands of at most so many bytes, at least a row each."""
    fitting = rows_within(most, row_bytes)
    images = max(1, fitting // rows)
    height = -(-rows // -(-rows // fitting))
    for n in range(0, batch, images):
        for a in range(0, rows, height):
            yield slice(n, min(n + images, batch)), slice(a, min(a + height, rows))


def rows_within(most: int, row_bytes: int) -> int:
    return max(1, most // row_bytes)


def pixels(value: Array) -> Array:
    """A view [pixels, C]."""
    return value.reshape(-1, value.shape[-1], copy=False)


def windows(band: Array, window: Window, rows: int) -> Array:
    """A view [N, rows, *output, *kernel, C] of what `rows` rows of windows see in a band of padded maps."""
    n, *steps, channel = band.strides
    return as_strided(
        band,
        (len(band), rows, *window.output[1:], *window.kernel, band.shape[-1]),
        (
            n,
            *(step * s for step, s in zip(steps, window.stride, strict=True)),
            *(step * d for step, d in zip(steps, window.dilation, strict=True)),
            channel,
        ),
        writeable=False,
    )


class Reader:
    """Reads maps band by band with their padding."""

    def __init__(self, window: Window, sizes: tuple[int, ...], value: float = 0.0) -> None:
        self.window = window
        self.margins = window.margins(sizes)
        self.value = value
        self.is_padded = any(map(any, self.margins))

    def shape(self, band: Band, sizes: tuple[int, ...], channels: int) -> tuple[int, ...]:
        """Of a band with its padding; of nothing where maps need none."""
        images, rows = band
        if not self.is_padded:
            return (0,)
        extents = [n + sum(m) for n, m in zip(sizes, self.margins, strict=True)]
        return (images.stop - images.start, self._reach(rows), *extents[1:], channels)

    def read(self, x: Array, band: Band, memory: Array) -> Array:
        """What the rows of a band see of `x` [N, *spatial, C], written to `memory` if it is padded."""
        images, rows = band
        first = rows.start * self.window.stride[0] - self.margins[0][0]
        count = self._reach(rows)
        if not self.is_padded:
            return x[images, first : first + count]
        return fill_band(memory, x[images], first, self.margins[1:], self.value)

    def _reach(self, rows: slice) -> int:
        count: int = rows.stop - rows.start
        return (count - 1) * self.window.stride[0] + self.window.reach[0]


def fill_band(
    memory: Array, x: Array, first: int, margins: Sequence[tuple[int, int]], value: float = 0.0
) -> Array:
    """`memory` [N, rows, *padded, C] with rows of `x` from `first` on, and `value` where there is no row
    or column of it. `margins` are the columns' (before, after)."""
    rows = memory.shape[1]
    low = min(max(first, 0), x.shape[1])
    high = max(low, min(first + rows, x.shape[1]))
    memory[:, : low - first] = value
    memory[:, high - first :] = value
    kept = memory[:, low - first : high - first]
    for axis, (before, after) in enumerate(margins, start=2):
        along = (slice(None),) * axis
        size = kept.shape[axis]
        kept[(*along, slice(0, before))] = value
        kept[(*along, slice(size - after, size))] = value
        kept = kept[(*along, slice(before, size - after))]
    np.copyto(kept, x[:, low:high])
    return memory


def _whole(value: Array) -> Array:
    return value


# `parts(params, x, out, scratch)` writes the result part by part, and gives each before the next is begun.
Parts = Callable[[Mapping[str, Array], Array, Array, Scratch], Iterator[Part]]


def in_parts(
    parts: Parts, pack: Pack = unpacked, packing: Hashable = None, *, view: Callable[[Array], Array] = _whole
) -> Kernel:
    """A kernel that finishes each part of its result, with the parameter `bias` if there is one, a residual
    and the epilogue, while it is in the cache. All maps are seen through `view`."""

    def run(
        params: Mapping[str, Array],
        x: Array,
        residual: Array | None = None,
        *,
        out: Array,
        scratch: Scratch,
        epilogue: Epilogue | None = None,
    ) -> None:
        x, out = view(x), view(out)
        residual = None if residual is None else view(residual)
        for part in parts(params, x, out, scratch):
            rest = None if residual is None else residual[part]
            finish(out[part], params.get("bias"), rest, epilogue)

    return Kernel(run, pack, ABSORBED, packing=packing)


def finish(y: Array, bias: Array | None, residual: Array | None, epilogue: Epilogue | None) -> None:
    """Add a bias [C] and a residual to `y` [..., C], then apply the epilogue's activation, all in place."""
    if bias is not None:
        np.add(y, bias, out=y)
    if residual is not None:
        np.add(y, residual, out=y)
    if epilogue and epilogue.activation:
        activate(epilogue.activation, y)


def activate(op: Op, y: Array) -> None:
    if op.kind in CLAMPS:
        y.clip(*CLAMPS[op.kind], out=y)
    else:
        np.copyto(y, op.reference({}, y))
