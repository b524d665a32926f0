"""Limits of this machine, measured: multiply-adds of one core and of all, and bytes read from memory.

A roofline (doi:10.1145/1498765.1498785) has these two limits. Both are measured with code of the same
generator and the same vectors as the kernels.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Barrier, Thread
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from archforge.backends.numba.microkernels.vectors import IrFunction
from archforge.backends.numba.runtime.tape import aligned
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.numba.toolchain.machine_code import Recipe, address
from archforge.plan import Limits

__all__ = ["measure"]

# Sums that wait for none of each other: 2 units times 4 cycles on most cores, 2 times 5 on some; AVX2 has
# 16 registers.
SUMS = 12
TURNS = 8
BYTES = 256 << 20  # what is read: several times the largest cache
TRIES = 7
FMA_TIMES = 1_000_000


@dataclass(frozen=True, slots=True)
class MultiplyLoop:
    """`times` times SUMS * TURNS multiply-adds of vectors; nothing is read meanwhile."""

    lanes: int

    @property
    def name(self) -> str:
        return f"limit_multiply_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        f = IrFunction(self.name, ("data", "times", "out"), self.lanes)
        x, w = f.load(f.arguments["data"]), f.load(f.arguments["data"], self.lanes * FLOAT)
        sums = [f.variable(f.constant(float(i))) for i in range(SUMS)]
        with f.loop(f.arguments["times"]):
            for total in sums * TURNS:
                total.set(f.multiply_add(x, w, total.get()))
        for i, total in enumerate(sums):
            f.store(total.get(), f.arguments["out"], i * self.lanes * FLOAT)
        return f.finish()


@dataclass(frozen=True, slots=True)
class ReadLoop:
    """Reads `times` times SUMS vectors, one behind the other, and adds them up."""

    lanes: int

    @property
    def name(self) -> str:
        return f"limit_read_{self.lanes}"

    def module(self) -> llvm.ModuleRef:
        f = IrFunction(self.name, ("data", "times", "out"), self.lanes)
        vector = self.lanes * FLOAT
        sums = [f.variable(f.constant(0.0)) for _ in range(SUMS)]
        at = f.variable(f.arguments["data"])
        with f.loop(f.arguments["times"]):
            for i, total in enumerate(sums):
                total.set(f.plus(total.get(), f.load(at.get(), i * vector)))
            at.set(f.add(at.get(), SUMS * vector))
        for i, total in enumerate(sums):
            f.store(total.get(), f.arguments["out"], i * vector)
        return f.finish()


def measure(threads: int) -> Limits:
    """The limits with so many threads, the best of several tries; takes about a second."""
    lanes, vector = machine().lanes, machine().vector
    multiply, read = _function(MultiplyLoop(lanes)), _function(ReadLoop(lanes))
    data = aligned((BYTES // FLOAT,))
    data[:] = 1e-3  # written, since pages never written are one page of zeros
    out = aligned((threads, SUMS, lanes))
    begin = data.ctypes.data
    share = BYTES // threads // (SUMS * vector)  # turns of the loop that are a thread's share

    def multiplied(thread: int) -> None:
        multiply(begin, FMA_TIMES, out[thread].ctypes.data)

    def was_read(thread: int) -> None:
        read(begin + thread * share * SUMS * vector, share, out[thread].ctypes.data)

    flops = 2.0 * FMA_TIMES * SUMS * TURNS * lanes
    return Limits(
        threads,
        one_flops=flops / _least_s(multiplied, 1),
        all_flops=flops * threads / _least_s(multiplied, threads),
        read_bytes=share * SUMS * vector * threads / _least_s(was_read, threads),
    )


def _function(recipe: Recipe) -> Any:
    """Callable with (data, times, out); other Python threads run meanwhile."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address(recipe))


def _least_s(work: Callable[[int], None], threads: int) -> float:
    """Seconds from when all threads begin `work(thread)` to when the last one is done; the least."""
    barrier = Barrier(threads)
    ends = np.zeros((TRIES, threads, 2))

    def run(thread: int) -> None:
        for i in range(TRIES):
            barrier.wait()
            ends[i, thread, 0] = time.perf_counter()
            work(thread)
            ends[i, thread, 1] = time.perf_counter()

    others = [Thread(target=run, args=(i,), daemon=True) for i in range(1, threads)]
    for other in others:
        other.start()
    run(0)
    for other in others:
        other.join()
    return float((ends[:, :, 1].max(axis=1) - ends[:, :, 0].min(axis=1)).min())
