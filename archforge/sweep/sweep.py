"""A sweep: networks are drawn from spaces and written to a file, then those that wait are trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any

from archforge.analysis.sampling import DrawnNetwork, Sampling, counted
from archforge.errors import DiagnosticError, Note, fail
from archforge.spec.expand.expand import InputShape
from archforge.spec.expand.settings import plain_settings
from archforge.spec.expand.space import Draw, Space
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.sources import open_spec
from archforge.spec.syntax.syntax_tree import Argument
from archforge.sweep.engines import Pool, SweepEngine
from archforge.sweep.job import (
    Job,
    JobRecord,
    SpaceSource,
    TrainingSettings,
    named_files,
    run_job,
    with_variables,
)
from archforge.sweep.store import Store
from archforge.training.ranks.job import THREADS
from archforge.training.train import Beginning

__all__ = ["Sweep", "SweptSpace", "first_beginnings", "require_same", "spaces_of"]

TRIED = 20  # networks of a space, until one can be trained
KEPT_TOGETHER = 20  # networks that are drawn between two writes
TOO_LITTLE_MEMORY = "E0706"


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

    def draw(self, store: Store, samples: int, told: Callable[[str, int], None]) -> None:
        """Write networks to the file until it has so many of each space. told: of the space and their number
        so far."""
        for one in self.spaces:
            has = store.samples(one.name)
            drawn = self.sampling(one, store.last_draw(one.name) + 1).take(samples - has)
            while found := list(islice(drawn, KEPT_TOGETHER)):
                store.add(one.name, found)
                has += len(found)
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
