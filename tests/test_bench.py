"""Benchmarks: who takes part, what is compared, what stands in a row. No test depends on a timing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import load
from archforge.backends import available, compiling, get
from archforge.backends.numpy import NumpyBackend
from archforge.bench import worker
from archforge.bench.compare import compare, wrong_outputs
from archforge.bench.environment import environment
from archforge.bench.profile import profile
from archforge.bench.race import PEERS, Contestant, Entrant, LeftOut, deviations
from archforge.bench.roofline import Work, bound, work_of
from archforge.bench.task import Task
from archforge.plan import Compiling, GraphCompiler, Limits, plan
from archforge.plan import load as bind_plan
from archforge.weights import rule_input
from tests.conftest import TINY, Run
from tests.graphs import GRAPHS, WEIGHTS, Events, inputs_of


@pytest.fixture
def run(run: Run, tmp_path: Path) -> Run:
    """Runs a command line beside tiny.yaml."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    return run


@pytest.fixture(autouse=True)
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits from so little work that they mean nothing."""
    if "numba" in available():
        for name, value in (("BYTES", 1 << 20), ("FMA_TIMES", 100), ("TRIES", 2)):
            monkeypatch.setattr(f"archforge.backends.numba.limits.{name}", value)


def tiny(folder: Path, batch: int = 1) -> tuple[Any, Task]:
    network = load(TINY, classes=7)
    task = Task.write(network, batch, folder=folder, threads=1, source=TINY, settings={"classes": "7"})
    return network, task


@pytest.mark.parametrize(("size", "text"), [(0, "unknown"), (16 << 30, "16 GiB")])
def test_the_environment_tells_the_memory(monkeypatch: pytest.MonkeyPatch, size: int, text: str) -> None:
    monkeypatch.setattr("archforge.bench.environment.memory_bytes", lambda: size)
    assert environment(1)["memory"] == text


# The race -----------------------------------------------------------------------------------------------


def test_a_row_has_each_contestant_and_why_others_are_left_out(tmp_path: Path) -> None:
    network, task = tiny(tmp_path, batch=3)
    entrants = [
        Entrant("numpy"),
        Entrant("numpy", "again", environment={"OPENBLAS_NUM_THREADS": "1"}),
        Entrant("numpy", "wrong", options={"without": ["nonsense"]}),
        Entrant("no_backend"),
    ]
    row = compare(network, 3, entrants, task, rounds=2)
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
        patch.setenv("PYTHONPATH", str(blocked))
        row = compare(network, 1, [Entrant("numpy"), Entrant("torch"), Entrant("openvino")], task, rounds=1)
    assert row["left_out"] == dict.fromkeys(
        ("torch", "openvino"), "torch exported no network: ImportError: there is no torch"
    )
    assert [*row["median_s"]] == ["numpy"]


def test_what_getting_ready_takes_is_no_more_than_its_whole(tmp_path: Path) -> None:
    contestant = Contestant.start(Entrant("numpy"), tiny(tmp_path)[1])
    contestant.stop()
    parts = [contestant.facts[name] for name in ("imports_s", "load_s", "first_call_s")]
    assert min(parts) > 0
    assert sum(parts) < contestant.facts["ready_s"]


def test_a_contestant_that_ends_while_it_is_measured_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, task = tiny(tmp_path)
    measure = Contestant.measure

    def measured(self: Contestant) -> None:
        if self.label == "weak":
            self.process.kill()
        measure(self)

    monkeypatch.setattr(Contestant, "measure", measured)
    row = compare(network, 1, [Entrant("numpy"), Entrant("numpy", "weak")], task, rounds=2)
    assert [*row["median_s"]] == ["numpy"]
    assert row["left_out"] == {"weak": "it ended with -9 while it was measured"}


def test_nothing_is_timed_where_outputs_differ(tmp_path: Path) -> None:
    network, task = tiny(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archforge.bench.compare.deviations", lambda running, folder: {"numpy": 0.0, "b": 2e-4})
        row = compare(network, 1, [Entrant("numpy")], task, rounds=1)
    assert wrong_outputs(row) == {"b": 2e-4}
    assert "median_s" not in row


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"numpy": 0.0, "torch": 0.0, "mnn": 3e-3}, []),
        ({"numpy": 0.0, "torch": 0.0, "mnn": float("nan")}, []),
        ({"numpy": 0.0, "mnn": 3e-3}, []),
        ({"numpy": 0.0, "mnn": 3e-3, "ncnn": 3e-3}, ["mnn", "ncnn"]),
        ({"torch": 0.0, "mnn": 0.0, "numba": 2e-4}, ["numba"]),
        ({"numpy": 0.0, "torch": 1.0, "mnn": 0.0}, ["torch"]),
    ],
)
def test_another_engine_may_be_inexact_by_itself(found: dict[str, float], wrong: list[str]) -> None:
    assert [*wrong_outputs({"deviation": found})] == wrong


def test_an_engine_that_is_inexact_is_left_out_with_its_deviation(tmp_path: Path) -> None:
    network, task = tiny(tmp_path)
    far = {"numpy": 0.0, "again": 0.0, "mnn": 3e-3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archforge.bench.compare.deviations", lambda running, folder: far)
        row = compare(
            network, 1, [Entrant("numpy"), Entrant("numpy", "again"), Entrant("numpy", "mnn")], task, rounds=1
        )
    assert [*row["median_s"]] == ["numpy", "again"]
    assert row["left_out"] == {"mnn": "its outputs are 3.0e-03 standard deviations off"}


@pytest.mark.parametrize("peer", PEERS)
def test_each_engine_is_a_small_module_that_names_its_library(peer: str) -> None:
    module = worker.peer(peer)
    assert module
    assert callable(module.loaded)
    assert module.LIBRARIES
    assert module.DISTRIBUTION


def test_an_engine_that_cannot_make_its_files_is_left_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, task = tiny(tmp_path)

    def export(python: str, task: Task, peer: str = "") -> None:
        if peer == "mnn":
            raise LeftOut("its converter failed")

    monkeypatch.setattr("archforge.bench.compare.export", export)
    row = compare(network, 1, [Entrant("numpy"), Entrant("mnn"), Entrant("ncnn")], task, rounds=1)
    assert row["left_out"]["mnn"] == "its converter failed"
    assert row["left_out"].keys() == {"mnn", "ncnn"}  # which is not installed, or has nothing to load


def test_deviations_are_in_standard_deviations_of_the_first(tmp_path: Path) -> None:
    outputs = {"a": [0.0, 2.0], "b": [0.0, 2.5], "c": [0.0, 2.0, 0.0], "d": [0.0, np.nan]}
    for label, values in outputs.items():
        np.savez(tmp_path / f"{label}.npz", np.array(values))
    found = deviations([SimpleNamespace(label=label) for label in outputs], tmp_path)
    assert found == pytest.approx({"a": 0.0, "b": 0.5, "c": np.inf, "d": np.nan}, nan_ok=True)


# The roofline -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("name", ["resnet_18", "mobilenet_v2"])
def test_the_work_of_the_steps_is_that_of_the_network(name: str, backend: str) -> None:
    network = load(name, "torchvision")
    planned = GraphCompiler(get(backend)).plan(network.graph)
    work = work_of(planned, 2)
    assert len(work) == len(planned.steps)
    assert sum(w.macs for w in work) == 2 * network.counts.macs
    # Folded batch norms leave one bias for each channel.
    assert sum(w.weight_bytes for w in work) < 4 * network.counts.params


def test_the_bound_is_the_slower_of_arithmetic_and_memory() -> None:
    limits = Limits(2, one_flops=50.0, all_flops=100.0, read_bytes=10.0)
    assert (bound(Work(100, 10, 0), limits).s, bound(Work(100, 10, 0), limits).by) == (2.0, "compute")
    assert (bound(Work(100, 30, 20), limits).s, bound(Work(100, 30, 20), limits).by) == (5.0, "memory")


@pytest.mark.parametrize("backend", compiling(), ids=lambda backend: backend.name)
def test_limits_are_measured(backend: Compiling) -> None:
    found = backend.limits(2)
    assert found.threads == 2
    assert min(found.one_flops, found.all_flops, found.read_bytes) > 0


def test_without_machine_code_there_are_no_limits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.backends.compiling", list)
    monkeypatch.setattr("archforge.bench.race.PEERS", ())
    reason = "no backend that compiles machine code, which measures"
    code, out, _ = run("bench", "tiny.yaml", "--backend", "numpy", "--rounds", "1")
    assert code == 0
    assert f"  no limit: {reason} it, can run here" in out.splitlines()
    code, out, _ = run("profile", "tiny.yaml", "--backend", "numpy", "--rounds", "1")
    assert code == 0
    assert out.splitlines()[-1] == f"no limits: {reason} them, can run here"


# The profile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", available())
def test_a_profile_has_every_step_once_and_the_work_of_the_whole(backend: str) -> None:
    network = load(TINY)
    run = archforge.compile(network, backend=backend)
    found = profile(run, {"input": rule_input((2, 3, 8, 8)).astype("float32")}, threads=1, rounds=2)
    assert [step.value for step in found.steps] == [step.output for step in run.plan.steps]
    assert found.work.macs == 2 * network.counts.macs
    assert {step.name for step in found.steps} >= {"stem", "head"}
    assert {op for step in found.steps for op in step.ops} == {"conv", "relu", "flatten", "linear"}
    assert found.elapsed_s == found.around_s + sum(step.elapsed_s for step in found.steps)


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("name", GRAPHS)
def test_a_watched_call_computes_the_same_and_names_only_steps(name: str, backend: str) -> None:
    typed = GRAPHS[name]
    executable = bind_plan(plan(typed, get(backend), "float32"), WEIGHTS[name])
    inputs = inputs_of(typed)
    events = Events()
    values = executable.program.watched(inputs, events)
    expected = executable.program(inputs)
    for key, y in expected.items():
        np.testing.assert_array_equal(values[key], y)
    steps = [step.output for step in executable.plan.steps]
    assert (events.seen[0], events.seen[-1]) == ("inputs", "outputs")
    made = [value.removeprefix("made ") for value in events.seen[1:-1]]
    assert set(made) <= set(steps)
    assert sorted(made, key=steps.index) == made


# The command --------------------------------------------------------------------------------------------


def test_bench_prints_times_and_who_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.bench.race.PEERS", ())
    code, out, err = run("bench", "tiny.yaml", "--backend", "numpy", "--rounds", "1", "--set", "classes=6")
    assert (code, err) == (0, "")
    assert "tiny, profile default, float32" in out
    assert "outputs agree" not in out  # there is nothing to agree with
    assert "variables" in out


def test_bench_says_which_ops_are_on_reference_kernels(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.bench.race.PEERS", ())
    monkeypatch.setattr(NumpyBackend, "lowerings", lambda *_: {})
    _, out, _ = run("bench", "tiny.yaml", "--backend", "numpy", "--rounds", "1")
    assert "numpy (conv, relu, flatten, linear on reference kernels)" in out


def test_bench_says_once_what_is_not_installed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text(blocked)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "blocked"))
    code, out, _ = run("bench", "tiny.yaml", "--backend", "numpy", "--rounds", "1")
    reason = "torch exported no network: torch is not installed (pip install 'archforge-zoo[bench]')"
    assert code == 0
    assert [line for line in out.splitlines() if "left out" in line] == [
        f"  left out: {', '.join(PEERS)}: {reason}"
    ]


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


def test_profile_prints_each_step_and_the_total(run: Run) -> None:
    code, out, err = run("profile", "tiny.yaml", "--backend", "numpy", "--rounds", "1")
    assert (code, err) == (0, "")
    header, *lines = out.splitlines()[1:]
    assert re.split("  +", header) == [
        "step",
        "op",
        "output",
        "MACs",
        "ms",
        "% of time",
        "GFLOP/s",
        "% of limit",
        "by",
    ]
    names = [line.split()[0] for line in lines]
    assert [n for n in names if names.count(n) == 1][:3] == ["stem", "flatten", "head"]
    (total,) = (line for line in lines if line.startswith("total"))
    assert f"{load(TINY).counts.macs:,}" in total


def test_profile_by_time_has_the_same_steps_as_json_has(run: Run) -> None:
    _, out, _ = run("profile", "tiny.yaml", "--backend", "numpy", "--rounds", "1", "--by-time")
    code, text, _ = run(
        "profile", "tiny.yaml", "--backend", "numpy", "--rounds", "1", "--batch", "3", "--json"
    )
    report = json.loads(text)
    assert code == 0
    assert (report["network"], report["backend"], report["batch"]) == ("tiny", "numpy", 3)
    assert report["macs"] == sum(step["macs"] for step in report["steps"]) == 3 * load(TINY).counts.macs
    assert all(f"\n{step['name']} " in out for step in report["steps"])


def test_profile_refuses_what_does_not_exist(run: Run) -> None:
    assert run("profile", "tiny.yaml", "--batch", "0")[0] == 2
    code, _, err = run("profile", "tiny.yml")
    assert code == 2
    assert "E0002" in err
