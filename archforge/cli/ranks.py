"""`archforge train --ranks`: the start of several processes, and what each of them does otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import typer

from archforge.cli.exit_codes import USER_ERROR
from archforge.cli.output import print_diagnostics
from archforge.errors import DiagnosticError, fail

if TYPE_CHECKING:
    from archforge.training.ranks.group import RankGroup

__all__ = ["as_rank", "start_ranks", "starts_ranks"]

OPTIONS = ("--ranks", "--hosts", "--engine")  # what starts ranks, in place of which a rank is told its engine
# Seconds that a rank waits before it tells of a mistake: all may have found the same, which the first one
# tells; and one that has lost another is ended meanwhile by whoever knows the reason.
FIRST_SPEAKS_S = 2.0


def starts_ranks(ranks: int | None, hosts: str | None, engine: str | None, timeout: float | None) -> bool:
    """True if several processes are to be started. Raises E0001 for options without effect."""
    if hosts is not None and (ranks or 0) < 2:
        fail("E0001", "--hosts is for several ranks", help="--ranks N, of 2 or more")
    if timeout is not None and (engine is None if ranks is None else ranks < 2):
        fail("E0001", "--timeout is for several ranks, and there is one", help="--ranks N, or leave it out")
    if timeout is not None and timeout <= 0:
        fail("E0001", f"--timeout {timeout:g} is no time to wait", help="more than 0 seconds")
    return ranks is not None and ranks > 1


def start_ranks(ranks: int, hosts: str | None, engine: str | None, resuming: Callable[[], str]) -> None:
    """Run this command as so many ranks, and exit as they did. resuming: the command that goes on with the
    run. Raises E0908 and E0909."""
    from archforge.training.ranks.engines import engine_of, usual_engine
    from archforge.training.ranks.hosts import placed
    from archforge.training.ranks.job import run_job

    chosen = engine_of(engine, to_start=True) if engine else usual_engine()
    places = placed(ranks, hosts)
    try:
        code = run_job(chosen, [*_without(sys.argv[1:], OPTIONS), "--engine", chosen.name], places)
    except KeyboardInterrupt:
        print(f"interrupted; go on: {resuming()}", file=sys.stderr)
        raise
    if code:
        raise typer.Exit(code)


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words of a command without these options and their values."""
    rest = iter(words)
    kept = []
    for word in rest:
        if word in options:
            next(rest, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept


@contextmanager
def as_rank(engine: str | None, timeout: float | None) -> Iterator[RankGroup | None]:
    """A block in which this process is a rank of a job, if it is for an engine; others than rank 0 print
    nothing but a mistake that they alone have found."""
    if engine is None:
        yield None
        return
    from archforge.training.ranks.engines import engine_of
    from archforge.training.ranks.group import TIMEOUT_S, joined

    rank = 0
    try:
        with joined(engine_of(engine), timeout or TIMEOUT_S) as group:
            rank = group.rank
            if rank == 0:
                yield group
                return
            with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
                yield group
    except DiagnosticError as error:
        if rank or error.diagnostics[0].code == "E0908":
            sleep(FIRST_SPEAKS_S)
        print_diagnostics(error.diagnostics)
        sys.stderr.flush()
        os._exit(USER_ERROR)  # a library may wait for ever, and Python at its end for the library
