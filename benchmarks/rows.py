"""Rows of a benchmark, one after the other: options, files, and going on where a run was cut short."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import report

from archforge import hardware
from archforge.backends import available
from archforge.bench.environment import environment
from archforge.bench.race import Entrant, LeftOut

__all__ = ["finish", "measured_rows", "numpy_entrants", "option_parser", "parsed"]

Data = dict[str, Any]  # `environment` and `rows`, as the JSON holds them


def option_parser(description: str | None, names: Iterable[str]) -> argparse.ArgumentParser:
    """The options of every benchmark of networks. description: of which the first line is the help."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NAME", help=f"default: {' '.join(names)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=hardware.threads().number)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the JSON holds already")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--picture", metavar="FILE", help="an SVG")
    return parser


def parsed(parser: argparse.ArgumentParser, names: Collection[str]) -> argparse.Namespace:
    """The options that were given. Ends the process where a network is none of these."""
    options = parser.parse_args()
    unknown = [name for name in options.networks if name not in names]
    if unknown:
        parser.error(f"no such network: {' '.join(unknown)}; there are {' '.join(names)}")
    return options


def numpy_entrants(make: Callable[..., Entrant] = Entrant) -> list[Entrant]:
    """NumPy as it is here, and if variables hold OpenBLAS to something, without them."""
    held = [name for name in os.environ if name.startswith("OPENBLAS_") and "THREADS" not in name]
    free = make(report.NUMPY, report.NUMPY_FREE, environment=dict.fromkeys(held, ""))
    return [make(report.NUMPY), *([free] if held else [])]


def measured_rows(
    measures: Mapping[Hashable, Callable[[], dict[str, Any]]],
    options: argparse.Namespace,
    line: Callable[[dict[str, Any], Data], str],
) -> tuple[Data, bool]:
    """The data with a row for each key, (network, batch, threads), and True if all could be measured. The
    JSON is written behind each row. line: says one row while the run goes on."""
    if report.OURS not in available():
        raise SystemExit("the backend numba is not installed: pip install 'archforge-zoo[fast,bench]'")
    file = Path(options.json) if options.json else None
    data: Data = {"environment": environment(options.threads), "rows": []}
    if options.resume and file and file.exists():
        data = json.loads(file.read_text("utf-8"))
    print(report.environment_text(data["environment"]))
    done, all_measured = set(map(report.key, data["rows"])), True
    for key, measure in measures.items():
        if key in done:
            print(f"{key}: in {options.json} already")
            continue
        begin = time.perf_counter()
        try:
            row = measure()
        except LeftOut as reason:  # the others go on
            print(f"{key}: not measured: {reason}", flush=True)
            all_measured = False
            continue
        data["rows"].append(row)
        print(f"{line(row, data)}   ({time.perf_counter() - begin:.0f} s)", flush=True)
        if file:  # after each row, so that a run that is cut short is not lost
            _write(file, _json(data))
    return data, all_measured


def finish(
    data: Data,
    options: argparse.Namespace,
    order: Iterable[str],
    markdown: Callable[[Data], str],
    picture: Callable[[Data], str],
) -> None:
    """Print the tables, and write what is asked for. order: the networks in that of the tables."""
    if not data["rows"]:
        return
    places = {name: i for i, name in enumerate(order)}
    data["rows"].sort(key=lambda row: (places[row["network"]], *report.key(row)[1:]))
    text = markdown(data)
    print(f"\n{text}")
    writers = {"json": lambda: _json(data), "markdown": lambda: text, "picture": lambda: picture(data)}
    for name, made in writers.items():
        if file := getattr(options, name):
            _write(Path(file), made())
            print(f"wrote {file}")


def _json(data: Data) -> str:
    return json.dumps(data, indent=1) + "\n"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
