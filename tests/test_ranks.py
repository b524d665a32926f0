"""Runs of several ranks are those of one process, and end together whatever becomes of a rank."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import yaml

import archforge
from archforge import driver
from archforge.cli.training_results import print_beginning
from archforge.data.arrays import read_weights
from archforge.datasets.arrays import sampled
from archforge.datasets.base import AnyArray, DataSettings
from archforge.datasets.batches import Batches
from archforge.datasets.fit import fitted
from archforge.draws import BatchShare, generator, shared_generator
from archforge.errors import DiagnosticError, TrainingWarning
from archforge.ops.base import Array
from archforge.spec.resolve.recipe import from_python
from archforge.training.checkpoint import read_checkpoint
from archforge.training.loop import Callback
from archforge.training.measures import Measures
from archforge.training.ranks.engines import ProcessStart
from archforge.training.ranks.exchange import Exchange
from archforge.training.ranks.group import RankGroup
from archforge.training.ranks.hosts import HERE, is_here, placed, read_hosts
from archforge.training.ranks.job import run_job
from archforge.training.ranks.mpi import ROOT, Mpi
from archforge.training.ranks.ring import Ring
from archforge.training.run import TrainingRun
from archforge.training.run_folder import opened_folder
from archforge.training.train import begin, fit
from archforge.training.trained import Trained
from tests.test_learners import LEARNING
from tests.thread_ranks import Threads, in_ranks

NET: dict[str, Any] = {
    "archforge": 1,
    "title": "net",
    "input": [2, 6, 6],
    "graph": [
        {"conv": {"out": 4, "kernel": 3, "padding": 1}},
        "relu",
        {"max_pool": 2},
        "flatten",
        {"dropout": 0.4},
        {"linear": 5},
    ],
    "train": {
        "loss": "cross_entropy",
        "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9}},
        "batch": 8,
        "epochs": 2,
        "validation": 0.25,
    },
}
CONV, *REST = NET["graph"]
NORMED = {**NET, "graph": [CONV, "bn", *REST]}
SCOPED = {**NET, "graph": [{"name": "begin", "seq": [CONV, "bn", "relu"]}, *REST]}
MASKS = {**NET, "input": [2, 6, 6], "graph": [CONV, "relu", {"conv": {"out": 3, "kernel": 1}}]}
SAMPLES = 70  # 52 to learn from: six batches of 8, and one of 4


def samples(*, masks: bool = False) -> tuple[AnyArray, AnyArray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((SAMPLES, 2, 6, 6)).astype("float32")
    return x, rng.integers(0, 3, (SAMPLES, 6, 6)) if masks else rng.integers(0, 5, SAMPLES)


def trained(
    spec: Mapping[str, Any],
    data: Any,
    group: RankGroup | None = None,
    *,
    out: Path | None = None,
    backend: str = "numpy",
    dtype: str = "float64",
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Trained:
    network = driver.analyse(driver.open_spec(spec))
    beginning = begin(network, data, from_python(settings), backend=backend, dtype=dtype, ranks=group)
    if out is None or (group and group.rank):
        return fit(beginning, callbacks=callbacks)
    with opened_folder(out, resume=(out / "checkpoint.safetensors").exists()) as folder:
        return fit(beginning, folder, callbacks, checkpoint_every=1)


def assert_alike(found: Trained, expected: Trained, tolerance: float) -> None:
    """Equal weights and histories, to within `tolerance` of the largest number of each."""
    for name, array in expected.weights.items():
        largest = np.abs(array).max()
        np.testing.assert_allclose(found.weights[name], array, rtol=0, atol=tolerance * largest, err_msg=name)
    for ours, theirs in zip(found.history, expected.history, strict=True):
        figures = {name: figure for name, figure in theirs.items() if "second" not in name}
        assert {name: ours[name] for name in figures} == pytest.approx(figures, rel=tolerance)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        pytest.param(NET, {}, id="dropout"),
        pytest.param(NET, {"accumulate": 3}, id="accumulated"),
        pytest.param(NET, {"drop_last": True, "clip": {"norm": 0.1}, "ema": 0.9}, id="clipped"),
        pytest.param(NET, {"loss": {"cross_entropy": {"weights": [1.0, 5.0, 0.0, 2.0, 1.0]}}}, id="weighted"),
        pytest.param(NET, {"loss": {"cross_entropy": {"ignore": 2}}}, id="ignored"),
        pytest.param(NET, {"loss": {"cross_entropy": {"reduction": "sum"}}}, id="summed"),
        pytest.param(NORMED, {"sync_bn": True}, id="batch norm"),
        pytest.param(SCOPED, {"sync_bn": True, "recompute": ["begin"]}, id="computed again"),
        pytest.param(MASKS, {"loss": {"cross_entropy": {"ignore": 0}}}, id="masks"),
    ],
)
def test_ranks_learn_as_one_process_does(
    spec: Mapping[str, Any], settings: Mapping[str, Any], ranks: int
) -> None:
    data = samples(masks=spec is MASKS)
    expected = trained(spec, data, **settings)
    for found in in_ranks(lambda group: trained(spec, data, group, **settings), ranks):
        assert_alike(found, expected, 1e-10)


@pytest.mark.parametrize("backend", LEARNING)
def test_ranks_learn_as_one_process_does_on_every_backend(backend: str) -> None:
    """Batch norms are shared. The updates are so few that rounding errors do not grow."""
    settings: dict[str, Any] = {"backend": backend, "dtype": "float32", "epochs": 1, "sync_bn": True}
    expected = trained(NORMED, samples(), **settings)
    for found in in_ranks(lambda group: trained(NORMED, samples(), group, **settings)):
        assert_alike(found, expected, 1e-5)


def test_batch_norms_of_each_rank_follow_its_own_samples() -> None:
    """Running statistics are the mean over ranks, which for variances is not that of all samples."""
    settings: dict[str, Any] = {"epochs": 1, "limit": 40, "batch": 40, "validation": 0.0}
    alone = trained(NORMED, samples(), **settings).weights
    first, second = in_ranks(lambda group: trained(NORMED, samples(), group, **settings).weights)
    assert first["bn.running_mean"] == pytest.approx(alone["bn.running_mean"])
    assert first["bn.running_var"] != pytest.approx(alone["bn.running_var"])
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_a_share_of_random_numbers_is_its_rows_of_all() -> None:
    whole = generator(1, "drop", 2).random((7, 3, 2))
    for first, end in ((0, 3), (3, 7)):
        drawn = shared_generator(generator(1, "drop", 2), BatchShare(first, end - first, 7))
        np.testing.assert_array_equal(drawn.random((end - first, 3, 2)), whole[first:end])
        again = generator(1, "drop", 2)
        again.random((7, 3, 2))
        np.testing.assert_array_equal(drawn.random((end - first, 1)), again.random((7, 1))[first:end])


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_ranks_share_every_batch(ranks: int) -> None:
    x = np.arange(46, dtype="float32").reshape(23, 2)
    data = sampled("numbers", x, np.arange(23))
    fit = fitted(data, (2,), DataSettings(), training=True)
    whole = Batches(data, fit, 9, seed=1, shuffle=True)
    parts = [Batches(data, fit, 9, seed=1, shuffle=True, rank=r, ranks=ranks) for r in range(ranks)]
    for batch, *shares in zip(whole.epoch(4), *(part.epoch(4) for part in parts), strict=True):
        np.testing.assert_array_equal(batch.y, np.concatenate([share.y for share in shares]))
        sizes = [len(share.y) for share in shares]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("batch", "told"), [(8, "4 samples"), (9, "4 or 5 samples"), (64, "26 samples")])
def test_ranks_tell_their_parts_of_a_batch(batch: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One of 64 has all 52 samples."""

    def of(group: RankGroup) -> None:
        network = driver.analyse(driver.open_spec(NET))
        beginning = begin(network, samples(), from_python({"batch": batch}), backend="numpy", ranks=group)
        if group.rank == 0:
            print_beginning(beginning, layers=False)

    in_ranks(of)
    assert f"ranks      2, {told} of each batch\n" in capsys.readouterr().out


@pytest.mark.parametrize("settings", [{"batch": 2}, {"batch": 10}], ids=str)
def test_a_batch_of_fewer_samples_than_ranks_is_refused(settings: dict[str, Any]) -> None:
    data = tuple(array[:22] for array in samples())
    with pytest.raises(DiagnosticError, match="too few for 3 ranks") as caught:
        in_ranks(lambda group: trained(NET, data, group, validation=0.0, **settings), 3)
    assert caught.value.diagnostics[0].code == "E0609"


class Recorded(RankGroup):
    """A group that records when it is asked for sums of gradients."""

    def __init__(self, group: RankGroup, events: list[str]) -> None:
        self.group, self.events, self.rank, self.size = group, events, group.rank, group.size

    def begin_sum(self, array: Array) -> Callable[[], Array]:
        self.events.append("sent" if array.dtype == np.float32 else "figures")
        return self.group.begin_sum(array)


def test_gradients_leave_while_the_way_back_goes_on() -> None:
    arrays = {name: np.ones(4, np.float32) for name in "abc"}

    def update(group: RankGroup) -> list[str]:
        events: list[str] = []
        exchange = Exchange(Recorded(group, events), arrays, {"d": np.ones(2, np.float32)})
        exchange.begin(2, lambda: group.rank == 1)
        for number in (1, 2):
            exchange.measured(Measures())
            for name, array in arrays.items():
                exchange.complete(name, number * array)
                events.append(name)
            exchange.add(arrays)
        found = exchange.finish(Measures(), {"d": np.full(2, 1.0 + group.rank, np.float32)}, 0.5)
        assert [*found.gradients] == [*arrays]
        assert all((array == 6).all() for array in found.gradients.values())
        assert found.ending
        return events

    with patch.multiple("archforge.training.ranks.exchange", LEAST_BYTES=1, MOST_PIECES=3):
        events, _ = in_ranks(update)
    assert " ".join(events) == "a b c figures sent a sent b c sent"


@pytest.mark.parametrize("other", [{"seed": 1}, {"epochs": 3}, {"dtype": "float32"}], ids=str)
def test_ranks_that_differ_are_refused_on_each(other: dict[str, Any]) -> None:
    def of(group: RankGroup) -> str:
        with pytest.raises(DiagnosticError) as caught:
            trained(NET, samples(), group, **(other if group.rank == 1 else {}))
        return str(caught.value)

    first, second = in_ranks(of, 2)
    assert first == second
    assert first.startswith("E0907: rank 1 has other ")
    assert ("dtype" if "dtype" in other else "recipe") in first


def test_ranks_with_other_data_are_refused() -> None:
    x, y = samples()

    def of(group: RankGroup) -> Trained:
        return trained(NET, (x + group.rank, y), group)

    with pytest.raises(DiagnosticError, match="E0907: rank 1 has other data, held_back than rank 0"):
        in_ranks(of)


class Ends(Callback):
    """Asks a run to end at its third update."""

    def on_update(self, run: TrainingRun, loss: float) -> None:
        run.stopped = "enough" if run.place.updates == 3 else ""
        run.is_ending = run.place.updates == 3


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_goes_on_with_another_number_of_ranks(ranks: int, tmp_path: Path) -> None:
    """Rank 0 alone has the folder. What is another number of ranks is told."""
    expected = trained(NET, samples())
    in_ranks(lambda group: trained(NET, samples(), group, out=tmp_path, callbacks=[Ends()]))
    if ranks == 2:
        found = in_ranks(lambda group: trained(NET, samples(), group, out=tmp_path))[1]
    else:
        with pytest.warns(TrainingWarning, match="since the checkpoint, ranks was 2 and is 1"):
            found = trained(NET, samples(), out=tmp_path)
    assert_alike(found, expected, 1e-10)


def test_a_rank_that_does_not_answer_is_told_in_time() -> None:
    threads = Threads(2)
    group = RankGroup(lambda: threads.rank(0), timeout_s=0.05)
    with pytest.raises(DiagnosticError, match=r"E0908: rank 0 of 2 has waited 0\.05 s for"):
        group.wait()
    threads.barrier.abort()


def test_a_rank_that_is_lost_is_told() -> None:
    threads = Threads(2)
    group = RankGroup(lambda: threads.rank(0))
    threads.barrier.abort()
    with pytest.raises(DiagnosticError, match="E0908: rank 0 of 2 has lost another one"):
        group.wait()


# Hosts


def test_hosts_are_read_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# two machines\n10.0.0.1 slots=2  # the first\n\n  box.local slots = 1\nbox\n")
    assert read_hosts(file) == ["10.0.0.1", "10.0.0.1", "box.local", "box"]
    assert placed(3, file) == ["10.0.0.1", "10.0.0.1", "box.local"]
    assert placed(2, None) == [HERE, HERE]
    with pytest.raises(DiagnosticError, match="has 4 places, too few for 5 ranks"):
        placed(5, file)


@pytest.mark.parametrize(
    "line", ["a b", "::1", "a slots=", "a slots=0", "a slots=x", "a slots=9999", "a; rm -r /"]
)
def test_hosts_that_cannot_be_read_are_told_at_their_place(line: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(f"good\n  {line}\n")
    with pytest.raises(DiagnosticError, match=f"{file}:2:3: E0909"):
        read_hosts(file)


def test_an_address_of_this_machine_is_known() -> None:
    assert is_here(HERE)
    assert is_here("localhost")
    assert not is_here("192.0.2.1")  # for documentation alone, RFC 5737
    with pytest.raises(DiagnosticError, match=r"the host nowhere\.invalid has no address"):
        is_here("nowhere.invalid")


# Jobs


@dataclass(frozen=True)
class Scripts:
    """An engine whose ranks run these lines of Python."""

    lines: Sequence[str]
    name: str = "scripts"

    def starts(self, command: Sequence[str], hosts: Sequence[str]) -> list[ProcessStart]:
        assert [*command[1:4]] == ["-m", "archforge.cli.rank", "train"]
        pairs = zip(self.lines, hosts, strict=True)
        return [ProcessStart([sys.executable, "-c", line], {}, host) for line, host in pairs]


WAITS = "import time; time.sleep(60)"
FAILS = "raise SystemExit(3)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def job(*lines: str) -> int:
    started = monotonic()
    try:
        return run_job(Scripts(lines), ["train"], [HERE] * len(lines))  # type: ignore[arg-type]
    finally:
        assert monotonic() - started < 30, "a rank was waited for"


def test_a_job_ends_with_the_code_of_its_ranks() -> None:
    assert job("pass", "pass") == 0
    assert job("pass", FAILS) == 3


@patch("archforge.training.ranks.job.PATIENCE_S", 0.3)
def test_a_rank_that_fails_ends_the_others() -> None:
    assert job(WAITS, FAILS) == 3
    assert job(f"import time; time.sleep(0.5); {FAILS}", DEAF) == 3


@patch("archforge.training.ranks.job.PATIENCE_S", 0.3)
def test_a_rank_that_is_killed_is_named() -> None:
    with pytest.raises(DiagnosticError, match=rf"E0908: rank 1 on {HERE} was ended by signal 9 \(SIGKILL\)"):
        job(DEAF, "import os; os.kill(os.getpid(), 9)")


def test_a_rank_knows_by_its_input_that_its_job_is_to_end() -> None:
    """Their standard input is held open by whoever starts them, and closed at a first signal."""
    reads = (
        "import sys; assert sys.stdin.readline() == 'archforge\\n'; sys.stdin.read(); raise SystemExit(143)"
    )
    looks = 0

    def interrupted(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise KeyboardInterrupt
        sleep(seconds)

    with patch("archforge.training.ranks.job.sleep", interrupted), pytest.raises(KeyboardInterrupt):
        job(reads, reads)


# Engines

ring = pytest.mark.skipif(bool(Ring().lacks(to_start=True)), reason="MLX is not installed")
mpi = pytest.mark.skipif(bool(Mpi().lacks(to_start=True)), reason="mpi4py or mpirun is not installed")
each_engine = pytest.mark.parametrize(
    "engine", [pytest.param("ring", marks=ring), pytest.param("mpi", marks=mpi)]
)


def command(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`archforge train` of NORMED, synchronised, in a folder."""
    return subprocess.run(command_line(folder, *options), **surroundings(folder, **variables), timeout=120)


def command_line(folder: Path, *options: str) -> list[str]:
    (folder / "net.yaml").write_text(yaml.safe_dump(NORMED))
    x, y = samples()
    np.savez(folder / "data.npz", x=x, y=y)
    words = ["train", "net.yaml", "--data", "data.npz", "--sync-bn", "--dtype", "float64"]
    return [sys.executable, "-m", "archforge", *words, "--backend", "numpy", "--out", "run", *options]


def surroundings(folder: Path, **variables: str) -> dict[str, Any]:
    root = dict.fromkeys(ROOT, "1")  # which containers often are
    paths = os.pathsep.join([str(Path(archforge.__file__).parents[1]), *filter(None, sys.path)])
    known = {"cwd": folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return {**known, "env": {**os.environ, "PYTHONPATH": paths, **root, **variables}}


@each_engine
def test_two_processes_learn_as_one_does(engine: str, tmp_path: Path) -> None:
    expected = trained(NORMED, samples(), sync_bn=True)
    done = command(tmp_path, "--ranks", "2", "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1, "one rank prints"
    found = read_weights(tmp_path / "run" / "last.safetensors")
    for name, array in expected.weights.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-10, err_msg=name)
    assert not left_over(tmp_path)


def left_over(folder: Path) -> dict[int, list[str]]:
    """The words of the processes that work in a folder, by their numbers, where the system lists them."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found[int(process.name)] = (process / "cmdline").read_text().split("\0")
    return found


@pytest.mark.slow
@each_engine
def test_a_launcher_of_its_own_starts_ranks(engine: str, tmp_path: Path) -> None:
    launchers = {
        "mpi": ["mpirun", "-n", "2"],
        "ring": [str(Path(sys.executable).with_name("mlx.launch")), "-n", "2", "--backend", "ring", "--"],
    }
    words = [*launchers[engine], *command_line(tmp_path, "--engine", engine)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, **surroundings(tmp_path)) as job:
        printed, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert printed.count("ended: all 2 epochs are done") == 1


@pytest.mark.slow
@each_engine
@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_lost_ends_the_job_with_a_checkpoint(
    engine: str, how: str, rank: int, tmp_path: Path
) -> None:
    options = ["--ranks", "2", "--engine", engine, "--epochs", "100000", "--timeout", "3"]
    with subprocess.Popen(command_line(tmp_path, *options), **surroundings(tmp_path)) as job:
        wait_for(tmp_path / "run" / "checkpoint.previous.safetensors")
        os.kill(ranks_in(tmp_path)[rank], getattr(signal, how))
        _, said = job.communicate(timeout=60)
    assert job.returncode == 2, said
    assert "E0908" in said
    assert "--resume" in said
    assert not left_over(tmp_path)
    assert read_checkpoint(tmp_path / "run" / "checkpoint.safetensors").place.updates > 0
    epochs = read_checkpoint(tmp_path / "run" / "checkpoint.safetensors").place.epoch + 1
    options[options.index("100000")] = str(epochs)
    assert command(tmp_path, *options, "--resume").returncode == 0


@pytest.mark.slow
@each_engine
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_job_that_is_interrupted_keeps_a_checkpoint(engine: str, how: str, tmp_path: Path) -> None:
    options = ["--ranks", "2", "--engine", engine, "--epochs", "100000"]
    with subprocess.Popen(command_line(tmp_path, *options), **surroundings(tmp_path)) as job:
        wait_for(tmp_path / "run" / "checkpoint.previous.safetensors")
        job.send_signal(getattr(signal, how))
        _, said = job.communicate(timeout=60)
    if how != "SIGKILL":
        assert job.returncode == 128 + getattr(signal, how)
        assert said.count("--resume") == 1
    for _ in range(100):
        if left_over(tmp_path):
            sleep(0.1)
    assert not left_over(tmp_path)
    assert read_checkpoint(tmp_path / "run" / "checkpoint.safetensors").place.updates > 0


def wait_for(file: Path) -> None:
    for _ in range(600):
        if file.exists():
            return
        sleep(0.1)
    raise AssertionError(f"{file} is not there")


def ranks_in(folder: Path) -> list[int]:
    """Numbers of the processes that are ranks, in order of their start."""
    found = left_over(folder).items()
    return sorted(number for number, words in found if words[1:3] == ["-m", "archforge.cli.rank"])
