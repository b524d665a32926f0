"""Contestants as processes that wait for their turn: started, compared, timed in turn, also under load."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from archforge.atomic_files import reason_of

if TYPE_CHECKING:
    from archforge.bench.task import Task

__all__ = [
    "PEERS",
    "TOLERANCE",
    "Contestant",
    "Entrant",
    "LeftOut",
    "deviations",
    "export",
    "race",
    "under_load",
]

PEERS = tuple(sorted(file.stem for file in Path(__file__).with_name("peers").glob("[!_]*.py")))
TOLERANCE = 1e-4  # of the standard deviation of the first one's output
SECONDS = 0.25  # that a contestant computes for in one round, at least one call
MOST_CALLS = 50
WORKER = Path(__file__).with_name("worker.py")
PACKAGE_FOLDER = Path(__file__).parents[2]


class LeftOut(Exception):
    """A contestant cannot run here; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """An entrant of the race: a backend of archforge or a peer (`kind`), and the Python that runs it.

    `name` tells entrants of one kind apart. `options` go to `archforge.compile`, `environment` to the
    process.
    """

    kind: str
    name: str = ""
    python: str = sys.executable
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.name or self.kind

    @property
    def dtype(self) -> str:
        """The dtype that it computes in; peers compute in float32."""
        return str(self.options.get("dtype", "float32"))

    @property
    def needs_archforge(self) -> bool:
        """True if its Python is to find the same archforge as here."""
        return self.python == sys.executable

    def command(self, task: Task, kind: str = "") -> list[str]:
        """The command line of the process, which does what `worker.py` says of `kind`."""
        arguments = [
            kind or self.kind,
            str(task.folder),
            str(task.threads),
            self.label,
            json.dumps(self.options),
        ]
        return [self.python, "-P", str(WORKER), *arguments]

    def variables(self) -> dict[str, str]:
        """The environment of the process."""
        variables = {**os.environ, **self.environment}
        if self.needs_archforge:
            given = variables.get("PYTHONPATH", "")
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER), given)))
        return variables


class Labelled(Protocol):
    """A contestant whose outputs lie in a file of its label."""

    @property
    def label(self) -> str: ...


@dataclass(slots=True)
class Contestant:
    """The process of an entrant, which waits for numbers of calls to time.

    `facts` are what it said when it was ready; `elapsed_s` are the seconds of each call that counts.
    """

    entrant: Entrant
    process: subprocess.Popen[str]
    facts: dict[str, Any]
    elapsed_s: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, entrant: Entrant, task: Task) -> Contestant:
        """Start the process and wait until it has computed once. Raises LeftOut with its last words if it
        cannot run."""
        log = task.folder / f"{entrant.label}.log"
        begin = time.perf_counter()
        try:
            with log.open("w") as errors:
                process = subprocess.Popen(
                    entrant.command(task),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=entrant.variables(),
                )
        except OSError as error:
            raise LeftOut(f"its process cannot start: {reason_of(error)}") from error
        with _ended_if_left(process):
            facts = _answer(process)
            if facts is None:
                process.communicate()
                raise LeftOut(_last_words(log.read_text(errors="replace")))
        return cls(entrant, process, {**facts, "ready_s": time.perf_counter() - begin})

    @property
    def label(self) -> str:
        return self.entrant.label

    @property
    def median_s(self) -> float:
        return statistics.median(self.elapsed_s)

    def run(self, calls: int) -> dict[str, Any]:
        """Time so many calls: `elapsed_s` of each, and `peak_kib` of the process so far. Raises LeftOut if
        the process has ended."""
        return self.ask(str(calls))

    def ask(self, line: str) -> dict[str, Any]:
        """The answer of the process to a line. Raises LeftOut if it has ended."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        answer = _answer(self.process)
        if answer is None:
            raise LeftOut(f"it ended with {self.process.wait()} while it was measured")
        return answer

    def measure(self) -> None:
        # The first call is not counted: the caches still hold another contestant's data.
        """Take a turn: about `SECONDS` of calls, at least one. Raises LeftOut."""
        (last,) = self.run(1)["elapsed_s"]
        self.elapsed_s += self.run(max(1, min(MOST_CALLS, round(SECONDS / last))))["elapsed_s"]

    def stop(self) -> None:
        self.process.communicate()


@contextlib.contextmanager
def _ended_if_left(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the process where the block is left by an interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise


def _answer(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """The next line of JSON that the process prints, passing over what libraries print; None if it has
    ended."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return None


def _last_words(text: str) -> str:
    """The last line of a traceback that is not indented, which holds the exception."""
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    return lines[-1] if lines else "it ended without a word"


def export(python: str, task: Task, peer: str = "") -> None:
    """Let torch in that Python write the files that all peers load, or one of them makes for itself, in a
    process of its own that ends before they begin. Raises LeftOut."""
    entrant = Entrant("torch", python=python)
    command = entrant.command(task, f"prepare-{peer}" if peer else "export")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=entrant.variables())
    except OSError as error:
        raise LeftOut(f"its process cannot start: {reason_of(error)}") from error
    if done.returncode:
        raise LeftOut(_last_words(done.stderr))


@contextlib.contextmanager
def started(entrants: Iterable[Entrant], task: Task) -> Iterator[tuple[list[Contestant], dict[str, str]]]:
    """Start all entrants: the contestants that run, and the reasons why others cannot, by label. At the end
    of the block all are stopped."""
    running: list[Contestant] = []
    left_out: dict[str, str] = {}
    try:
        for entrant in entrants:
            try:
                running.append(Contestant.start(entrant, task))
            except LeftOut as reason:
                left_out[entrant.label] = str(reason)
        yield running, left_out
    except KeyboardInterrupt:
        for contestant in running:
            contestant.process.kill()  # it may be computing for long
        raise
    finally:
        for contestant in running:
            contestant.stop()


def race(
    contestants: Sequence[Contestant], rounds: int, say: Callable[[str], None] = lambda text: None
) -> dict[str, str]:
    """Time all contestants in turn, in each round beginning with another one, so that a slow moment of the
    machine hits all alike. Returns the reasons why some could not go on, by label."""
    ended: dict[str, str] = {}
    for round_ in range(rounds):
        say(f"round {round_ + 1} of {rounds}")
        first = round_ % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            if contestant.label in ended:
                continue
            try:
                contestant.measure()
            except LeftOut as reason:
                ended[contestant.label] = str(reason)
    return ended


def deviations(contestants: Iterable[Labelled], folder: Path) -> dict[str, float]:
    """The largest difference of each one's outputs from the first one's, in standard deviations of those, by
    label. Outputs of other shapes are infinitely far."""
    import numpy as np

    outputs: dict[str, list[Any]] = {}
    for contestant in contestants:
        with np.load(folder / f"{contestant.label}.npz") as arrays:
            outputs[contestant.label] = [arrays[name].astype(np.float64) for name in arrays.files]
    first = next(iter(outputs.values()), [])
    found = {}
    for label, arrays in outputs.items():
        if [y.shape for y in arrays] != [y.shape for y in first]:
            found[label] = float("inf")
            continue
        # A single number deviates from nothing: it is its own measure.
        scales = [z.std() or np.abs(z).max() or 1.0 for z in first]
        each = [np.abs(y - z).max() / s for y, z, s in zip(arrays, first, scales, strict=True)]
        found[label] = float(np.max(each))
    return found


@contextlib.contextmanager
def under_load(processes: int) -> Iterator[None]:
    """Keep so many other processes busy during the block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
