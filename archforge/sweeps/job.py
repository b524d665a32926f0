"""Jobs of a sweep: one trains one network of a space. What it gives depends on its plain values alone."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.analysis.network import Network
from archforge.analysis.sampling import drawn_network
from archforge.errors import DiagnosticError, fail
from archforge.hardware import data_bytes
from archforge.paths import resolved
from archforge.recipe.reaches import FIGURES
from archforge.resources import own_version, zoo_folder
from archforge.spec.expand.expand import InputShape
from archforge.spec.expand.space import Draw, Space
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.recipe import Override, from_place
from archforge.spec.resolve.sources import open_spec, settings_of
from archforge.sweeps.limits import JobLimitError, TimeLimit, memory_limited

if TYPE_CHECKING:
    from archforge.training.train import Beginning

__all__ = [
    "Job",
    "JobRecord",
    "SpaceSource",
    "TrainingSettings",
    "error_of",
    "failed",
    "figure_of",
    "named_files",
    "run_job",
    "with_variables",
]

THREADS = "ARCHFORGE_THREADS"


@dataclass(frozen=True, slots=True)
class SpaceSource:
    """A space in plain values, which open alike on every machine.

    name: `SPACE@PROFILE`. spec: the name of its file, or of a spec of the shipped zoo. files: the texts of
    files that are not of the zoo, by their paths from the folder of the spec. values, defaults: what a caller
    has set, of arguments, and of ops and blocks.
    """

    name: str
    spec: str
    profile: str
    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    input_shape: InputShape | None = None

    @contextmanager
    def opened(self) -> Iterator[Space]:
        """The space, whose files are there within the block."""
        with TemporaryDirectory(prefix="archforge-") as folder:
            for name, text in self.files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8", newline="")
            spec = open_spec(Path(folder, self.spec) if self.files else self.spec)
            given = settings_of(self.values, self.defaults)
            yield Space(spec, self.profile, given, self.input_shape)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The settings that all jobs of a sweep have alike.

    data: a path, None for the digits that are shipped. recipe: keys of `train`, or what is inside one, with
    their values: `{"optimizer.sgd.lr": 0.1}`. threads: how many compute. time_limit_s, memory_limit: seconds
    of a job, and bytes of its process, at most; None for no limit. version: of archforge.
    """

    data: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    backend: str = "auto"
    dtype: str = "float32"
    threads: int = 1
    time_limit_s: float | None = None
    memory_limit: int | None = None
    version: str = field(default_factory=own_version)

    def overrides(self) -> list[Override]:
        """The recipe as values that a caller gives over that of the space."""
        return [from_place(name, json.dumps(value), name) for name, value in self.recipe.items()]

    def begin(self, network: Network) -> Beginning:
        """The run of a network before its first update. Raises whatever does not fit."""
        from archforge.training.train import begin

        return begin(network, self.data, self.overrides(), backend=self.backend, dtype=self.dtype)


class Job(NamedTuple):
    """A network to train: the space, by its name, and what was drawn."""

    space: str
    draw: Draw

    @property
    def key(self) -> str:
        """The name of the job in its sweep."""
        return f"{self.space} {self.draw.number}"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The outcome of a job.

    reason: why there is no error, in words; empty for a network that was trained. error: of the best epoch,
    as pycls has it (pycls/sweep/analysis.py): 1 less the accuracy, or the loss where there is none, on what
    was held back if something was. history: the figures of each epoch by name. seconds: what it took.
    machine: where it was done.
    """

    reason: str = ""
    error: float | None = None
    history: tuple[Mapping[str, float], ...] = ()
    seconds: float = 0.0
    machine: str = ""

    @property
    def is_trained(self) -> bool:
        """True if the job came to its end."""
        return not self.reason


def run_job(sources: Mapping[str, SpaceSource], settings: TrainingSettings, job: Job) -> JobRecord:
    """Train the network of a job. Whatever goes wrong is the reason of the record; but E0911 is raised by a
    worker of another version, which would fail for every job."""
    if settings.version != (here := own_version()):
        message = f"the sweep is of archforge {settings.version}, and a worker has {here}"
        fail("E0911", message, help="the same version everywhere")
    started = perf_counter()
    history: Sequence[Mapping[str, float]] = ()
    reason = ""
    own = partial(_own_bytes, settings.backend, settings.dtype)
    try:
        with with_variables({THREADS: str(settings.threads)}), memory_limited(settings.memory_limit, own):
            history = _history(sources[job.space], settings, job.draw, started)
    except DiagnosticError as error:
        reason = "; ".join(f"{found.code}: {found.message}" for found in error.diagnostics)
    except JobLimitError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  the other jobs go on
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
    seconds = round(perf_counter() - started, 3)
    return JobRecord(reason, error_of(history), tuple(history), seconds, socket.gethostname())


@cache
def _own_bytes(backend: str, dtype: str) -> int:
    """The bytes of data that this process has by itself. Called before its first job, it loads what jobs
    do."""
    from archforge import backends

    import_module("archforge.training.train")
    backends.get_learning(backend, dtype)
    return data_bytes()


def failed(reason: str) -> JobRecord:
    """The record of a job that gave none itself."""
    return JobRecord(reason)


def _history(
    source: SpaceSource, settings: TrainingSettings, draw: Draw, started: float
) -> Sequence[Mapping[str, float]]:
    """The figures of each epoch of one network, which is trained."""
    from archforge.training.train import fit

    watch = TimeLimit(settings.time_limit_s, started)
    with source.opened() as space:
        beginning = settings.begin(drawn_network(space, draw))
    watch.check()
    return fit(beginning, callbacks=[watch]).run.place.history


def figure_of(history: Sequence[Mapping[str, float]]) -> str:
    """The figure of a history from which the error comes; empty where there is no epoch."""
    from archforge.training.run import monitored

    return monitored(history[-1]) if history else ""


def error_of(history: Sequence[Mapping[str, float]]) -> float | None:
    """The error of the best epoch, None where there is none."""
    if not (name := figure_of(history)):
        return None
    values = [row[name] for row in history]
    return 1 - max(values) if FIGURES[name].is_share else min(values)


@contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """A block in which variables of the environment have these values."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)


def named_files(library: Library) -> tuple[str, dict[str, str]]:
    """The name of the spec that a library has read first, and the texts of files that are not of the shipped
    zoo, by their paths from the folder of that spec. Raises E0001 for a spec that is no file."""
    if not library.files:
        fail("E0001", "the networks of a sweep extend their space, which is no file here", help="save it")
    first = library.files[0]
    own = [path for path in library.files if not path.is_relative_to(resolved(zoo_folder()))]
    texts = {path.relative_to(first.parent).as_posix(): path.read_text("utf-8") for path in own}
    return first.name, texts
