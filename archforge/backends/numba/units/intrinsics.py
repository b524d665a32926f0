"""Intrinsics of compiled functions: records and arrays at addresses, calls by address, atomic counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from archforge.backends.numba.runtime.records import (
    ACROSS,
    ATTENTION,
    CHANNELS,
    CONV,
    ELEMENTS,
    GATHER,
    GEOMETRY,
    MOVE,
    OUTER,
    PACKED_PANEL,
    PACKING,
    PANEL,
    POOL,
    RESAMPLE,
    STEP,
    STREAM,
    TRANSFORM,
    WINDOWS_BACK,
    WINOGRAD,
    RecordTable,
)
from archforge.backends.numba.toolchain.machine import FLOAT, machine

__all__ = [
    "LANES",
    "VECTOR",
    "across_record",
    "add_atomic",
    "attention_record",
    "bits_of",
    "call_gather",
    "call_in",
    "call_narrow",
    "call_out",
    "call_outer",
    "call_slope",
    "call_stream",
    "call_tile",
    "call_transform",
    "call_unit",
    "call_window",
    "call_window_back",
    "channels_record",
    "conv_record",
    "copy_vector",
    "device",
    "doubles",
    "elements_record",
    "exp2_of",
    "float_of",
    "floats",
    "gather_record",
    "geometry_record",
    "integers",
    "load_atomic",
    "move_record",
    "outer_record",
    "packed_panel_record",
    "packing_record",
    "panel_record",
    "pause",
    "pool_record",
    "record",
    "resample_record",
    "scaled",
    "step_record",
    "stream_record",
    "transform_record",
    "windows_back_record",
    "winograd_record",
    "yield_slice",
]

LANES = machine().lanes
VECTOR = machine().vector
WORD = ir.IntType(64)

F = TypeVar("F", bound=Callable[..., Any])


def device(function: F) -> F:
    """A function that compiled functions may call. It rounds a product and the sum that it goes into once
    where the CPU can."""
    # No reference counts, since nothing here owns memory, and no way to call it from Python or C.
    compiled: F = numba.njit(
        function,
        error_model="numpy",
        _nrt=False,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        fastmath={"contract"},
    )
    return compiled


def _seen_as(kind: Any) -> Any:
    """An intrinsic that takes an address for a value of a kind that is a pointer."""

    def seen(typing: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return kind(types.int64), code

    return intrinsic(seen)


def _array_of(kind: Any) -> Any:
    """An intrinsic that sees `count` values of a kind at an address as an array, which owns nothing.

    numba.carray would do, but only with reference counts.
    """

    def array(typing: Any, address: Any, count: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            made = arrayobj.make_array(signature.return_type)(context, builder)
            item = context.get_constant(types.intp, kind.bitwidth // 8)
            data = builder.inttoptr(arguments[0], made.data.type)
            arrayobj.populate_array(made, data, [arguments[1]], [item], item, meminfo=None)
            return made._getvalue()

        return types.Array(kind, 1, "C")(types.int64, types.int64), code

    return intrinsic(array)


floats = _array_of(types.float32)
doubles = _array_of(types.float64)
integers = _array_of(types.int64)


def record(table: RecordTable) -> Any:
    """A function from an address to the record of that table there."""
    return _seen_as(numba.from_dtype(table.dtype))


def _call(arguments: int) -> Any:
    """An intrinsic that calls the function at an address with so many integers."""

    def call(typing: Any, *given: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            function = ir.FunctionType(ir.VoidType(), [WORD] * arguments)
            address = builder.inttoptr(values[0], function.as_pointer())
            builder.call(address, values[1:])
            return context.get_dummy_value()

        return types.void(*[types.int64] * (arguments + 1)), code

    return call


@intrinsic
def call_tile(typing, function, geometry, source, weight, bias, out, residual, ahead):
    """Call a microkernel of `microkernels/product_tiles.py`."""
    return _call(7)(typing)


@intrinsic
def call_narrow(typing, function, source, pixel, out, count):
    """Call a microkernel of `microkernels/narrow_pixels.py`."""
    return _call(4)(typing)


@intrinsic
def call_window(typing, function, geometry, source, weight, bias, out, residual, top, rows):
    """Call a microkernel of `microkernels/window_tiles.py`."""
    return _call(8)(typing)


@intrinsic
def call_outer(typing, function, geometry, x, dy, sums, rows, pixels):
    """Call a microkernel of `microkernels/outer_products.py`."""
    return _call(6)(typing)


@intrinsic
def call_slope(typing, function, values, gradients, count, parameter):
    """Call the way back through an activation."""
    return _call(4)(typing)


@intrinsic
def call_stream(typing, function, geometry, constants, x, y, dy, out, sums, images, count):
    """Call a microkernel of `microkernels/channel_streams.py`."""
    return _call(9)(typing)


@intrinsic
def call_window_back(typing, function, geometry, x, y, dy, out, shares, rows, columns, pixels):
    """Call a microkernel of `microkernels/windows_back.py`."""
    return _call(9)(typing)


@intrinsic
def call_unit(typing, function, record, unit, scratch):
    """Call a unit of a step, or an activation with (address, count, address of its parameter)."""
    return _call(3)(typing)


@intrinsic
def call_in(typing, function, source, source_row, out, stride):
    """Call Winograd's transform of a tile of inputs."""
    return _call(4)(typing)


@intrinsic
def call_out(typing, function, geometry, source, stride, bias, out, out_row, residual, residual_row):
    """Call Winograd's transform to a tile of outputs."""
    return _call(8)(typing)


@intrinsic
def call_transform(typing, function, source, place, out, stride, count):
    """Call Winograd's transform of weights."""
    return _call(5)(typing)


@intrinsic
def call_gather(typing, function, lanes, out, count):
    """Call a microkernel of `microkernels/lane_gather.py`."""
    return _call(3)(typing)


@intrinsic
def call_turn(typing, function, dense, row, vectors, line, order):
    """Call a microkernel of `microkernels/turned_squares.py`."""
    return _call(5)(typing)


@intrinsic
def add_atomic(typing, address, value):
    """Add to the integer at the address; returns what it was before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], WORD.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), code


@intrinsic
def load_atomic(typing, address):
    """The integer at the address, also if another thread has just written it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], WORD.as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8, typ=WORD)

    return types.int64(types.int64), code


def _void_call(name: str) -> Any:
    """An intrinsic that calls a function by its symbol, without arguments."""

    def call(typing: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            module = builder.module
            function = module.globals.get(name) or ir.Function(
                module, ir.FunctionType(ir.VoidType(), []), name
            )
            builder.call(function, [])
            return context.get_dummy_value()

        return types.void(), code

    return intrinsic(call)


yield_slice = _void_call("archforge_yield")
pause = _void_call("llvm.x86.sse2.pause") if machine().is_x86 else yield_slice


@intrinsic
def exp2_of(typing, exponent):
    """2 to the power of an int32 from -126 to 127, as float32: the bits of the exponent alone."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.shl(
            builder.add(arguments[0], ir.Constant(ir.IntType(32), 127)), ir.Constant(ir.IntType(32), 23)
        )
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.int32), code


@intrinsic
def _scaled_once(typing, value, exponent):
    """The value times 2^exponent, rounded once. LLVM calls the C library where no instruction does it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), ir.IntType(32)])
        name = "llvm.ldexp.f32.i32"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, arguments)

    return types.float32(types.float32, types.int32), code


@device
def _scaled_twice(value, exponent):
    """The value times 2^exponent, which itself may be too large or too small a number where the product is
    none."""
    half = exponent >> 1
    return value * exp2_of(half) * exp2_of(exponent - half)


# Of a float32 and an int32.
scaled = _scaled_once if machine().simd == "avx512" else _scaled_twice


@intrinsic
def copy_vector(typing, source, to):
    """Copy a vector. A loop over as many floats would copy one after the other, since LLVM sees it before its
    length is known."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), LANES)
        source, to = (builder.inttoptr(address, kind.as_pointer()) for address in arguments)
        builder.store(builder.load(source, align=FLOAT), to, align=FLOAT)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def bits_of(typing, value):
    """The bits of a float32 as an int32."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), code


@intrinsic
def float_of(typing, bits):
    """The float32 of the bits of an int32."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), code


across_record = record(ACROSS)
attention_record = record(ATTENTION)
conv_record = record(CONV)
geometry_record = record(GEOMETRY)
panel_record = record(PANEL)
pool_record = record(POOL)
elements_record = record(ELEMENTS)
move_record = record(MOVE)
gather_record = record(GATHER)
winograd_record = record(WINOGRAD)
resample_record = record(RESAMPLE)
step_record = record(STEP)
packing_record = record(PACKING)
packed_panel_record = record(PACKED_PANEL)
outer_record = record(OUTER)
stream_record = record(STREAM)
transform_record = record(TRANSFORM)
channels_record = record(CHANNELS)
windows_back_record = record(WINDOWS_BACK)
