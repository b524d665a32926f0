"""docs/results.md: figures that recipes are documented to reach, and those of runs that are kept."""

from __future__ import annotations

import csv
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from archforge import driver
from archforge.analysis.network import Network
from archforge.recipe.reaches import FIGURES, DocumentedFigure
from tests.pages.markdown import table

__all__ = [
    "PAGE",
    "RESULTS_PARTS",
    "RUNS",
    "DocumentedRun",
    "History",
    "OtherRun",
    "documented_runs",
    "other_runs",
]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
FOLDER = ROOT / "benchmarks" / "results" / "training"
RUNS = FOLDER / "runs.toml"
WIDTH = 70  # characters of a command behind which a line may end


@dataclass(frozen=True, slots=True)
class History:
    """The figures of a run by epoch, from the file in which they are kept."""

    file: Path

    @property
    def rows(self) -> list[dict[str, float]]:
        with self.file.open(newline="") as lines:
            return [
                {name: float(text) for name, text in row.items() if text} for row in csv.DictReader(lines)
            ]

    def best(self, figure: str) -> tuple[float, int]:
        """The best value of a figure, and the number of the first epoch that has it."""
        values = [row[figure] for row in self.rows]
        best = (max if FIGURES[figure].is_share else min)(values)
        return best, 1 + values.index(best)

    @property
    def link(self) -> str:
        return f"[{len(self.rows)}](../benchmarks/results/training/{self.file.name})"


@dataclass(frozen=True, slots=True)
class DocumentedRun:
    """Runs of a spec's profile as it is, on `data`, one for each of `seeds`, the recipe's own first. recipe:
    what it was then. why: what kept them from what is documented, where the spec has no reason."""

    spec: str
    profile: str
    data: str
    recipe: str
    seeds: Sequence[int] = ()
    why: str = ""

    @property
    def network(self) -> Network:
        return driver.analyse(driver.open_spec(self.spec), self.profile)

    @property
    def figures(self) -> Sequence[DocumentedFigure]:
        recipe = self.network.recipe
        return recipe.reaches if recipe else ()

    @property
    def histories(self) -> list[History]:
        return [History(FOLDER / f"{self.spec}.{self.profile}.{seed}.csv") for seed in self.seeds]

    @property
    def command(self) -> str:
        is_default = self.profile == next(iter(driver.open_spec(self.spec).profile_names))
        return f"archforge train {self.spec}{'' if is_default else f' -p {self.profile}'} --data {self.data}"


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A run by a command that says something over the recipe, or of which no document has a figure.

    name: that of its history. command: on a line of its own, another that went on with the run. group: the
    part of the page. figure: whose best epoch is told. says: what it shows.
    """

    name: str
    group: str
    command: str
    figure: str
    says: str

    @property
    def history(self) -> History:
        return History(FOLDER / f"{self.name}.csv")


@cache
def _kept() -> Mapping[str, Any]:
    return tomllib.loads(RUNS.read_text("utf-8"))


def documented_runs() -> list[DocumentedRun]:
    """The runs of specs as they are, in the order of the file."""
    return [DocumentedRun(**run) for run in _kept()["documented"]]


def other_runs() -> list[OtherRun]:
    """The other runs, in the order of the file."""
    return [OtherRun(**run) for run in _kept()["other"]]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _documented() -> str:
    head = ("network, profile", "figure", "documented", "here", "best", "epochs", "other seeds")
    rows = [row for run in documented_runs() for row in _rows(run)]
    return table(head, rows)


def _rows(run: DocumentedRun) -> Iterator[Sequence[str]]:
    """A row for each documented figure of a run; one without a figure where none is documented."""
    name = f"`{run.spec}`, `{run.profile}`"
    for figure in run.figures or (None,):
        documented = f"{_percent(figure.documented)}, {figure.source}" if figure else "none"
        word = figure.name if figure else "val_accuracy"
        if not run.histories:
            yield name, f"`{word}`", documented, "not run", "", "", ""
            continue
        first, *others = run.histories
        best, epoch = first.best(word)
        sign = "" if figure is None else " ✓" if best >= figure.documented else " ✗"
        more = ", ".join(f"{100 * history.best(word)[0]:.2f}" for history in others)
        yield name, f"`{word}`", documented, f"{_percent(best)}{sign}", str(epoch), first.link, more


def _commands() -> str:
    return "\n".join(f"    {run.command}" for run in documented_runs() if run.seeds)


def _reasons() -> str:
    """The points by which figures are missed, and the reasons."""
    lines = []
    for run in documented_runs():
        reasons = [figure.because for figure in run.figures if figure.because] + [run.why] * bool(run.why)
        less = ", ".join(filter(None, (_less(run, figure) for figure in run.figures)))
        told = [f"{less} less", *reasons] if less else reasons
        lines += [f"- `{run.spec}`, `{run.profile}`: {'; '.join(told)}."] * bool(reasons)
    return "\n".join(lines)


def _less(run: DocumentedRun, figure: DocumentedFigure) -> str:
    """The points by which the first run misses a figure; empty if it does not, or was not made."""
    if not run.histories:
        return ""
    points = 100 * (figure.documented - run.histories[0].best(figure.name)[0])
    return f"{points:.2f} points of `{figure.name}`" if points > 0 else ""


def _printed() -> str:
    """The accuracies by epoch that a document prints of a run, beside those of the run here."""
    printed = _kept()["printed"]
    run = next(r for r in documented_runs() if (r.spec, r.profile) == (printed["spec"], printed["profile"]))
    rows = run.histories[0].rows if run.seeds else []
    names = ("accuracy", "val_accuracy")
    return table(
        ("epoch", "printed: trained on", "held back", "here: trained on", "held back"),
        (
            (str(epoch), *map(_percent, figures), *(_percent(rows[epoch - 1][name]) for name in names))
            for epoch, *figures in printed["rows"]
            if epoch <= len(rows)
        ),
    )


def _others(group: str) -> str:
    """The other runs of a group, each with its command."""
    return "\n\n".join(_other(run) for run in other_runs() if run.group == group)


def _other(run: OtherRun) -> str:
    best, epoch = run.history.best(run.figure)
    last = run.history.rows[-1][run.figure]
    told = f"{_percent(best)} at epoch {epoch} of {run.history.link}, {_percent(last)} at the last"
    return f"{run.says}: `{run.figure}` {told}.\n\n" + "\n".join(map(_broken, run.command.splitlines()))


def _broken(command: str) -> str:
    """The command as a block of lines, each of which ends where an option begins."""
    lines = [""]
    for word in shlex.split(command):
        if len(lines[-1]) > WIDTH and word.startswith("-"):
            lines.append("")
        lines[-1] += f" {shlex.quote(word)}"
    return "    " + " \\\n      ".join(line.strip() for line in lines)


RESULTS_PARTS: Mapping[str, Callable[[], str]] = {
    "results_documented": _documented,
    "results_commands": _commands,
    "results_reasons": _reasons,
    "results_loader": lambda: _others("loader"),
    "results_printed": _printed,
    "results_shapes": lambda: _others("shapes"),
    "results_transfer": lambda: _others("transfer"),
}
