"""Tuning: the fastest kernels by a clock, which tests bring along, and what is kept of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import archforge
from archforge.atomic_files import written_beside
from archforge.backends import available, get
from archforge.backends.numpy import NumpyBackend
from archforge.bench.tune import Tuning, UseTime, tune
from archforge.ir import TensorType
from archforge.ops.base import Array, Op
from archforge.plan import Backend, Executable, Kernel, Lowering, Tunable
from tests.conftest import Run

SPEC: dict[str, Any] = {
    "archforge": 1,
    "title": "Tiny",
    "input": [20, 8, 8],
    "graph": [
        {"conv": {"out": 20, "kernel": 3, "padding": 1}, "repeat": 2},
        {"conv": {"out": 4}},
        "relu",
        "global_avg_pool",
    ],
}
X = {"input": np.ones((2, 20, 8, 8), "float32")}


class Clock:
    """Stands still but for what kernels say that they take; all takes twice as long at first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slow_until = 0.0

    def __call__(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        self.now += seconds * (2 if self.now < self.slow_until else 1)


@dataclass(frozen=True, slots=True)
class TwoKernels(NumpyBackend):
    """3x3 convolutions by kernels that differ in nothing but in how long they claim to take."""

    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    clock: Clock = field(default_factory=Clock)
    choices: Mapping[str, str] = field(default_factory=dict, hash=False)

    def use_of(self, op: Op, *inputs: TensorType) -> str:
        return f"{op.kind} of {op.attributes().get('kernel')}"

    def alternatives(self, op: Op, *inputs: TensorType) -> tuple[str, ...]:
        return tuple(self.seconds) if self.use_of(op) == "conv of 3" else ("only",)

    def choice_of(self, kernel: Kernel) -> str:
        return "only"

    def choosing(self, choices: Mapping[str, str]) -> Backend:
        return replace(self, choices=choices)

    def keep(self, choices: Mapping[str, str]) -> Path:
        return Path()

    def forget(self) -> int:
        return 0

    def require_writable_cache(self) -> None:
        """Raise nothing: there is nothing to write."""

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        table = NumpyBackend.lowerings(self, dtype)

        def conv(op: Op, *inputs: TensorType) -> Kernel:
            kernel = table["conv"](op, *inputs)
            assert kernel
            names = self.alternatives(op, *inputs)
            name = self.choices.get(self.use_of(op), names[0])
            assert name in names

            def run(params: Mapping[str, Array], x: Array, **memory: Any) -> None:
                self.clock.take(self.seconds.get(name, 5.0))
                kernel.run(params, x, **memory)

            return Kernel(run, kernel.pack)

        return {**table, "conv": conv}


def tuned(**seconds: float) -> Tuning:
    backend = TwoKernels(seconds=seconds)
    assert isinstance(backend, Tunable)
    return tune(archforge.load(SPEC), backend, X, rounds=2, clock=backend.clock)


def test_the_fastest_kernel_of_each_use_is_found() -> None:
    found = tuned(model=3.0, slow=4.0, fast=2.0)
    (use,) = found.uses
    assert use.elapsed_s == {"model": 6.0, "slow": 8.0, "fast": 4.0}  # both layers that have it
    assert len(use.layers) == 2
    assert (found.default_s, found.best_s) == (11.0, 9.0)
    assert found.choices == {"conv of 3": "fast"}
    assert found.changed == (use,)


def test_what_is_hardly_faster_is_no_reason_to_change() -> None:
    found = tuned(model=3.0, other=2.95)
    assert found.choices == {"conv of 3": "model"}
    assert not found.changed


def test_a_machine_that_is_slow_at_first_does_not_count_against_the_first_kernel() -> None:
    backend = TwoKernels(seconds={"model": 3.0, "other": 3.0})
    backend.clock.slow_until = 3 * 2 * 11.0  # three calls
    (use,) = tune(archforge.load(SPEC), backend, X, rounds=2, clock=backend.clock).uses
    assert use.elapsed_s == {"model": 6.0, "other": 6.0}


def test_where_nothing_differs_there_is_nothing_to_tune() -> None:
    found = tuned(model=3.0)
    assert (found.uses, found.choices) == ((), {})


def test_kernels_that_are_faster_alone_but_not_together_are_not_taken() -> None:
    use = UseTime("conv", ("a",), {"model": 3.0, "other": 1.0})
    assert Tuning((use,), default_s=10.0, best_s=9.0).choices == {"conv": "other"}
    slower = Tuning((use,), default_s=10.0, best_s=10.5)
    assert slower.choices == {"conv": "model"}
    assert not slower.changed


# What the numba backend keeps -----------------------------------------------------------------------------

needs_numba = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def backend() -> Tunable:
    found = get("numba")
    assert isinstance(found, Tunable)
    return found


def kernels(run: Executable) -> list[str]:
    """The kernel of each step that is a convolution."""
    packings = [s.kernel.packing for s in run.plan.steps if s.node.op.kind == "conv"]
    return [str(p[1]) if isinstance(p, tuple) else "direct" for p in packings]


def uses() -> list[tuple[str, tuple[str, ...]]]:
    """The uses to choose for: the first and the last convolution of the network."""
    typed = archforge.load(SPEC).graph
    ops = [(n.op, typed.input_types(n)) for n in typed.nodes if n.op.kind == "conv"]
    return [(backend().use_of(op, *x), backend().alternatives(op, *x)) for op, x in (ops[0], ops[-1])]


@needs_numba
def test_each_kernel_that_can_be_chosen_computes_the_same() -> None:
    (use, names), (_, pointwise) = uses()
    assert len(names) > 2
    assert pointwise == ("direct",)
    expected = archforge.compile(SPEC, backend="numpy", dtype="float64").run(X).outputs["output"]
    for name in names:
        run = archforge.compile(SPEC, backend=backend().choosing({use: name}))
        assert kernels(run) == [name, name, "direct"]
        np.testing.assert_allclose(run.run(X).outputs["output"], expected, rtol=0, atol=1e-4 * expected.std())


@needs_numba
def test_what_is_kept_is_taken_from_then_on_until_it_is_forgotten(folder: Path) -> None:
    (use, names), _ = uses()
    untuned = kernels(archforge.compile(SPEC, backend="numba"))
    assert untuned == [names[0], names[0], "direct"]
    backend().keep({use: names[1]})
    backend().keep({"another": "direct"})
    assert kernels(archforge.compile(SPEC, backend="numba")) == [names[1], names[1], "direct"]
    assert kernels(archforge.compile(SPEC, backend=backend().choosing({}))) == untuned
    assert kernels(archforge.compile(SPEC, backend="numba", without=["winograd"])) == ["direct"] * 3
    assert backend().facts()["tuned"] == "2 kernels"
    assert backend().forget() == 2
    assert backend().forget() == 0
    assert kernels(archforge.compile(SPEC, backend="numba")) == untuned


@needs_numba
def test_those_who_tune_at_the_same_time_lose_nothing(folder: Path) -> None:
    from archforge.backends.numba import choices

    def meanwhile(path: Path) -> Any:
        with mock.patch.object(choices, "written_beside", written_beside):
            backend().keep({"theirs": "direct"})
        return written_beside(path)

    with mock.patch.object(choices, "written_beside", meanwhile):
        backend().keep({"ours": "direct"})
    assert choices.kept() == {"ours": "direct", "theirs": "direct"}


@needs_numba
def test_of_two_choices_for_one_op_the_newer_holds(folder: Path) -> None:
    from archforge.backends.numba import choices

    for number, kept in enumerate(({"a": "1", "b": "1"}, {"a": "2"}, {"a": "3", "b": "3"})):
        path = backend().keep(kept)
        os.utime(path, ns=(number, number))
    choices._read.cache_clear()
    assert choices.kept() == {"a": "3", "b": "3"}


@needs_numba
def test_choices_are_for_one_number_of_threads(folder: Path) -> None:
    from archforge.backends.numba import choices
    from archforge.backends.numba.toolchain.machine import machine

    backend().keep({"use": "direct"})
    here = machine()
    more = replace(here, threads=here.threads + 1)
    with mock.patch.object(choices, "machine", return_value=more):
        choices._read.cache_clear()
        assert choices.kept() == {}
    choices._read.cache_clear()
    assert choices.kept() == {"use": "direct"}


@needs_numba
@pytest.mark.parametrize("text", ["", "{", "[1]", '{"USE": "F(5x5, 7x7)"}', '{"USE": 3}', "\udcff"])
def test_a_file_that_is_damaged_or_names_no_kernel_is_passed_over(folder: Path, text: str) -> None:
    from archforge.backends.numba import choices

    (use, names), _ = uses()
    path = backend().keep({use: names[1]})
    path.write_bytes(text.replace("USE", use).encode("utf-8", "surrogateescape"))
    choices._read.cache_clear()
    assert kernels(archforge.compile(SPEC, backend="numba")) == [names[0], names[0], "direct"]
    backend().keep({use: names[1]})
    assert kernels(archforge.compile(SPEC, backend="numba")) == [names[1], names[1], "direct"]


# The command ----------------------------------------------------------------------------------------------


@pytest.fixture
def run(run: Run) -> Run:
    """Runs `archforge tune`."""
    return lambda *arguments: run("tune", *arguments)


@needs_numba
def test_the_command_says_what_it_found_and_keeps_it(run: Run, folder: Path) -> None:
    (folder.parent / "tiny.yaml").write_text(json.dumps(SPEC))
    spec = str(folder.parent / "tiny.yaml")
    code, out, _ = run(spec, "--rounds", "1", "--json")
    told = json.loads(out)
    assert code == 0
    ((use, names), _) = uses()
    assert [(t["use"], tuple(t["elapsed_s"]), t["default"]) for t in told["uses"]] == [(use, names, names[0])]
    (path,) = folder.glob("tuned-*.json")
    assert json.loads(path.read_text()) == {use["use"]: use["choice"] for use in told["uses"]}
    code, out, _ = run(spec, "--rounds", "1")
    assert "kept in" in out
    assert "cost model" in out
    assert run("--clear")[1] == "forgot what was tuned\n"
    assert run("--clear")[1] == "nothing was tuned\n"
    assert json.loads(run("--clear", "--json")[1]) == {"forgotten": 0}
    assert json.loads(run(spec, "--rounds", "1", "--clear", "--json")[1])["batch"] == 1


@needs_numba
def test_a_network_without_choices_says_so(run: Run, folder: Path) -> None:
    code, out, _ = run("mlp_mnist", "--rounds", "1")
    assert (code, out.splitlines()[-1]) == (0, "no layer has more than one kernel: nothing to tune")
    assert not list(folder.glob("tuned-*"))


def test_a_command_that_tunes_nothing_is_refused(run: Run, folder: Path) -> None:
    code, _, err = run("lenet_5", "--backend", "numpy")
    assert (code, err.splitlines()[0]) == (
        2,
        "E0701: the backend numpy has one kernel for each op: nothing to tune",
    )
    if "numba" in available():
        code, _, err = run()
        assert (code, err.splitlines()[0]) == (2, "E0001: which network?")
