"""A sweep: networks are drawn from spaces and written to a file, then those that wait are trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from warnings import warn

from archforge.analysis.sampling import DrawnNetwork, Sampling, counted
from archforge.errors import Diagnostic, DiagnosticError, Note, TrainingWarning, fail, type_in_words
from archforge.hardware import MOST_THREADS
from archforge.python_values import positive_number, text_or_none, whole_number
from archforge.recipe.recipe import TrainingRecipe
from archforge.spec.expand.expand import InputShape
from archforge.spec.expand.settings import plain_settings
from archforge.spec.expand.space import Draw, Space
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.recipe import Override, from_python
from archforge.spec.resolve.sources import named_space, open_spec, settings_of
from archforge.spec.syntax.syntax_tree import Argument
from archforge.sweeps.engines import Pool, SweepEngine, engine_for
from archforge.sweeps.engines.processes import require_no_worker
from archforge.sweeps.findings import SpaceFindings
from archforge.sweeps.job import (
    Job,
    JobRecord,
    SpaceSource,
    TrainingSettings,
    named_files,
    run_job,
    with_variables,
)
from archforge.sweeps.limits import memory_size, time_limited
from archforge.sweeps.store import Store, opened_store, read_store
from archforge.training.ranks.job import THREADS
from archforge.training.train import Beginning

__all__ = [
    "FILE",
    "Sweep",
    "SweptSpace",
    "begun",
    "read",
    "results_file",
    "settled",
    "spaces_of",
    "sweep",
]

FILE = "results.sqlite"
SUFFIXES = (".sqlite", ".sqlite3", ".db")
TRIED = 20  # networks of a space, until one can be trained
KEPT_TOGETHER = 20  # networks that are drawn between two writes
TOO_LITTLE_MEMORY = "E0706"
FOUND_OUT = ("data", "backend", "version")  # settings that are known when networks are trained


@dataclass(frozen=True, slots=True, eq=False)
class SweptSpace:
    """A space of a sweep: as it was opened, with the library that read it, and in plain values. digest: of
    the texts that it comes from."""

    space: Space
    library: Library
    source: SpaceSource
    digest: str

    @property
    def name(self) -> str:
        """The name, `SPACE@PROFILE`."""
        return self.source.name

    def drawn(self, draw: Draw) -> DrawnNetwork:
        """The network of a draw, counted."""
        return counted(self.space, draw)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The spaces of a sweep, how networks are drawn from them and how they are trained."""

    spaces: Sequence[SweptSpace]
    training: TrainingSettings
    seed: int = 0
    where: str | None = None

    def settings(self, data_digest: str) -> dict[str, str]:
        """All that results depend on by name, each as JSON. data_digest: of the samples, which may have moved
        to another path."""
        found: dict[str, Any] = {"seed": self.seed, "where": self.where}
        found |= {name.replace("_", " "): value for name, value in asdict(self.training).items()}
        found |= {"data": data_digest}
        found |= {f"the space {one.name}": one.digest for one in self.spaces}
        return {name: json.dumps(value, sort_keys=True) for name, value in found.items()}

    def sampling(self, one: SweptSpace, first: int = 0) -> Sampling:
        """The networks of a space, from a draw on."""
        return Sampling(one.space, seed=self.seed, where=self.where, first=first)

    def draw(self, store: Store, samples: int, told: Callable[[str, int], object] | None = None) -> None:
        """Write networks to the file until it has so many of each space. told: of the space and their number
        so far."""
        for one in self.spaces:
            has = store.samples(one.name)
            drawn = self.sampling(one, store.last_draw(one.name) + 1).take(samples - has)
            while found := list(islice(drawn, KEPT_TOGETHER)):
                store.add(one.name, found)
                has += len(found)
                if told is not None:
                    told(one.name, has)

    def waiting(self, store: Store, samples: int) -> list[Job]:
        """The jobs that are to be done, of the first `samples` of each space. The spaces take turns: a sweep
        that is cut short tells of all of them."""
        found = [
            (index, result.job)
            for one in self.spaces
            for index, result in enumerate(store.results(one.name)[:samples])
            if result.record is None
        ]
        return [job for _, job in sorted(found, key=lambda pair: pair[0])]

    def train(
        self, store: Store, jobs: Sequence[Job], engine: SweepEngine, pool: Pool
    ) -> Iterator[tuple[Job, JobRecord]]:
        """Have jobs done, and give each once it is in the file."""
        sources = {one.name: one.source for one in self.spaces}
        work = partial(run_job, sources, self.training)
        # Processes that are started learn how many threads their libraries may have, if nobody has said it.
        own = {name: str(self.training.threads) for name in THREADS if name not in os.environ}
        with with_variables(own), closing(engine.records(work, jobs, pool)) as records:
            for job, record in records:
                store.keep(job, record)
                yield job, record


def spaces_of(
    names: Sequence[tuple[str, str | None]],
    settings: Mapping[str, Argument],
    input_shape: InputShape | None,
) -> list[SweptSpace]:
    """The spaces of these specs and profiles, with what a caller has set. Raises their mistakes, and E0001
    for two of one name."""
    found: dict[str, SweptSpace] = {}
    for name, profile in names:
        library = Library()
        space = Space(open_spec(name, library), profile, settings, input_shape)
        values, defaults = plain_settings(settings, space.spec)
        file, texts = named_files(library)
        title = f"{space.spec.name}@{space.profile.name}"
        if title in found:
            fail("E0001", f"two of the spaces are {title}", help="name each once")
        source = SpaceSource(title, file, space.profile.name, texts, values, defaults, input_shape)
        every = {path.name: path.read_text("utf-8") for path in library.files}
        plain = json.dumps([every, values, defaults, input_shape], sort_keys=True)
        found[title] = SweptSpace(space, library, source, sha256(plain.encode()).hexdigest())
    return [*found.values()]


def sweep(
    spaces: str | Path | Sequence[str | Path],
    samples: int = 100,
    data: str | Path | None = None,
    *,
    profile: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    where: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    time_limit: float | None = None,
    memory_limit: str | None = None,
    engine: str | None = None,
    scheduler: str | None = None,
    backend: str = "auto",
    dtype: str = "float32",
    input: InputShape | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    told: Callable[[Job, JobRecord], object] | None = None,
    **settings: Any,
) -> list[SpaceFindings]:
    """Train networks that are drawn from spaces, and return what came of each space, in their order:
    `sweep(["anynet_x@a", "anynet_x@e"], 80, epochs=5, out="runs/a_e")`.

    spaces: files, or names in the shipped zoo, or SPACE@PROFILE of one. samples: how many networks of each.
    out: a folder, or a file that ends in .sqlite, of the results; a sweep that is there goes on. told: of
    each network when it is done. memory_limit: of a process, "2G". settings: keys of `train`, and values for
    arguments of the spaces, as for `archforge.train`. The rest is as for the command `archforge sweep`, which
    writes the report of a file with `--report`.

    Workers are processes that import the script which calls this: there it stands behind
    `if __name__ == "__main__":`. Raises `DiagnosticError` for whatever does not fit.
    """
    require_no_worker()
    own = from_python(
        {name: value for name, value in settings.items() if name in TrainingRecipe.model_fields}
    )
    params = {name: value for name, value in settings.items() if name not in TrainingRecipe.model_fields}
    if not isinstance(data, str | Path | None):
        fail("E0001", f"`data` is a path, which workers read, found {type_in_words(data)}")
    training = TrainingSettings(
        data=None if data is None else str(Path(data).absolute()),
        recipe={".".join(change.place): _plain(change) for change in own},
        backend=backend,
        dtype=dtype,
        threads=positive_number("threads", threads, most=MOST_THREADS),
        time_limit_s=time_limited("time_limit", time_limit),
        memory_limit=memory_size("memory_limit", memory_limit),
    )
    if not isinstance(out, str | Path | None):
        fail("E0001", f"`out` is the path of a folder or a file, found {type_in_words(out)}")
    if told is not None and not callable(told):
        fail("E0001", f"`told` is a function of a job and its record, found {type_in_words(told)}")
    named = [named_space(space, text_or_none("profile", profile)) for space in _names(spaces)]
    wanted = None if workers is None else positive_number("workers", workers)
    chosen, pool = engine_for(engine, text_or_none("scheduler", scheduler), wanted, training)
    found = spaces_of(named, settings_of(params, defaults), input)
    whole, kept = settled(
        Sweep(found, training, whole_number("seed", seed), text_or_none("where", where)), _warn
    )
    number = positive_number("samples", samples)
    with begun(kept, results_file(out, found)) as store:
        whole.draw(store, number)
        for job, record in whole.train(store, whole.waiting(store, number), chosen, pool):
            if told is not None:
                told(job, record)
        return [SpaceFindings.of(one.name, store.results(one.name)[:number]) for one in found]


def _names(spaces: Any) -> list[str]:
    """The names of spaces that a caller gives. Raises E0001."""
    several = [spaces] if isinstance(spaces, str | Path) else spaces
    if not isinstance(several, list | tuple):
        fail("E0001", f"spaces are names and paths, found {type_in_words(several)}")
    for space in several:
        if not isinstance(space, str | Path):
            fail("E0001", f"a space is a name or a path, found {type_in_words(space)}")
    if not several:
        fail("E0001", "there is no space to sweep", help='"anynet_x@a", or a list of several')
    return [*map(str, several)]


def _plain(change: Override) -> Any:
    """The value of a key of the recipe. Raises E0001 for one that cannot be sent to a worker."""
    value = change.value.plain()
    try:
        json.dumps(value)
    except TypeError:
        key = ".".join(change.place)
        fail("E0001", f"`{key}` of a sweep is what a spec can hold: workers get text", help="name a part")
    return value


def _warn(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        warn(TrainingWarning(diagnostic), stacklevel=4)


def results_file(out: str | Path | None, spaces: Sequence[SweptSpace]) -> Path:
    """The file of results: `out`, one in this folder, or one in the folder `runs`."""
    path = Path(out or f"runs/{spaces[0].space.spec.name}")
    return path if path.suffix in SUFFIXES else path / FILE


def settled(sweep: Sweep, told: Callable[[Sequence[Diagnostic]], object]) -> tuple[Sweep, dict[str, str]]:
    """A sweep whose first networks can be trained, with the backend that they got, and all that its results
    depend on. told: of warnings. Raises what does not fit."""
    digest = ""
    for beginning in first_beginnings(sweep):
        told((*beginning.setup.network.warnings, *beginning.warnings))
        digest = beginning.setup.batches.samples.digest
        sweep = replace(sweep, training=replace(sweep.training, backend=beginning.setup.backend.name))
    return sweep, sweep.settings(digest)


@contextmanager
def begun(settings: Mapping[str, str], path: Path) -> Iterator[Store]:
    """The file of a sweep of these settings, which are written to it. Raises E0910 where it has others."""
    with opened_store(path) as store:
        require_same(store, settings)
        store.keep_settings(settings)
        yield store


@contextmanager
def read(sweep: Sweep, path: Path) -> Iterator[Store]:
    """The file of a sweep, to tell what is there so far. Raises E0910 where it was begun with other settings;
    those that only a beginning finds out are not compared."""
    settings = {name: value for name, value in sweep.settings("").items() if name not in FOUND_OUT}
    with read_store(path) as store:
        require_same(store, settings)
        yield store


def first_beginnings(sweep: Sweep) -> Iterator[Beginning]:
    """The run of a network of each space before its first update: of the first one that fits. Raises what
    does not fit where none of the first few does, but for the memory that they may lack here."""
    for one in sweep.spaces:
        mistakes: list[DiagnosticError] = []
        for sample in sweep.sampling(one).take(TRIED):
            try:
                yield sweep.training.begin(sample.network())
                break
            except DiagnosticError as error:
                mistakes.append(error)
        else:
            if mistakes[0].diagnostics[0].code != TOO_LITTLE_MEMORY:
                raise mistakes[0]


def require_same(store: Store, settings: Mapping[str, str]) -> None:
    """Raises E0910 where the file has been begun with other settings, each by its name."""
    kept = store.settings()
    notes = [
        Note(f"{name} was {kept[name]} and is {value}")
        for name, value in settings.items()
        if kept.get(name, value) != value
    ]
    if notes:
        message = f"{store.path} has a sweep with other settings"
        help = "the settings that it was begun with, or another file"
        fail("E0910", message, help=help, notes=notes)
