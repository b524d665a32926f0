"""Sweeps: jobs that are pure, a file that outlives whatever is killed, and failures that stay single."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from unittest.mock import DEFAULT, patch

import numpy as np
import pytest
import yaml

import archforge
from archforge.atomic_files import sole_writer
from archforge.errors import DiagnosticError
from archforge.hardware import data_bytes
from archforge.spec.expand.space import Draw
from archforge.sweeps.engines import MOST_DEATHS, Pool, Records, Work, engine_of
from archforge.sweeps.engines.processes import Worker
from archforge.sweeps.job import Job, JobRecord, SpaceSource, TrainingSettings, run_job
from archforge.sweeps.limits import LEAST, JobLimitError, memory_limited
from archforge.sweeps.store import opened_store, read_store
from archforge.sweeps.sweep import Sweep, spaces_of
from tests.conftest import Run
from tests.sweep_work import Deadly, Sleepy

SPACE: dict[str, Any] = {
    "archforge": 1,
    "kind": "space",
    "title": "Small",
    "input": [1, 8, 8],
    "args": {"width": {"int": [2, 9]}, "rate": 1},
    "profiles": {"narrow": {}, "wide": {"width": {"int": [10, 17]}}},
    "graph": ["flatten", {"linear": "=width"}, "relu", {"linear": 10}],
    "train": {"loss": "cross_entropy", "optimizer": {"sgd": 0.1}, "epochs": 1, "limit": 60},
}
SWEEP = ("small.yaml@narrow", "--samples", "4", "--workers", "1", "--backend", "numpy")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """The file of a space in the folder where `run` runs."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SPACE, sort_keys=False))
    return path


class InThisProcess:
    """An engine that does jobs one after the other."""

    def records(self, work: Work, jobs: Iterable[Job], pool: Pool) -> Records:
        for job in jobs:
            yield job, work(job)


@contextmanager
def no_processes() -> Iterator[None]:
    """A block in which a sweep starts none: each costs half a second."""
    with patch("archforge.sweeps.engines.processes.ENGINE", InThisProcess()):
        yield


@pytest.fixture(name="no_processes")
def fixture_no_processes() -> Iterator[None]:
    with no_processes():
        yield


def table(path: Path) -> list[tuple[Any, ...]]:
    """All that a sweep has found, without what a clock says."""
    columns = "space, draw, drawn, row, state, reason, error, history"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"select {columns} from sample order by space, draw").fetchall()


def states(path: Path) -> list[str]:
    return [row[4] for row in table(path)]


# Jobs


def source(**changes: Any) -> SpaceSource:
    text = yaml.safe_dump(SPACE | changes, sort_keys=False)
    return SpaceSource("small@narrow", "small.yaml", "narrow", {"small.yaml": text})


def done(width: int, settings: TrainingSettings, **changes: Any) -> JobRecord:
    return run_job({"small": source(**changes)}, settings, Job("small", Draw(0, {"width": width})))


NUMPY = TrainingSettings(backend="numpy")


def test_a_job_is_a_function_of_its_plain_values() -> None:
    one, other = done(4, NUMPY), done(4, NUMPY)
    assert one.history == other.history
    assert one.is_trained
    assert one.error == 1 - max(row["val_accuracy"] for row in one.history)
    assert done(5, NUMPY).history != one.history


@pytest.mark.parametrize(
    ("settings", "changes", "reason"),
    [
        ({"time_limit_s": 1e-9}, {}, "out of time: the limit is 1e-09 s"),
        ({"memory_limit": 1 << 20}, {}, "out of memory: the process has"),
        ({"recipe": {"optimizer.sgd.lr": 1e12, "epochs": 2}}, {}, "E0903: the loss is"),
        ({}, {"graph": ["flatten", {"linear": "=width"}]}, "E0607: "),
        ({}, {"graph": [{"linear": "=width"}]}, "E0401: "),
        ({"data": "missing.npz"}, {}, "E0601: "),
        ({"dtype": "float12"}, {}, "E0703: "),
    ],
)
def test_a_job_that_fails_gives_its_reason(
    settings: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    record = done(4, TrainingSettings(**{"backend": "numpy", **settings}), **changes)
    assert record.reason.startswith(reason)
    assert not record.is_trained
    assert record.error is None


@linux
def test_what_earlier_jobs_have_left_in_the_process_leaves_a_job_as_much_memory() -> None:
    own = data_bytes()
    left = np.ones(64 << 20, np.uint8)
    with memory_limited(own + LEAST, lambda: own):
        assert np.ones(LEAST - (8 << 20), np.uint8).any()
        assert left.any()
        with pytest.raises(MemoryError):
            np.empty(1 << 34, np.uint8)  # more than what other tests have left could hold
    for error in (MemoryError(), RuntimeError("can't start new thread")):
        with pytest.raises(JobLimitError, match="out of memory"), memory_limited(own + LEAST, lambda: own):
            raise error


def test_a_worker_of_another_version_ends_the_sweep() -> None:
    work = partial(run_job, {"s": source()}, replace(NUMPY, version="0.0"))
    records = engine_of("processes").records(work, JOBS, Pool(1))
    with pytest.raises(DiagnosticError, match=r"of archforge 0\.0, and a worker has") as raised:
        next(records)
    assert raised.value.diagnostics[0].code == "E0911"


def test_a_bug_in_a_job_is_its_reason() -> None:
    with patch("archforge.training.train.fit", side_effect=ZeroDivisionError("division by zero")):
        assert done(4, NUMPY).reason == "ZeroDivisionError: division by zero"


# The command


def test_a_sweep_trains_what_waits_and_goes_on(run: Run, space: Path) -> None:
    with no_processes():
        code, out, err = run("sweep", *SWEEP, "--out", "few.sqlite", "--samples", "2")
        _, more, _ = run("sweep", *SWEEP, "--out", "few.sqlite", "small.yaml@wide")
    assert (code, err) == (0, "")
    assert "0 of 2 are done" in out
    assert "small@narrow: 2 trained, 0 failed" in out
    assert "2 of 8 are done" in more
    run("sweep", "small.yaml@wide", *SWEEP, "--out", "all.sqlite", "--workers", "2")
    found = table(space.parent / "all.sqlite")
    assert found == table(space.parent / "few.sqlite")
    assert [row[0] for row in found] == ["small@narrow"] * 4 + ["small@wide"] * 4
    code, out, _ = run("sweep", *SWEEP, "--out", "all.sqlite")
    assert (code, out.splitlines()[1]) == (0, "results    all.sqlite: 4 of 4 are done")
    assert "left" not in out


@pytest.mark.usefixtures("no_processes")
def test_other_settings_are_refused_by_name(run: Run, space: Path) -> None:
    sweep = ("sweep", *SWEEP, "--samples", "1")
    assert run(*sweep)[0] == 0
    code, _, err = run(*sweep, "--seed", "1", "--train", "epochs=2")
    assert code == 2
    assert err == (
        "E0910: runs/small/results.sqlite has a sweep with other settings\n"
        "      note: seed was 0 and is 1\n"
        '      note: recipe was {} and is {"epochs": 2}\n'
        "      help: the settings that it was begun with, or another file\n"
    )
    space.write_text(space.read_text().replace("limit: 60", "limit: 70"))
    for options in ((), ("--report",)):
        code, _, err = run(*sweep, *options)
        assert (code, "note: the space small@narrow was" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["anynet"], "E0001: anynet is no space"),
        (["small.yaml", "small.yaml"], "E0001: two of the spaces are small@narrow"),
        (["small.yaml@narow"], "E0315"),
        (["small.yaml@wide", "--profile", "wide"], "E0001: the profile wide changes nothing"),
        (["small.yaml", "--train", "epoch=3"], "E0201"),
        (["small.yaml", "--train", "epochs"], "E0001: `--train epochs` has no value"),
        (["small.yaml", "--train", ".lr=3"], "E0001: `--train .lr` names nothing in `train`"),
        (["small.yaml", "--where", "flops > 3"], "E0302"),
        (["small.yaml", "--where", "macs > 1e12"], "E0323"),
        (["small.yaml", "--set", "width=3"], "E0321"),
        (["small.yaml", "--data", "missing"], "E0601"),
        (["small.yaml", "--engine", "ray"], "E0911: there is no engine `ray` for sweeps"),
        (["small.yaml", "--time-limit", "0"], "E0001: --time-limit 0 is no time"),
        (["small.yaml", "--time-limit", "nan"], "E0001: --time-limit nan is no time"),
        (["small.yaml", "--threads", "10000"], "9999"),
        (["small.yaml", "--memory-limit", "2 GB"], "E0001: `2 GB` is no size of a memory"),
        (["small.yaml", "--memory-limit", "10M"], "E0001: --memory-limit 10 MiB is less than any network"),
        (["small.yaml", "--scheduler", "tcp://1.2.3.4:5", "--workers", "2"], "E0001"),
        (["small.yaml", "--out", "small.yaml/x"], "E0705"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(
    run: Run, space: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archforge.analysis.sampling.MOST_REFUSED", 100)
    code, out, err = run("sweep", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert [path.name for path in space.parent.iterdir()] == ["small.yaml"]


@pytest.mark.usefixtures("no_processes")
def test_networks_that_fail_are_recorded_and_the_others_go_on(run: Run, space: Path) -> None:
    fewer = SPACE | {"args": {"classes": {"choice": [10, 7]}}, "profiles": {"narrow": {}}}
    space.write_text(yaml.safe_dump(fewer | {"graph": ["flatten", {"linear": "=classes"}]}, sort_keys=False))
    drawn = next(seed for seed in range(99) if classes(space, seed) == [7, 10, 7, 10])
    code, out, _ = run("sweep", *SWEEP, "--seed", str(drawn))
    assert code == 0
    assert "small@narrow: 2 trained, 2 failed" in out
    assert states(space.parent / "runs/small/results.sqlite") == ["failed", "trained", "failed", "trained"]
    assert out.count("E0607: ") == 2


def classes(space: Path, seed: int) -> list[int]:
    return [sample.arguments["classes"] for sample in archforge.sample(space, 4, seed=seed)]


@pytest.mark.usefixtures("no_processes")
def test_none_that_could_be_trained_is_exit_code_1(run: Run, space: Path) -> None:
    code, out, _ = run("sweep", *SWEEP, "--samples", "1", "--time-limit", "0.000001")
    assert code == 1
    assert "out of time: the limit is 1e-06 s" in out
    assert "small@narrow: 0 trained, 1 failed" in out
    assert "out of time: " in (space.parent / "runs/small/report.html").read_text()


# Python


@pytest.mark.usefixtures("no_processes")
def test_a_sweep_of_python_is_that_of_the_command(run: Run, space: Path) -> None:
    told: list[str] = []
    options: dict[str, Any] = {
        "workers": 1,
        "backend": "numpy",
        "epochs": 2,
        "optimizer": {"sgd": {"lr": 0.2}},
    }
    folder = space.parent / "a"
    (found,) = archforge.sweep(space, 2, out=folder, told=lambda job, _: told.append(job.key), **options)
    assert told == ["small@narrow 0", "small@narrow 1"]
    train = ("--train", "epochs=2", "--train", "optimizer={sgd: {lr: 0.2}}")
    assert run("sweep", *SWEEP, "--samples", "2", *train, "--out", "a")[1].count("2 of 2 are done") == 1
    assert table(folder / "results.sqlite")[0][5:7] == ("", found.errors[0])
    assert archforge.sweep([f"{space}@narrow"], 2, out=folder, **options)[0].trained == found.trained


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "`samples` is a whole number from 1, found 0"),
        ({"samples": "3"}, "`samples` is a whole number"),
        ({"workers": 0}, "`workers` is a whole number from 1"),
        ({"threads": 0.5}, "`threads` is a whole number"),
        ({"threads": 10000}, "`threads` is a whole number from 1 to 9999, found 10000"),
        ({"told": 3}, "`told` is a function"),
        ({"spaces": []}, "there is no space to sweep"),
        ({"spaces": {"archforge": 1}}, "spaces are names and paths, found a dict"),
        ({"spaces": [None]}, "a space is a name or a path"),
        ({"data": ([1], [2])}, "`data` is a path"),
        ({"out": 3}, "`out` is the path"),
        ({"time_limit": "1h"}, "time_limit is a number of seconds"),
        ({"time_limit": -1}, "time_limit -1 is no time"),
        ({"memory_limit": 3}, "`memory_limit` is a text"),
        ({"memory_limit": "much"}, "`much` is no size of a memory"),
        ({"engine": "ray"}, "there is no engine `ray`"),
        ({"epoch": 3}, "has no argument `epoch`"),
        ({"where": 3}, "`where` is a text"),
        ({"seed": -1}, "`seed` is a whole number"),
        ({"optimizer": "sdg"}, "did you mean `sgd`"),
        ({"loss": lambda y, t: y}, "`loss` of a sweep"),
    ],
)
def test_a_mistake_of_python_is_told_by_name(space: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DiagnosticError, match=message):
        archforge.sweep(**{"spaces": space, "out": space.parent / "x", **options})
    assert [path.name for path in space.parent.iterdir()] == ["small.yaml"]


def test_a_script_without_a_guard_is_told(space: Path) -> None:
    script = "import archforge\narchforge.sweep('small.yaml', 1, backend='numpy', workers=1)\n"
    (space.parent / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=space.parent, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'call it behind if __name__ == "__main__":' in done.stderr


# The file


def test_a_second_sweep_of_one_file_is_refused(run: Run, space: Path) -> None:
    path = space.parent / "one.sqlite"
    path.touch()
    with sole_writer(path):
        code, _, err = run("sweep", *SWEEP, "--out", path.name)
    assert code == 2
    assert "E0705: another process is writing to one.sqlite" in err


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table sample (space)")


def of_the_future(path: Path) -> None:
    with opened_store(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 2")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"no database" * 999), "cannot be read as results of a sweep"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(5000)), "cannot be read as results"),
        (other_database, "holds something else than a sweep"),
        (of_the_future, "is of format 2 of sweeps"),
    ],
)
def test_a_file_of_something_else_is_left_alone(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "x.sqlite"
    spoil(path)
    before = path.read_bytes()
    for opening in (opened_store, read_store):
        with pytest.raises(DiagnosticError, match=message) as raised, opening(path):
            pass
        assert raised.value.diagnostics[0].code == "E0601"
    assert path.read_bytes() == before


def test_results_that_are_damaged_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with opened_store(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("insert into sample (space, draw, drawn, row) values ('s', 0, '{', '{}')")
    with (
        read_store(path) as store,
        pytest.raises(DiagnosticError, match="cannot be read as results") as raised,
    ):
        store.results("s")
    assert raised.value.diagnostics[0].code == "E0601"


def test_a_full_disk_or_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with opened_store(path) as store:
        store.keep_settings({"seed": "0"})
    with read_store(path) as store, pytest.raises(DiagnosticError, match="readonly database") as raised:
        store.keep_settings({"where": "null"})
    assert raised.value.diagnostics[0].code == "E0705"
    with opened_store(path) as store:
        store._connection.execute("pragma max_page_count = 1")
        with pytest.raises(DiagnosticError, match="database or disk is full") as raised:
            store.keep_settings({str(n): "0" * 1000 for n in range(99)})
        assert raised.value.diagnostics[0].code == "E0705"
        assert store.settings() == {"seed": "0"}


# Engines


JOBS = [Job("s", Draw(number, {})) for number in range(4)]


def test_a_job_whose_process_dies_is_done_again_some_times(tmp_path: Path) -> None:
    work = Deadly(tmp_path)
    # The first process dies before it has read what it is to do.
    starts = chain([BrokenPipeError(errno.EPIPE, "broken pipe")], repeat(DEFAULT))
    with (
        patch(
            "archforge.sweeps.engines.processes.ProcessPoolExecutor",
            wraps=ProcessPoolExecutor,
            side_effect=starts,
        ),
        closing(engine_of("processes").records(work, JOBS, Pool(2))) as found,
    ):
        records = {job.draw.number: record for job, record in found}
    assert {number: record.error for number, record in records.items()} == {0: 0.0, 1: 1.0, 2: 2.0, 3: None}
    assert records[3].reason == f"the process that did it has died {MOST_DEATHS} times"
    assert list(map(work.times, JOBS)) == [1, 2, 1, MOST_DEATHS]


def test_a_job_that_does_not_heed_its_limit_is_ended(tmp_path: Path) -> None:
    work = Sleepy(tmp_path / "asleep")
    with (
        patch("archforge.sweeps.engines.GRACE_S", 0.3),
        patch("archforge.sweeps.engines.processes.LOOK_S", 0.1),
        patch("archforge.sweeps.engines.processes.monotonic", work.asleep_s),
        closing(engine_of("processes").records(work, JOBS, Pool(1, "", 0.2))) as found,
    ):
        records = {job.draw.number: record for job, record in found}
    assert records[1].reason == "out of time: not ended 0.3 s behind the limit"
    assert {records[number].error for number in (0, 2, 3)} == {0.0}


def test_a_machine_that_starts_no_processes_is_told() -> None:
    broken = patch(
        "archforge.sweeps.engines.processes.ProcessPoolExecutor", side_effect=OSError(38, "no semaphores")
    )
    with broken, pytest.raises(DiagnosticError, match="no semaphores") as raised:
        next(engine_of("processes").records(run_nothing, JOBS, Pool(1)))
    assert raised.value.diagnostics[0].code == "E0911"


def run_nothing(job: Job) -> JobRecord:
    return JobRecord(error=0.0)


# What is killed


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "archforge", "sweep", *SWEEP, *options]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def children(pid: int) -> list[int]:
    """The processes that one has started, but for the one that watches semaphores."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(what: Callable[[], Any]) -> Any:
    until = monotonic() + 120
    while not (found := what()):
        assert monotonic() < until
        sleep(0.005)
    return found


def number_done(path: Path) -> int:
    try:
        return sum(state != "waiting" for state in states(path))
    except sqlite3.Error:
        return 0


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def end_otherwise(process: subprocess.Popen[bytes], path: Path, number: int) -> None:
    """Behind one more network, kill a sweep and see its worker end; or kill its worker, and ask it to end."""
    (worker,) = wait_for(lambda: children(process.pid))
    if number % 2 == 0:
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: number_done(path) > number or process.poll() is not None)
    if number % 2 == 0:
        process.terminate()
        assert process.wait() in (0, 128 + signal.SIGTERM)
    else:
        process.kill()
        wait_for(lambda: is_gone(worker))


def killed_again_and_again(run: Run, folder: Path, kills: int, samples: int) -> None:
    """End a sweep behind one network after the other, then let it go on to its end."""
    options = ("--samples", str(samples), "--train", "epochs=3", "--out")
    path = folder / "killed.sqlite"
    for number in range(kills):
        with started(folder, *options, path.name) as process:
            end_otherwise(process, path, number)
    assert run("sweep", *SWEEP, *options, path.name)[0] == 0
    with no_processes():
        assert run("sweep", *SWEEP, *options, "whole.sqlite")[0] == 0
    assert table(path) == table(folder / "whole.sqlite")
    assert set(states(path)) == {"trained"}


@linux
def test_a_sweep_that_is_killed_loses_nothing_and_counts_nothing_twice(run: Run, space: Path) -> None:
    killed_again_and_again(run, space.parent, kills=2, samples=5)


@linux
@pytest.mark.slow
def test_a_sweep_that_is_killed_twenty_times_is_that_which_was_not(run: Run, space: Path) -> None:
    killed_again_and_again(run, space.parent, kills=20, samples=24)


# Threads


class Seen:
    """An engine that tells what the environment says of threads."""

    def records(self, work: Work, jobs: Iterable[Job], pool: Pool) -> Records:
        for job in jobs:
            yield job, JobRecord(reason=os.environ.get("MKL_NUM_THREADS", "unset"))


def test_processes_learn_how_many_threads_they_have(
    space: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    swept = spaces_of([(str(space), "narrow")], {}, None)
    sweep = Sweep(swept, replace(NUMPY, threads=3))
    with opened_store(tmp_path / "x.sqlite") as store:
        sweep.draw(store, 1, lambda name, number: None)
        jobs = sweep.waiting(store, 1)
        ((_, record),) = sweep.train(store, jobs, Seen(), Pool(1))
    assert record.reason == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_a_space_brings_the_files_that_it_extends(tmp_path: Path) -> None:
    base = {key: value for key, value in SPACE.items() if key != "profiles"} | {"kind": "template"}
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "base.yaml").write_text(yaml.safe_dump(base | {"args": {"width": "int"}}))
    small = {"archforge": 1, "kind": "space", "extends": "parts/base", "with": {"width": {"int": [2, 9]}}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    (swept,) = spaces_of([(str(tmp_path / "small.yaml"), None)], {}, None)
    assert sorted(swept.source.files) == ["parts/base.yaml", "small.yaml"]
    shutil.rmtree(tmp_path)
    record = run_job({"s": swept.source}, NUMPY, Job("s", Draw(0, {"width": 4})))
    assert record.reason == ""


def test_a_worker_without_threads_of_its_executor_is_refused_and_not_waited_for() -> None:
    refused = RuntimeError("can't start new thread")
    started = patch("archforge.sweeps.engines.processes.Thread.start", side_effect=refused)
    with started, pytest.raises(RuntimeError, match="new thread"):
        Worker()
