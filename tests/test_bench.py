"""Benchmarks: who takes part, what is compared, what stands in a row. No test depends on a timing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archforge import load
from archforge.backends import available, get
from archforge.bench.compare import compare, wrong_outputs
from archforge.bench.race import Entry
from archforge.bench.roofline import Peak, Work, bound, work_of
from archforge.bench.task import Task
from archforge.cli import main
from archforge.passes import optimise
from archforge.plan import plan

needs_numba = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

SPEC = """\
archforge: 1
title: Tiny
input: [3, 8, 8]
args: {classes: 4}
graph:
  - {conv: {out: 5, kernel: 3}, name: stem}
  - relu
  - flatten
  - {linear: =classes, name: head}
"""
MISSING = "a_python_that_is_not_there"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command line beside tiny.yaml: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPEC)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archforge", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


def tiny(folder: Path, batch: int = 1) -> tuple[Any, Task]:
    network = load(SPEC, classes=7)
    task = Task.write(network, batch, folder=folder, threads=1, source=SPEC, settings={"classes": "7"})
    return network, task


# The race -----------------------------------------------------------------------------------------------


def test_a_row_has_each_contestant_and_why_others_are_left_out(tmp_path: Path) -> None:
    network, task = tiny(tmp_path, batch=3)
    entries = [
        Entry("numpy"),
        Entry("numpy", "again", environment={"OPENBLAS_NUM_THREADS": "1"}),
        Entry("numpy", "wrong", options={"without": ["nonsense"]}),
        Entry("no_backend"),
    ]
    row = compare(network, 3, entries, task, rounds=2)
    assert row["median_s"].keys() == row["least_s"].keys() == row["versions"].keys() == {"numpy", "again"}
    assert row["deviation"] == {"numpy": 0.0, "again": 0.0}
    assert row["left_out"].keys() == {"wrong", "no_backend"}
    assert "there is no backend `no_backend`" in row["left_out"]["no_backend"]
    assert (row["network"], row["batch"], row["threads"]) == ("text", 3, 1)
    assert row["work"]["macs"] == 3 * network.counts.macs
    assert row["work"]["weight_bytes"] == 4 * network.counts.params
    json.dumps(row)


def test_peers_are_left_out_where_torch_exports_nothing(tmp_path: Path) -> None:
    network, task = tiny(tmp_path)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ImportError('there is no torch')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{blocked}:{Path(__file__).parents[1]}")
        row = compare(network, 1, [Entry("numpy"), Entry("torch"), Entry("openvino")], task, rounds=1)
    assert row["left_out"] == dict.fromkeys(
        ("torch", "openvino"), "torch exports no network: ImportError: there is no torch"
    )
    assert [*row["median_s"]] == ["numpy"]


def test_nothing_is_timed_where_outputs_differ(tmp_path: Path) -> None:
    network, task = tiny(tmp_path)
    other = Task.write(
        network, 1, folder=tmp_path / "other", threads=1, source=SPEC, settings={"classes": "7"}
    )
    weights = (other.folder / "weights.safetensors").read_bytes()
    from archforge.bench import race as module

    entries = [Entry("numpy"), Entry("numpy", "other")]
    starts = module.Contestant.start

    def started(entry: Entry, task: Task) -> Any:
        if entry.label == "other":  # the second one gets other weights
            changed = weights[:-400] + np.full(100, 0.5, np.float32).tobytes()
            (task.folder / "weights.safetensors").write_bytes(changed)
        return starts(entry, task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Contestant, "start", started)
        row = compare(network, 1, entries, task, rounds=1)
    assert [*wrong_outputs(row)] == ["other"]
    assert "median_s" not in row


# The roofline -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", [b for b in ("numpy", "numba") if b in available()])
@pytest.mark.parametrize("name", ["resnet_18", "mobilenet_v2"])
def test_the_work_of_the_steps_is_that_of_the_network(name: str, backend: str) -> None:
    network = load(name, "torchvision")
    planned = plan(optimise(network.graph).graph, get(backend), "float32")
    work = work_of(planned, 2)
    assert len(work) == len(planned.steps)
    assert sum(w.macs for w in work) == 2 * network.counts.macs
    # Folded batch norms leave one bias for each channel.
    assert sum(w.weight_bytes for w in work) < 4 * network.counts.params


def test_the_bound_is_the_slower_of_arithmetic_and_memory() -> None:
    peak = Peak(all_flops=100.0, read_bytes=10.0)
    assert (bound(Work(100, 10, 0), peak).s, bound(Work(100, 10, 0), peak).by) == (2.0, "compute")
    assert (bound(Work(100, 30, 20), peak).s, bound(Work(100, 30, 20), peak).by) == (5.0, "memory")


@needs_numba
def test_limits_are_measured() -> None:
    from archforge.backends.numba import limits

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("BYTES", 1 << 20), ("FMA_TIMES", 100), ("TRIES", 2)):
            patch.setattr(limits, name, value)
        found = limits.measure(2)
    assert found.threads == 2
    assert min(found.one_flops, found.all_flops, found.read_bytes) > 0


# The command --------------------------------------------------------------------------------------------


def test_bench_prints_times_and_who_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.bench.race.PEERS", ())
    code, out, err = run("bench", "tiny.yaml", "--backend", "numpy", "--rounds", "1", "--set", "classes=6")
    assert (code, err) == (0, "")
    assert "tiny, profile default, float32" in out
    assert "outputs agree" in out
    assert "variables" in out


def test_bench_as_json_has_a_row_for_each_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.bench.race.PEERS", ())
    code, out, _ = run(
        "bench", "tiny.yaml", "--backend", "numpy", "-b", "1", "-b", "2", "--rounds", "1", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert report["ok"]
    assert [row["batch"] for row in report["rows"]] == [1, 2]
    assert {"cpu", "threads", "load", "variables"} <= report["environment"].keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "numby"), "E0701: there is no backend `numby`"),
        (("--set", "classes"), "E0001"),
        (("-p", "timm"), "E0315"),
    ],
)
def test_bench_refuses_what_does_not_exist(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run("bench", "tiny.yaml", *arguments)
    assert code == 2
    assert message in err
