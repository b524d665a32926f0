"""Sweeps on workers of dask: the records of processes of one machine, whoever is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from archforge.errors import DiagnosticError
from archforge.spec.expand.space import Draw
from archforge.sweeps.engines import MOST_DEATHS, Pool, engine_of
from archforge.sweeps.job import Job, run_job
from tests.conftest import Run
from tests.sweep_work import Deadly, Sleepy, where_it_is_done
from tests.test_sweep import JOBS, NUMPY, SPACE, SWEEP, source, table

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
pytestmark = pytest.mark.filterwarnings("default")
WIDTHS = [Job("small", Draw(number, {"width": 2 + number})) for number in range(8)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler with two workers of one thread."""
    from archforge.sweeps.engines.dask import SETTINGS

    with (
        dask.config.set(SETTINGS),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        yield cluster


def test_jobs_of_a_worker_that_is_killed_are_done_by_others(cluster: Any) -> None:
    work = partial(run_job, {"small": source()}, NUMPY)
    found: dict[str, Any] = {}
    for job, record in engine_of("dask").records(work, WIDTHS, Pool(2, cluster.scheduler_address)):
        if not found:
            with distributed.Client(cluster) as client:
                first, *_ = client.run(os.getpid).values()
            os.kill(first, getattr(signal, "SIGKILL", signal.SIGTERM))
        found[job.key] = (record.reason, record.error, record.history)
    own = {job.key: work(job) for job in WIDTHS}
    assert found == {key: (record.reason, record.error, record.history) for key, record in own.items()}


def test_a_job_that_kills_its_workers_is_given_up(tmp_path: Path, cluster: Any) -> None:
    pool = Pool(2, cluster.scheduler_address)
    found = engine_of("dask").records(Deadly(tmp_path), JOBS, pool)
    records = {job.draw.number: record for job, record in found}
    assert {number: record.error for number, record in records.items()} == {0: 0.0, 1: 1.0, 2: 2.0, 3: None}
    assert records[3].reason == f"the process that did it has died {MOST_DEATHS} times"


def test_a_job_that_does_not_heed_its_limit_is_ended(tmp_path: Path, cluster: Any) -> None:
    work = Sleepy(tmp_path / "asleep")
    with distributed.Client(cluster) as client:
        client.run(import_module, Sleepy.__module__)
    with (
        patch("archforge.sweeps.engines.GRACE_S", 0.3),
        patch("archforge.sweeps.engines.dask.LOOK_S", 0.1),
        patch("archforge.sweeps.engines.dask.monotonic", work.asleep_s),
    ):
        pool = Pool(2, cluster.scheduler_address, 2.0)
        records = {job.draw.number: record for job, record in engine_of("dask").records(work, JOBS, pool)}
    assert records[1].reason == "out of time: not ended 0.3 s behind the limit"
    assert {records[number].error for number in (0, 2, 3)} == {0.0}


def test_a_scheduler_without_workers_is_told() -> None:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty,
        patch("archforge.sweeps.engines.dask.TIMEOUT_S", 2),
        pytest.raises(DiagnosticError, match="has no workers") as raised,
    ):
        next(engine_of("dask").records(run_job, JOBS, Pool(1, empty.scheduler_address)))  # type: ignore[arg-type]
    assert raised.value.diagnostics[0].code == "E0911"


@pytest.mark.usefixtures("cluster")  # which has the port
def test_a_cluster_of_this_machine_has_as_many_workers_as_are_wanted(
    recwarn: pytest.WarningsRecorder,
) -> None:
    found = engine_of("dask").records(where_it_is_done, JOBS, Pool(1))
    assert len({record.machine for _, record in found}) == 1
    assert [warning for warning in recwarn if "8787" in str(warning.message)] == []


def test_a_sweep_on_dask_is_that_of_processes(run: Run, tmp_path: Path, cluster: Any) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    space, *options = SWEEP
    without_workers = [*options[:2], *options[4:]]
    address = cluster.scheduler_address
    assert run("sweep", space, *without_workers, "--scheduler", address, "--out", "dask.sqlite")[0] == 0
    assert run("sweep", *SWEEP, "--out", "processes.sqlite")[0] == 0
    assert table(tmp_path / "dask.sqlite") == table(tmp_path / "processes.sqlite")


def test_a_scheduler_that_is_not_there_is_told() -> None:
    with (
        patch("archforge.sweeps.engines.dask.TIMEOUT_S", 0.2),
        pytest.raises(DiagnosticError, match="no scheduler answers at tcp:") as raised,
    ):
        next(engine_of("dask").records(run_job, JOBS, Pool(1, "tcp://127.0.0.1:9")))  # type: ignore[arg-type]
    assert raised.value.diagnostics[0].code == "E0911"
