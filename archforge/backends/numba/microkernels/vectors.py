"""LLVM IR in terms of vectors of `lanes` floats at byte addresses: what the microkernels are written in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from archforge.backends.numba.toolchain.machine import FLOAT

__all__ = ["IrFunction", "Variable"]

WORD = ir.IntType(64)
SCALAR = ir.FloatType()
WIDE = ir.DoubleType()


class _BFloat16(ir.Type):  # type: ignore[misc]
    """LLVM's type of bfloat16, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"


HALF = _BFloat16()


class Variable:
    """A place that the optimiser turns into a register."""

    def __init__(self, function: IrFunction, kind: ir.Type, value: Any) -> None:
        self._b = function.builder
        with self._b.goto_entry_block():
            self._place = self._b.alloca(kind)
        self._kind = kind
        self.set(value)

    def get(self) -> Any:
        return self._b.load(self._place, typ=self._kind)

    def set(self, value: Any) -> None:
        self._b.store(value, self._place)


class IrFunction:
    """A function of 64-bit integers, most of them addresses, under construction."""

    def __init__(self, name: str, arguments: Sequence[str], lanes: int) -> None:
        self.vector = ir.VectorType(SCALAR, lanes)
        self.lanes = lanes
        self._module = ir.Module(name)
        self._module.triple = llvm.get_process_triple()
        kind = ir.FunctionType(ir.VoidType(), [WORD] * len(arguments))
        self._function = ir.Function(self._module, kind, name)
        entry = self._function.append_basic_block("entry")
        body = self._function.append_basic_block("body")
        ir.IRBuilder(entry).branch(body)  # variables go to the entry, before this branch
        self.builder = ir.IRBuilder(body)
        self.arguments = dict(zip(arguments, self._function.args, strict=True))

    def finish(self) -> llvm.ModuleRef:
        """The module that holds the function, complete and parsed."""
        self.builder.ret_void()
        return llvm.parse_assembly(str(self._module))

    # Integers -----------------------------------------------------------------------------------------

    def word(self, value: int) -> Any:
        return ir.Constant(WORD, value)

    def add(self, *values: Any) -> Any:
        first, *others = (self.word(v) if isinstance(v, int) else v for v in values)
        for other in others:
            first = self.builder.add(first, other)
        return first

    def times(self, value: Any, factor: int) -> Any:
        return self.builder.mul(value, self.word(factor))

    def when_less(self, x: Any, y: Any, yes: Any, no: Any) -> Any:
        """`yes` if x < y, else `no`."""
        return self.builder.select(self.builder.icmp_signed("<", x, y), yes, no)

    def least(self, x: Any, y: Any) -> Any:
        return self.when_less(x, y, x, y)

    def most(self, x: Any, y: Any) -> Any:
        return self.when_less(x, y, y, x)

    def integer_at(self, address: Any, offset: int = 0) -> Any:
        return self.builder.load(self._pointer(address, offset), typ=WORD)

    def addresses(self, first: Any, stride: Any, count: int) -> list[Any]:
        """`count` addresses, `stride` bytes apart."""
        places = [first]
        for _ in range(count - 1):
            places.append(self.add(places[-1], stride))
        return places

    def variable(self, value: Any) -> Variable:
        return Variable(self, value.type, value)

    @contextmanager
    def loop(self, count: Any) -> Iterator[None]:
        """A loop whose body runs `count` times; not at all if that is 0."""
        b = self.builder
        i = self.variable(self.word(0))
        head, body, end = (b.append_basic_block(name) for name in ("head", "loop", "end"))
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(b.icmp_signed("<", i.get(), count), body, end)
        b.position_at_end(body)
        yield
        i.set(self.add(i.get(), 1))
        b.branch(head)
        b.position_at_end(end)

    @contextmanager
    def when_not_zero(self, value: Any) -> Iterator[None]:
        with self.builder.if_then(self.builder.icmp_signed("!=", value, self.word(0))):
            yield

    # Vectors ------------------------------------------------------------------------------------------

    def load(self, address: Any, offset: int = 0) -> Any:
        # Nothing promises that an address is a multiple of the vector's size.
        return self.builder.load(self._pointer(address, offset), align=FLOAT, typ=self.vector)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        self.builder.store(value, self._pointer(address, offset), align=FLOAT)

    def prefetch(self, address: Any) -> None:
        """Have the cache line at the address brought to the L2 cache; any address will do."""
        name, byte = "llvm.prefetch.p0", ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [ir.PointerType(), byte, byte, byte])
        function = self._module.globals.get(name) or ir.Function(self._module, kind, name)
        to_read, to_l2, data = (ir.Constant(byte, value) for value in (0, 2, 1))
        self.builder.call(function, [self._pointer(address, 0), to_read, to_l2, data])

    def spread(self, address: Any, offset: int = 0) -> Any:
        """The one float at the address in every lane."""
        scalar = self.builder.load(self._pointer(address, offset), align=FLOAT, typ=SCALAR)
        return self._in_every_lane(scalar, SCALAR)

    def joined(self, addresses: Sequence[Any]) -> Any:
        """The floats at some addresses, one for each lane."""
        made = ir.Constant(self.vector, ir.Undefined)
        for lane, address in enumerate(addresses):
            scalar = self.builder.load(self._pointer(address, 0), align=FLOAT, typ=SCALAR)
            made = self.builder.insert_element(made, scalar, ir.Constant(ir.IntType(32), lane))
        return made

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z, rounded once where the CPU can and twice elsewhere."""
        name = f"llvm.fmuladd.v{self.lanes}f32"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = self._module.globals.get(name) or ir.Function(self._module, kind, name)
        return self.builder.call(function, [x, y, z])

    def multiply_add_pairs(self, x: Any, y: Any, z: Any) -> Any:
        """x[0] * y[0] + x[1] * y[1] + z, where each lane of x and of y holds a pair of bfloat16. It takes
        vectors of 512 bits and a CPU with avx512_bf16."""
        name, pairs = "llvm.x86.avx512bf16.dpbf16ps.512", ir.VectorType(HALF, 2 * self.lanes)
        kind = ir.FunctionType(self.vector, [self.vector, pairs, pairs])
        function = self._module.globals.get(name) or ir.Function(self._module, kind, name)
        return self.builder.call(function, [z, *(self.builder.bitcast(v, pairs) for v in (x, y))])

    def store_bfloat16(self, value: Any, address: Any) -> None:
        """Store the numbers of a vector, rounded to bfloat16."""
        half = ir.VectorType(HALF, self.lanes)
        self.builder.store(self.builder.fptrunc(value, half), self._pointer(address, 0), align=FLOAT)

    def plus(self, x: Any, y: Any) -> Any:
        return self.builder.fadd(x, y)

    def minus(self, x: Any, y: Any) -> Any:
        return self.builder.fsub(x, y)

    def widened(self, x: Any) -> Any:
        """The numbers of a vector in float64."""
        return self.builder.fpext(x, ir.VectorType(WIDE, self.lanes))

    def narrowed(self, x: Any) -> Any:
        """The numbers of a vector of float64, rounded to float32."""
        return self.builder.fptrunc(x, self.vector)

    def times_constant(self, factor: float, x: Any) -> Any:
        return self.builder.fmul(self.constant(factor), x)

    def multiply(self, x: Any, y: Any) -> Any:
        return self.builder.fmul(x, y)

    def divide(self, x: Any, y: Any) -> Any:
        return self.builder.fdiv(x, y)

    def as_floats(self, count: Any) -> Any:
        """An integer in every lane."""
        return self._in_every_lane(self.builder.sitofp(count, SCALAR), SCALAR)

    def at_least(self, low: Any, x: Any) -> Any:
        """The larger one; what is not a number stays, as in numpy.maximum."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, low), low, x)

    def at_most(self, high: Any, x: Any) -> Any:
        """The smaller one; what is not a number stays, as in numpy.minimum."""
        return self.builder.select(self.builder.fcmp_ordered(">", x, high), high, x)

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        """One of two vectors, without a branch."""
        return self.builder.select(self._in_every_lane(condition, ir.IntType(1)), yes, no)

    def _in_every_lane(self, scalar: Any, kind: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(kind, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.shuffled(first, undefined, [0] * self.lanes)

    def shuffled(self, x: Any, y: Any, lanes: Sequence[int]) -> Any:
        """Numbers of two vectors by their lanes, those of the second behind those of the first."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [*lanes])
        return self.builder.shuffle_vector(x, y, numbers)

    def larger(self, x: Any, y: Any) -> Any:
        """The larger one; what is not a number wins, as in numpy.maximum."""
        most = self.builder.select(self.builder.fcmp_ordered(">", x, y), x, y)  # y if either is none
        return self.builder.select(self.builder.fcmp_unordered("uno", x, x), x, most)

    def lowest(self) -> Any:
        return self.constant(-math.inf)

    def _pointer(self, address: Any, offset: int) -> Any:
        return self.builder.inttoptr(self.add(address, offset) if offset else address, ir.PointerType())
