"""The results of a sweep: one file of SQLite, in which each job is written once, when it is done."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archforge.analysis.sampling import DrawnNetwork
from archforge.atomic_files import made_folder, reason_of, sole_writer
from archforge.errors import fail
from archforge.paths import is_file
from archforge.spec.expand.space import Draw
from archforge.sweeps.job import Job, JobRecord, figure_of

__all__ = ["Store", "SweptNetwork", "opened_store", "read_store"]

APPLICATION = int.from_bytes(b"AfSw")
FORMAT = 1
LOST = "name another file; what was trained for this one is lost"
WAIT_S = 30.0  # for whoever reads or writes the file meanwhile
KEEP = (
    "update sample set state = ?, reason = ?, error = ?, history = ?, seconds = ?, machine = ? "
    "where space = ? and draw = ? and state = 'waiting'"
)
TABLES = """
create table setting (name text primary key, value text not null);
create table sample (
    space text not null, draw integer not null, drawn text not null, row text not null, -- JSON
    state text not null default 'waiting', -- trained, failed
    reason text not null default '', error real, history text not null default '[]', -- JSON
    seconds real not null default 0, machine text not null default '',
    primary key (space, draw)
);
"""


@dataclass(frozen=True, slots=True)
class SweptNetwork:
    """A network of a sweep: what was drawn, its row of arguments and counts, and the record of its job, None
    if it waits."""

    job: Job
    row: Mapping[str, Any]
    record: JobRecord | None

    @property
    def error(self) -> float:
        """The error of one that was trained, NaN for another."""
        return math.nan if self.record is None or self.record.error is None else self.record.error

    @property
    def figure(self) -> str:
        """The figure from which the error comes."""
        return figure_of(self.record.history) if self.record else ""


class Store:
    """The file of a sweep. One process writes; others may read meanwhile. What the disk or the file refuses
    raises E0705, or E0601."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    def settings(self) -> dict[str, str]:
        """The settings by name, each as JSON."""
        with _explained(self.path):
            return dict(self._connection.execute("select name, value from setting order by rowid"))

    def keep_settings(self, settings: Mapping[str, str]) -> None:
        """Write settings, unless those of their names are there."""
        with _explained(self.path), self._connection:
            self._connection.executemany("insert or ignore into setting values (?, ?)", settings.items())

    def last_draw(self, space: str) -> int:
        """The number of the last draw of a space that was kept; -1 for none."""
        found = self._one("select coalesce(max(draw), -1) from sample where space = ?", space)
        return int(found)

    def samples(self, space: str) -> int:
        """The number of networks of a space."""
        return int(self._one("select count(*) from sample where space = ?", space))

    def add(self, space: str, found: list[DrawnNetwork]) -> None:
        """Write networks that were drawn, all or none."""
        rows = [
            (space, sample.draw.number, json.dumps(sample.draw.values), json.dumps(sample.row()))
            for sample in found
        ]
        with _explained(self.path), self._connection:
            self._connection.executemany(
                "insert or ignore into sample (space, draw, drawn, row) values (?, ?, ?, ?)", rows
            )

    def keep(self, job: Job, record: JobRecord) -> None:
        """Write the record of a job that waits; it is on the disk when this returns."""
        values = (
            "trained" if record.is_trained else "failed", record.reason, record.error,
            json.dumps(record.history), record.seconds, record.machine, job.space, job.draw.number,
        )  # fmt: skip
        with _explained(self.path), self._connection:
            self._connection.execute(KEEP, values)

    def results(self, space: str) -> list[SweptNetwork]:
        """The networks of a space in the order of their draws."""
        query = (
            "select draw, drawn, row, state, reason, error, history, seconds, machine from sample "
            "where space = ? order by draw"
        )
        with _explained(self.path):
            return [_result(space, *row) for row in self._connection.execute(query, (space,))]

    def _one(self, query: str, *values: Any) -> Any:
        with _explained(self.path):
            return self._connection.execute(query, values).fetchone()[0]


def _result(
    space: str, draw: int, drawn: str, row: str, state: str, reason: str, error: float | None,
    history: str, seconds: float, machine: str,
) -> SweptNetwork:  # fmt: skip
    record = JobRecord(reason, error, tuple(json.loads(history)), seconds, machine)
    job = Job(space, Draw(draw, json.loads(drawn)))
    return SweptNetwork(job, json.loads(row), None if state == "waiting" else record)


@contextmanager
def opened_store(path: Path) -> Iterator[Store]:
    """The file of a sweep, made if it is not there, which no other process writes to meanwhile. Raises E0705,
    and E0601 for a file of something else."""
    made_folder(path.parent)
    with ExitStack() as stack:
        with _explained(path):
            path.touch()
            stack.enter_context(sole_writer(path))
            connection = stack.enter_context(closing(sqlite3.connect(path, timeout=WAIT_S)))
            if path.stat().st_size == 0:
                connection.executescript(
                    f"begin; pragma application_id = {APPLICATION}; pragma user_version = {FORMAT}; {TABLES} "
                    "commit;"
                )
            _require_ours(path, connection)
        yield Store(path, connection)


@contextmanager
def read_store(path: Path) -> Iterator[Store]:
    """The file of a sweep, which another process may write to meanwhile. Raises E0601."""
    if not is_file(path):
        fail("E0601", f"there are no results of a sweep at {path}", help="the file that `--out` has named")
    with ExitStack() as stack:
        with _explained(path):
            address = f"{path.resolve().as_uri()}?mode=ro"
            connection = stack.enter_context(closing(sqlite3.connect(address, uri=True, timeout=WAIT_S)))
            _require_ours(path, connection)
        yield Store(path, connection)


def _require_ours(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("pragma application_id").fetchone()
    (format,) = connection.execute("pragma user_version").fetchone()
    if application != APPLICATION:
        fail("E0601", f"{path} holds something else than a sweep", help="name another file")
    if format != FORMAT:
        fail("E0601", f"{path} is of format {format} of sweeps, and this is archforge of {FORMAT}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """A block whose errors of SQLite and of the system are diagnostics."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            fail("E0601", f"{path} cannot be read as results of a sweep: {error}", help=LOST)
        fail("E0705", f"cannot write {path}: {error}", help="what was done before is kept")
    except json.JSONDecodeError as error:
        fail("E0601", f"{path} cannot be read as results of a sweep: {error}", help=LOST)
    except OSError as error:
        fail("E0705", f"cannot write {path}: {reason_of(error)}")
