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
# `deviation`, `versions`, `fallbacks` (ops on reference kernels), `left_out` (why), `limits` (None if no
# backend here measures them), `work`, and what was run.
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
        ours = {c.label: c.entrant.kind for c in running if c.entrant.kind not in PEERS}
        row["fallbacks"] = {label: _planned(network, kind).fallback_kinds for label, kind in ours.items()}
        row["deviation"] = deviations(running, task.folder)
        if running and not wrong_outputs(row):
            timed, ended = _timed(running, rounds, busy, say)
            row |= timed
            row["left_out"] |= ended
    limits = greater_limits(before, measured_limits(task.threads))
    row["limits"] = asdict(limits) if limits else None
    return row


def wrong_outputs(row: Row) -> Mapping[str, float]:
    """The contestants whose outputs differ from the first one's, and by how many of its standard
    deviations."""
    return {label: error for label, error in row["deviation"].items() if not error < TOLERANCE}


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
    """The entrants that can begin, once torch has exported the network for the peers, and the reasons why
    others cannot."""
    pythons = {entrant.python for entrant in entrants if entrant.kind in PEERS}
    failed: dict[str, str] = {}
    for python in pythons:
        try:
            export(python, task)
        except LeftOut as reason:
            failed[python] = str(reason)
    able = [e for e in entrants if e.kind not in PEERS or e.python not in failed]
    return able, {
        e.label: f"torch exported no network: {failed[e.python]}" for e in entrants if e not in able
    }


def _planned(network: Network, backend: str = "auto") -> Plan:
    """The steps of the network on a backend. Steps that are fused move less memory."""
    from archforge.plan import GraphCompiler

    return GraphCompiler(backends.get(backend)).plan(network.graph)
