"""The results of many inputs: a line for each, in text or JSON, and a file of them all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.atomic_files import written_beside
from archforge.cli.output import print_diagnostics
from archforge.data.arrays import npz_writer
from archforge.data.samples import Failure
from archforge.ir import by_x

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OUTPUTS", "Result", "ResultPrinter", "keeping"]

OUTPUTS = (".csv", ".npz")  # the files that can be written


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
    """One of the largest values of a vector."""

    number: int  # of the class, from 0
    label: str
    value: float


class ResultPrinter(NamedTuple):
    """Prints each result as it comes. `width` is that of the longest name; `labels` may be empty."""

    top: int
    labels: Sequence[str]
    as_json: bool
    width: int

    def print(self, result: Result | Failure) -> None:
        if self.as_json:
            print(json.dumps(self._json(result)), flush=True)
        elif isinstance(result, Failure):
            print_diagnostics([result.reason])
        else:
            print("  ".join([result.name.ljust(self.width), *self._words(result.main)]), flush=True)

    def ranked(self, vector: NDArray[Any]) -> list[RankedValue]:
        """The largest values of a vector, the largest first."""
        return [
            RankedValue(i, self.labels[i] if self.labels else "", float(vector[i]))
            for i in map(int, vector.argsort()[::-1][: self.top])
        ]

    def _words(self, main: NDArray[Any]) -> list[str]:
        if main.ndim > 1:
            return [by_x(main.shape), f"mean {main.mean():.6g}", f"std {main.std():.6g}"]
        return [" ".join(filter(None, (str(p.number), p.label, f"{p.value:.6g}"))) for p in self.ranked(main)]

    def _json(self, result: Result | Failure) -> dict[str, Any]:
        if isinstance(result, Failure):
            return {"file": result.name, "error": result.reason.to_json()}
        main = result.main
        if main.ndim > 1:
            figures = {"mean": _number(main.mean()), "std": _number(main.std())}
            return {"file": result.name, "shape": list(main.shape), **figures}
        return {"file": result.name, "top": [_plain(ranked) for ranked in self.ranked(main)]}


def _plain(ranked: RankedValue) -> dict[str, Any]:
    label = {"label": ranked.label} if ranked.label else {}
    return {"class": ranked.number, **label, "value": _number(ranked.value)}


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return float(value) if math.isfinite(value) else None


@contextmanager
def keeping(path: Path, printer: ResultPrinter) -> Iterator[Callable[[Result], None]]:
    """A function that writes a result to a .csv file, the largest values in a row, or to an .npz file, whole,
    as FILE/OUTPUT. The file is there once the block has been left. Raises E0705."""
    if path.suffix == ".npz":
        with npz_writer(path) as add:

            def keep(result: Result) -> None:
                for name, array in {**result.outputs, **result.taps}.items():
                    add(f"{result.name}/{name}", array)

            yield keep
        return
    with written_beside(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        labelled = ("label",) if printer.labels else ()
        ranks = range(1, printer.top + 1)
        rows.writerow(["file", *(f"{word}_{n}" for n in ranks for word in ("class", *labelled, "value"))])

        def keep_row(result: Result) -> None:
            fields = (
                (p.number, *((p.label,) if labelled else ()), p.value) for p in printer.ranked(result.main)
            )
            rows.writerow([result.name, *(field for group in fields for field in group)])

        yield keep_row
        text.detach()  # which writes all; the file stays open until it has its name
