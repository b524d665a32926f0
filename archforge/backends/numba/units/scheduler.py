"""The loop in which every thread takes units of a program's steps until all are done."""

from __future__ import annotations

from archforge.backends.numba.units.intrinsics import (
    add_atomic,
    call_unit,
    device,
    load_atomic,
    pause,
    step_record,
    yield_slice,
)

__all__ = ["run_steps"]

LINE = 64  # bytes of a cache line: counters of different threads do not share one
PATIENCE = 2000  # pauses before the rest of the time slice goes to someone else


@device
def take_all(step, counters, owner, threads, scratch):
    """Do what is left of one thread's share of a step; returns the number of units done."""
    begin, end = step.units * owner // threads, step.units * (owner + 1) // threads
    done = 0
    while begin < end:  # an empty share costs no atomic operation
        unit = begin + add_atomic(counters + (owner + 1) * LINE, 1)
        if unit >= end:
            break
        call_unit(step.function, step.record, unit, scratch)
        done += 1
    return done


def run_steps(steps: int, count: int, counters: int, thread: int, threads: int, scratch: int) -> None:
    """Do the steps `STEP[count]` in order, together with other threads that do the same.

    `counters`, zeros at first, has for each step one line with the number of units done, and a line for each
    thread with the number taken of its share. A thread begins with its own share and then helps the others. A
    step is over when its units are done, not when all threads have arrived: a thread that the system has put
    aside holds up nothing but the unit in its hands, and one that comes late finds nothing to do.
    """
    for i in range(count):
        step = step_record(steps + i * 24)
        own = counters + i * (threads + 1) * LINE
        done = 0
        for k in range(threads):
            done += take_all(step, own, (thread + k) % threads, threads, scratch)
        if done:
            add_atomic(own, done)
        waited = 0
        while load_atomic(own) < step.units:
            waited += 1
            if waited < PATIENCE:
                pause()
            else:
                yield_slice()
