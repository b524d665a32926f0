"""The results of many inputs: a line for each, in text or JSON, and a file of them all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from archforge.atomic_files import written_beside
from archforge.cli.labels import Labels
from archforge.cli.output import can_show, print_diagnostics
from archforge.data.arrays import npz_writer
from archforge.data.samples import Failure
from archforge.errors import printable
from archforge.ir import by_x

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OUTPUTS", "Result", "ResultPrinter", "keeping"]

OUTPUTS = (".csv", ".npz")  # the files that can be written
BAR = 24  # columns of a whole bar
NARROW = 60  # columns of a terminal that has room for bars
NUMBER = 3  # columns of the number of a class, at least
SHORTEST = 12  # columns of a name, at least
CUT = "..."
EIGHTHS = "▏▎▍▌▋▊▉█"


class Result(NamedTuple):
    """Outputs and taps of a network for one input, by name, without the batch axis."""

    name: str
    outputs: Mapping[str, NDArray[Any]]
    taps: Mapping[str, NDArray[Any]]

    @property
    def main(self) -> NDArray[Any]:
        """The first output, which lines are about."""
        return next(iter(self.outputs.values()))


class RankedValue(NamedTuple):
    """One of the largest values of a vector; of classes with names, the name and the probability too."""

    number: int  # of the class, from 0
    value: float
    label: str = ""
    probability: float = math.nan


class ResultPrinter(NamedTuple):
    """Prints each result as it comes. `width` is that of the longest name."""

    top: int
    labels: Labels
    as_json: bool
    width: int

    def print(self, result: Result | Failure) -> None:
        if self.as_json:
            print(json.dumps(self._json(result)), flush=True)
        elif isinstance(result, Failure):
            print_diagnostics([result.reason])
        else:
            print("\n".join(self._lines(printable(result.name), result.main)), flush=True)

    def ranked(self, vector: NDArray[Any]) -> list[RankedValue]:
        """The largest values of a vector, the largest first."""
        largest = [int(i) for i in vector.argsort()[::-1][: self.top]]
        if not self.labels.names:
            return [RankedValue(i, float(vector[i])) for i in largest]
        names, p = self.labels.names, self.labels.probabilities(vector[None])[0]
        return [RankedValue(i, float(vector[i]), names[i], float(p[i])) for i in largest]

    def _lines(self, name: str, main: NDArray[Any]) -> Iterator[str]:
        """A line for a file, or with names of classes one more for each."""
        if self.labels.names:
            yield name
            yield from bars(self.ranked(main))
            return
        if main.ndim > 1:
            words = [by_x(main.shape), f"mean {main.mean():.6g}", f"std {main.std():.6g}"]
        else:
            words = [f"{p.number} {p.value:.6g}" for p in self.ranked(main)]
        yield "  ".join([name.ljust(self.width), *words])

    def _json(self, result: Result | Failure) -> dict[str, Any]:
        if isinstance(result, Failure):
            return {"file": result.name, "error": result.reason.to_json()}
        main = result.main
        if main.ndim > 1:
            figures = {"mean": _number(main.mean()), "std": _number(main.std())}
            return {"file": result.name, "shape": list(main.shape), **figures}
        return {"file": result.name, "top": [_plain(ranked) for ranked in self.ranked(main)]}


def bars(ranked: Sequence[RankedValue]) -> Iterator[str]:
    """A line for each class: its probability, that as a bar, its number and its name; as wide as the terminal
    at most, and in signs that it can show."""
    columns = get_terminal_size().columns
    for p in ranked:
        bar = f"{_bar(p.probability):<{BAR}}  " if columns >= NARROW else ""
        line = f"  {100 * p.probability:5.1f} %  {bar}{p.number:>{NUMBER}}  "
        yield line + _fitted(printable(p.label), max(columns - len(line), SHORTEST))


def _fitted(name: str, width: int) -> str:
    """A name in so many columns, its end cut off if need be."""
    return name if cell_len(name) <= width else f"{set_cell_size(name, width - len(CUT))}{CUT}"


def _bar(share: float) -> str:
    """A bar of a share of its width, exact to an eighth of a column where blocks can be shown."""
    if not math.isfinite(share):
        return ""
    if not can_show(EIGHTHS):
        return "#" * round(share * BAR)
    whole, eighths = divmod(round(share * BAR * 8), 8)
    return EIGHTHS[-1] * whole + (EIGHTHS[eighths - 1] if eighths else "")


def _plain(ranked: RankedValue) -> dict[str, Any]:
    plain = {"class": ranked.number, "value": _number(ranked.value)}
    if not ranked.label:
        return plain
    return plain | {"label": ranked.label, "probability": _number(ranked.probability)}


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return float(value) if math.isfinite(value) else None


def _encodable(name: str) -> str:
    """The name of a file, with escapes for bytes that are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


@contextmanager
def keeping(path: Path, printer: ResultPrinter) -> Iterator[Callable[[Result], None]]:
    """A function that writes a result to a .csv file, the largest values in a row, or to an .npz file, whole,
    as FILE/OUTPUT. The file is there once the block has been left. Raises E0705."""
    if path.suffix == ".npz":
        with npz_writer(path) as add:

            def keep(result: Result) -> None:
                for name, array in {**result.outputs, **result.taps}.items():
                    add(f"{_encodable(result.name)}/{name}", array)

            yield keep
        return
    with written_beside(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        columns = ("class", "label", "value", "probability") if printer.labels.names else ("class", "value")
        ranks = range(1, printer.top + 1)
        rows.writerow(["file", *(f"{word}_{n}" for n in ranks for word in columns)])

        def keep_row(result: Result) -> None:
            ranked = [{"class": p.number, **p._asdict()} for p in printer.ranked(result.main)]
            rows.writerow([_encodable(result.name), *(fields[word] for fields in ranked for word in columns)])

        yield keep_row
        text.detach()  # which writes all; the file stays open until it has its name
