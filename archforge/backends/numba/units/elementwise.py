"""Operations element by element."""

from __future__ import annotations

from archforge.backends.numba.runtime.opcodes import (
    ADD,
    COPY,
    MULTIPLY,
    SLOPES,
    SUBTRACT,
)
from archforge.backends.numba.units.float_runs import copy
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_unit,
    device,
    elements_record,
    floats,
)

__all__ = ["elementwise"]


def elementwise(row: int, unit: int, scratch: int) -> None:
    """Compute one chunk of one image."""
    r = elements_record(row)
    image, chunk = unit // r.chunks, unit % r.chunks
    begin = chunk * r.chunk
    count = min(r.chunk, r.count - begin)
    x = r.x + image * r.x_image + begin * 4
    out = r.out + image * r.out_image + begin * 4
    if r.kind == COPY:
        copy(x, out, count)
    elif r.kind == SLOPES:
        bend(x, r.y + chunk * VECTOR, out, count)
    else:
        merge(r.kind, x, r.y + image * r.y_image + begin * 4, out, count)
    if r.activation:
        call_unit(r.activation, out, count, r.parameter)


@device
def merge(kind, x_address, y_address, out_address, count):
    x, y, out = floats(x_address, count), floats(y_address, count), floats(out_address, count)
    if kind == ADD:
        for i in range(count):
            out[i] = x[i] + y[i]
    elif kind == SUBTRACT:
        for i in range(count):
            out[i] = x[i] - y[i]
    elif kind == MULTIPLY:
        for i in range(count):
            out[i] = x[i] * y[i]


@device
def bend(x_address, slopes, out_address, count):
    """Multiply negative numbers by the slopes of their lanes."""
    x, out, slope = floats(x_address, count), floats(out_address, count), floats(slopes, LANES)
    for i in range(0, count, LANES):
        for lane in range(LANES):
            value = x[i + lane]
            out[i + lane] = value if value > 0 else value * slope[lane]
