"""One network and one size of batch: contestants checked, timed in turn, and held against the roofline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archforge import backends
from archforge.analysis.network import Network
from archforge.bench.environment import load_average
from archforge.bench.race import (
    PEERS,
    TOLERANCE,
    Contestant,
    Entrant,
    LeftOut,
    deviations,
    export,
    race,
    started,
    under_load,
)
from archforge.bench.roofline import Work, greater_limits, measured_limits, work_of
from archforge.bench.task import Task

if TYPE_CHECKING:
    from archforge.plan import Plan

__all__ = ["Row", "compare", "wrong_outputs"]

# What was measured, as JSON holds it: seconds by the labels of contestants under `median_s` and `least_s`,
# `deviation`, `rounding` (the deviation of those in another dtype than float32), `versions`, `fallbacks` (ops
# on reference kernels), `left_out` (why), `limits` (None if no backend here measures them), `work`, and what
# was run.
Row = dict[str, Any]


def compare(
    network: Network,
    batch: int,
    entrants: Sequence[Entrant],
    task: Task,
    *,
    rounds: int,
    busy: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Row:
    """Measure one network at one size of batch. Nothing is timed if outputs differ (`wrong_outputs`).

    busy: if not 0, all contestants are timed once more beside so many processes that never rest, which gives
    `contended_s`.
    """
    row: Row = {
        "network": network.name,
        "profile": network.profile,
        "model": network.model,
        "batch": batch,
        "threads": task.threads,
        "load": load_average(),
        "work": asdict(sum(work_of(_planned(network), batch), Work(0, 0, 0))),
    }
    say("exporting what the other libraries load")
    entrants, unexported = _exported(entrants, task)
    before = measured_limits(task.threads)
    say("starting the contestants")
    with started(entrants, task) as (running, left_out):
        row["left_out"] = unexported | left_out
        row["versions"] = {c.label: c.facts["version"] for c in running}
        ours = [c for c in running if c.entrant.kind not in PEERS]
        row["fallbacks"] = {
            c.label: _planned(network, c.entrant.kind, c.entrant.dtype).slow_kinds for c in ours
        }
        found = deviations(running, task.folder)
        row["rounding"] = {c.label: found.pop(c.label) for c in running if c.entrant.dtype != "float32"}
        row["deviation"] = found
        if running and not wrong_outputs(row):
            inexact = {label: _far(error) for label, error in row["deviation"].items() if _is_far(error)}
            timed, ended = _timed([c for c in running if c.label not in inexact], rounds, busy, say)
            row |= timed
            row["left_out"] |= inexact | ended
    limits = greater_limits(before, measured_limits(task.threads))
    row["limits"] = asdict(limits) if limits else None
    return row


def wrong_outputs(row: Row) -> Mapping[str, float]:
    """The contestants whose outputs make a row void, and by how many standard deviations of the first one's
    they differ: backends of archforge, torch, and all others where none agrees with the first.

    Another engine may be inexact by itself, as some are with Winograd's algorithm; it is then not timed.
    """
    far = {label: error for label, error in row["deviation"].items() if _is_far(error)}
    if len(far) > 1 and len(far) == len(row["deviation"]) - 1:
        return far
    return {label: error for label, error in far.items() if label not in PEERS or label == "torch"}


def _is_far(error: float) -> bool:
    """True beyond the tolerance, and for NaN."""
    return not error < TOLERANCE


def _far(error: float) -> str:
    return f"its outputs are {error:.1e} standard deviations off"


def _timed(
    running: Sequence[Contestant], rounds: int, busy: int, say: Callable[[str], None]
) -> tuple[Row, dict[str, str]]:
    """The times of the contestants, and the reasons why some have none."""
    ended = race(running, rounds, say)
    running = [c for c in running if c.label not in ended]
    row: Row = {
        "median_s": {c.label: c.median_s for c in running},
        "least_s": {c.label: min(c.elapsed_s) for c in running},
        "calls": {c.label: len(c.elapsed_s) for c in running},
    }
    if busy:
        for contestant in running:
            contestant.elapsed_s.clear()
        with under_load(busy):
            ended |= race(running, rounds, say)
        row["contended_s"] = {c.label: c.median_s for c in running if c.label not in ended}
    return row, ended


def _exported(entrants: Sequence[Entrant], task: Task) -> tuple[Sequence[Entrant], dict[str, str]]:
    """The entrants that can begin, once the files of the peers are made, and the reasons why others
    cannot."""
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    for entrant in entrants:
        python = entrant.python
        if entrant.kind not in PEERS:
            continue
        if python not in failed:
            failed[python] = _reason(python, task)
        if reason := failed[python]:
            left_out[entrant.label] = f"torch exported no network: {reason}"
        elif reason := _reason(python, task, entrant.kind):
            left_out[entrant.label] = reason
    return [entrant for entrant in entrants if entrant.label not in left_out], left_out


def _reason(python: str, task: Task, peer: str = "") -> str:
    """The reason why that Python cannot make the files of all peers, or of one; empty once it has."""
    try:
        export(python, task, peer)
    except LeftOut as reason:
        return str(reason)
    return ""


def _planned(network: Network, backend: str = "auto", dtype: str = "float32") -> Plan:
    """The steps of the network on a backend. Steps that are fused move less memory."""
    from archforge.plan import GraphCompiler

    return GraphCompiler(backends.get(backend), dtype).plan(network.graph)
