"""Engines: libraries by which processes add up arrays, and ways to start those processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, Protocol

from archforge.datasets.base import AnyArray
from archforge.errors import Note, fail

__all__ = ["ENGINES", "Engine", "ProcessStart", "Ranks", "engine_of", "usual_engine"]

ENGINES = ("mpi", "ring", "nccl")
USUAL = ENGINES[:2]  # in the order in which they are taken where none is named


class Ranks(Protocol):
    """The processes of a job, of which this one has the number `rank`. One thread makes all sums, in the same
    order on every rank."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int:
        """The number of ranks."""
        ...

    def sum(self, array: AnyArray) -> AnyArray:
        """The sum over all ranks of a flat array, float32, float64 or int32, in its memory or in other: the
        same bits on every rank. Raises what its library does where a rank is lost."""
        ...

    def leave(self) -> None:
        """Called once, behind the last sum of a job that went well."""
        ...


class ProcessStart(NamedTuple):
    """A process to start: its command, what its environment has besides, and the host that it runs on."""

    command: Sequence[str]
    variables: Mapping[str, str]
    host: str


class Engine(Protocol):
    """A library that joins processes."""

    @property
    def name(self) -> str:
        """The word that chooses it."""
        ...

    def lacks(self, *, to_start: bool) -> str:
        """The thing that this machine lacks for a rank, or to start some, in words; empty for none."""
        ...

    def join(self) -> Ranks:
        """Become a rank of the job that this process was started for. Raises E0909 if it was for none, or if
        the others cannot be met."""
        ...

    def starts(self, command: Sequence[str], hosts: Sequence[str]) -> list[ProcessStart]:
        """The processes to start so that this command runs as a rank on each of the hosts, in order."""
        ...


def engine_of(name: str, *, to_start: bool = False) -> Engine:
    """The engine of this name. Raises E0909 for one that does not exist, or that cannot run here."""
    if name not in ENGINES:
        fail("E0909", f"there is no engine `{name}`", help=f"one of {', '.join(ENGINES)}")
    found = _loaded(name)
    if lack := found.lacks(to_start=to_start):
        others = " or ".join(other for other in ENGINES if other != name)
        fail("E0909", f"the engine {name} cannot run here: {lack}", help=f"--engine {others}")
    return found


def usual_engine() -> Engine:
    """The first engine that can start ranks here. Raises E0909 where none can."""
    engines = [_loaded(name) for name in USUAL]
    lacks = {engine.name: engine.lacks(to_start=True) for engine in engines}
    for engine in engines:
        if not lacks[engine.name]:
            return engine
    notes = [Note(f"{name}: {lack}") for name, lack in lacks.items()]
    fail("E0909", "no engine can start ranks here", help="install one of them", notes=notes)


def _loaded(name: str) -> Engine:
    engine: Engine = import_module(f"{__package__}.{name}").ENGINE
    return engine
