"""A job: the processes of a run, started together and ended together."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from time import monotonic, sleep
from typing import IO

from archforge.errors import fail
from archforge.hardware import threads
from archforge.training.ranks.engines import Engine, ProcessStart
from archforge.training.ranks.group import GOING_ON
from archforge.training.ranks.hosts import is_here, passed_on

__all__ = ["GREETING", "THREADS", "run_job"]

# The first line of the standard input of a rank, which then lasts as long as the process that started it.
GREETING = b"archforge\n"
LOOK_S, PATIENCE_S = 0.05, 3.0
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20")
MOST_OWN = 128  # exit codes beyond are of signals, as shells have them, and of what starts ranks
# Variables by which libraries learn their number of threads.
THREADS = ("ARCHFORGE_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_job(engine: Engine, arguments: Sequence[str], hosts: Sequence[str]) -> int:
    """Run `archforge ARGUMENTS` as a rank on each of the hosts, and return the exit code.

    It is that of the first rank that ends with another one than 0; the others are then ended. A signal to end
    has the ranks keep a checkpoint and end, a second one ends them at once. Raises E0908 for a rank that was
    ended by a signal, and E0909 where ranks do not start.
    """
    starts = engine.starts([sys.executable, "-m", "archforge.cli.rank", *arguments], hosts)
    ranks_here = sum(map(is_here, hosts))
    processes: list[Popen[bytes]] = []
    try:
        processes += (_started(start, ranks_here) for start in starts)
        codes = _codes(processes)
    except KeyboardInterrupt:
        _close_inputs(processes)
        while any(process.poll() is None for process in processes):
            sleep(LOOK_S)
        raise
    finally:
        _end(processes)
    return _result(starts, codes)


def _started(start: ProcessStart, ranks_here: int) -> Popen[bytes]:
    """The process, in a session of its own: Ctrl-C is for the one that started it."""
    command, variables = [*start.command], {**start.variables}
    if is_here(start.host):
        cores = str(max(threads().number // max(ranks_here, 1), 1))
        variables |= {name: cores for name in THREADS if name not in os.environ}
    else:
        settings = [f"{name}={value}" for name, value in (passed_on() | variables).items()]
        there = f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(['env', *settings, *command])}"
        command = [*SSH, start.host, there]
    try:
        process = Popen(command, stdin=PIPE, env=os.environ | variables, start_new_session=True)
    except OSError as error:
        fail("E0909", f"{command[0]} does not start: {error.strerror}", help="install it")
    with suppress(OSError):  # it has ended already
        _input_of(process).write(GREETING)
        _input_of(process).flush()
    return process


def _input_of(process: Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _close_inputs(processes: Sequence[Popen[bytes]]) -> None:
    for process in processes:
        with suppress(OSError):
            _input_of(process).close()


def _codes(processes: Sequence[Popen[bytes]]) -> list[int | None]:
    """The exit codes when all have ended, or one has ended badly; None for those that have not."""
    while True:
        codes = [process.poll() for process in processes]
        if None not in codes or any(codes):
            return codes
        sleep(LOOK_S)


def _end(processes: Sequence[Popen[bytes]]) -> None:
    """End what still runs, by force if it takes long."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    until = monotonic() + PATIENCE_S
    while monotonic() < until and any(process.poll() is None for process in running):
        sleep(LOOK_S)
    for process in running:
        process.kill()
        process.wait()
    _close_inputs(processes)


def _result(starts: Sequence[ProcessStart], codes: Sequence[int | None]) -> int:
    """The exit code of a job, of those of its processes, of which a signal's is less than 0."""
    code, number = min((code or 0, number) for number, code in enumerate(codes))
    if code >= 0:
        code, number = max((code or 0, number) for number, code in enumerate(codes))
    if 0 <= code < MOST_OWN:
        return code
    who = f"rank {number} on {starts[number].host}" if len(starts) > 1 else "a rank"
    by = -code if code < 0 else code - MOST_OWN
    if by in {*signal.Signals}:
        fail("E0908", f"{who} was ended by signal {by} ({signal.Signals(by).name})", help=GOING_ON)
    fail("E0908", f"{who} ended with code {code}", help=f"what is said above tells why; {GOING_ON}")
