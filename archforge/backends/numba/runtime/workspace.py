"""Workspaces: the memory of a tape, its calls as records, and the run through them."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from archforge.backends.numba.runtime.records import STEP
from archforge.backends.numba.runtime.tape import BufferPlace, PythonCall, Tape, TapeCall, TapeValue, aligned
from archforge.backends.numba.runtime.threads import help_with
from archforge.backends.numba.runtime.unit_recipe import SCHEDULER
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.numba.toolchain.machine_code import address
from archforge.hardware import require_memory
from archforge.ops.base import Array
from archforge.plan import Watcher
from archforge.plan.arena import lay_out

__all__ = ["Workspace"]

# How long Python may be kept from looking at signals, and steps in a row before their time is known.
PATIENCE_S, FEW_STEPS = 0.2, 8
LINE = 64  # bytes of the counters of one thread, as the scheduler counts


class Workspace:
    """A tape with memory, which runs one call of the network at a time. `memory` gives uint8[size] for its
    values, by default memory of its own; workspaces that never run together may share some."""

    def __init__(
        self, tape: Tape, *, share_memory: bool = True, memory: Callable[[int], Array] | None = None
    ) -> None:
        # Inputs that stay as they are given are read where the caller has them.
        self._outside: dict[int, list[tuple[Array, str, int]]] = {
            value.place.buffer: [] for _, value in tape.inputs if not value.is_blocked
        }
        self._given: dict[int, Array] = {}  # by buffer, during a call
        inside = [buffer for i, buffer in enumerate(tape.buffers()) if i not in self._outside]
        placed, size = lay_out(inside, share=share_memory)
        at = iter(placed)
        offsets = [0 if i in self._outside else next(at) for i in range(len(tape.sizes))]
        self._tape = tape
        require_memory(size, f"the values of a batch of {tape.images}")
        self._arena = memory(size) if memory else aligned((size,), np.uint8)
        self._arena_begin = self._arena.ctypes.data
        self._offsets = offsets
        self._scratch = aligned((machine().threads, tape.scratch), np.uint8)
        self._scratch_of = [scratch.ctypes.data for scratch in self._scratch]  # by thread
        self._records: list[Array] = []
        self._seen: dict[TapeValue, Array] = {}  # views on the arena, which take longer to make than to copy
        self._steps_at_once = FEW_STEPS
        # Runs of steps that machine code does without Python in between, and steps that Python does.
        self._segments: list[Array | PythonCall] = []
        steps: list[tuple[int, int, int]] = []
        for call in [*tape.calls, None]:
            if isinstance(call, TapeCall):
                steps.append((address(call.unit), self._record(call), call.units))
                continue
            if steps:
                self._segments.append(np.array(steps, STEP.dtype))
                steps = []
            if call is not None:
                self._segments.append(call)

    def run(self, inputs: Mapping[str, Array], wanted: Mapping[str, TapeValue]) -> dict[str, Array]:
        """The wanted values as arrays, for inputs float[N, *shape]."""
        self._take_in(inputs)
        self._do_all()
        return self._outputs(wanted)

    def watched(
        self, inputs: Mapping[str, Array], wanted: Mapping[str, TapeValue], watcher: Watcher
    ) -> dict[str, Array]:
        """The wanted values as arrays. The watcher is told after each call of the tape."""
        self._take_in(inputs)
        watcher.took_inputs()
        calls = iter(self._tape.calls)
        self._do_all(lambda: watcher.made(next(calls).step))
        outputs = self._outputs(wanted)
        watcher.gave_outputs()
        return outputs

    def _take_in(self, inputs: Mapping[str, Array]) -> None:
        for name, value in self._tape.inputs:
            if value.is_blocked:
                self._fill(value, inputs[name])
                continue
            array = self._given[value.place.buffer] = np.ascontiguousarray(inputs[name], np.float32)
            for record, field, offset in self._outside[value.place.buffer]:
                record[0][field] = array.ctypes.data + offset

    def _outputs(self, wanted: Mapping[str, TapeValue]) -> dict[str, Array]:
        outputs = {name: self._array(value) for name, value in wanted.items()}
        self._given.clear()
        return outputs

    def _do_all(self, made: Callable[[], None] | None = None) -> None:
        """Do all segments, and call `made` after each call of the tape."""
        start = time.perf_counter()
        for segment in self._segments:
            self._do(segment, made)
        self._steps_at_once = int(len(self._tape.calls) * PATIENCE_S / (time.perf_counter() - start)) or 1

    def _do(self, segment: Array | PythonCall, made: Callable[[], None] | None) -> None:
        if isinstance(segment, PythonCall):
            for value, array in zip(
                segment.outputs, segment.compute(*map(self._array, segment.inputs)), strict=True
            ):
                self._fill(value, array)
            if made:
                made()
        else:
            for first in range(0, len(segment), self._steps_at_once):
                steps = segment[first : first + self._steps_at_once]
                if made:
                    self._watch(steps, made)
                else:
                    self._compute(steps)

    def _compute(self, steps: Array) -> None:
        counters = _counters(steps)
        help_with(lambda thread: self._run(steps, counters, thread))

    def _run(self, steps: Array, counters: Array, thread: int) -> None:
        where = steps.ctypes.data, len(steps), counters.ctypes.data
        _scheduler()(*where, thread, machine().threads, self._scratch_of[thread])

    def _watch(self, steps: Array, made: Callable[[], None]) -> None:
        """Do steps, and call `made` after each.

        The other threads wait at a gate before each of them: a step of one unit that nobody finds to take,
        done when this thread says so. To wake them anew would take longer than a short step does.
        """
        gated: Array = np.array([(0, 0, 1)] * (2 * len(steps)), STEP.dtype)
        gated[1::2] = steps
        counters = _counters(gated)
        done, counters[::2, 1:] = counters[::2, 0], 1

        def job(thread: int) -> None:
            if thread:
                self._run(gated, counters, thread)
                return
            try:
                for i in range(len(steps)):
                    done[i] = 1
                    self._run(gated[2 * i + 1 : 2 * i + 2], counters[2 * i + 1 :], thread)
                    made()
            finally:  # where a watcher fails, nobody is left waiting or at work
                done[:] = 1
                self._run(gated, counters, thread)

        help_with(job)

    def _record(self, call: TapeCall) -> int:
        record = aligned((1,), call.record.dtype)
        row = record[0]
        for name, value in call.fields.items():
            if isinstance(value, BufferPlace) and value.buffer in self._outside:
                self._outside[value.buffer].append((record, name, value.offset))
            else:
                row[name] = self._resolved(value)
        self._records.append(record)
        return int(record.ctypes.data)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, int | float):
            return value
        if isinstance(value, BufferPlace):
            return self._arena_begin + self._offsets[value.buffer] + value.offset
        if isinstance(value, tuple):
            self._records.append(np.array([self._resolved(place) for place in value], np.int64))
            return self._records[-1].ctypes.data
        if isinstance(value, np.ndarray):
            return value.ctypes.data
        return address(value)

    def _view(self, value: TapeValue) -> Array:
        """A view on the arena or a given input: float32[N, C, *others], or [N, blocks, lanes, *others]."""
        lanes = machine().lanes
        others = value.others
        strides = (math.prod(others[i + 1 :]) * value.pixel for i in range(len(others)))
        shape = (value.blocks, lanes) if value.is_blocked else (value.channels,)
        steps = (value.plane, FLOAT) if value.is_blocked else (value.plane,)
        buffer = value.place.buffer
        return np.ndarray(
            (self._tape.images, *shape, *others),
            np.float32,
            self._given[buffer].data if buffer in self._given else self._arena.data,
            self._offsets[buffer] + value.place.offset,
            (value.image, *steps, *strides),
        )

    def _array(self, value: TapeValue) -> Array:
        """A copy of the value in the reference's order."""
        seen = self._seen.get(value)
        if seen is None:
            seen = self._ordered(value)
            if np.may_share_memory(seen, self._arena):
                self._seen[value] = seen
        return np.array(seen, order="C")

    def _ordered(self, value: TapeValue) -> Array:
        """The value in the reference's order; a view on the arena where its channels lie in one run."""
        view = self._view(value)
        if not value.is_blocked:
            return view
        whole = view.reshape(self._tape.images, -1, *value.others)
        return np.moveaxis(whole[:, : value.channels], 1, value.axis + 1)

    def _fill(self, value: TapeValue, array: Array) -> None:
        view = self._view(value)
        if not value.is_blocked:
            view[...] = array
            return
        full, rest = divmod(value.channels, machine().lanes)
        head = array[:, : value.channels - rest]
        view[:, :full] = head.reshape(len(array), full, machine().lanes, *value.shape[1:])
        if rest:
            view[:, full, :rest] = array[:, value.channels - rest :]
            view[:, full, rest:] = 0


def _counters(steps: Array) -> Array:
    """Zeros for one run of steps: a thread that comes when it is over must find its units done."""
    return aligned((len(steps), machine().threads + 1, LINE // 8), np.int64)


@cache
def _scheduler() -> Any:
    """The compiled loop; a call through ctypes lets other Python threads run."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * SCHEDULER.arguments)(address(SCHEDULER))
