"""Inference on a CPU in float32, beside torch eager, onnxruntime and openvino. README.md has the columns.

    python benchmarks/inference.py [NAME ...] [--batch 1 8] [--rounds 15] [--fresh 3] [--threads N]
        [--peer-python PYTHON] [--resume] [--json FILE] [--markdown FILE] [--picture FILE]
    python benchmarks/inference.py --merge FILE ... [--json FILE] [--markdown FILE] [--picture FILE]

Every contestant is a process of its own with the same weights and input, made by rule. Outputs are compared
first: where one differs, nothing is timed and the exit code is 1. Each round times all of them in turn. One
that is not installed is left out, with the reason. --json writes after each row, and with --resume rows that
the file holds already are kept, so that a run goes on where it ended; --merge measures nothing and puts the
rows of several files together.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import picture
import report

from archforge import driver, hardware
from archforge.backends import available
from archforge.bench.compare import compare, wrong_outputs
from archforge.bench.environment import environment
from archforge.bench.race import PEERS, Entrant, LeftOut, started
from archforge.bench.task import Task

OURS = "numba"
LOW_MEMORY = "numba low-memory"
CONTENTION = ("resnet_50", 1)  # where the contestants also run beside two busy loops
BUSY = 2
FRESH_CALLS = 3  # of a fresh process, whose memory is read then


@dataclass(frozen=True)
class Case:
    """A spec and a profile; the peers run the network that the profile names, without auxiliary heads."""

    spec: str
    profile: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)
    numpy: bool = False  # whether the NumPy backend takes part


CASES = {
    case.spec: case
    for case in (
        Case("alexnet", "torchvision"),
        Case("vgg_16", "torchvision", numpy=True),
        Case("inception_v1", "torchvision", {"aux": False}, {"aux_logits": False, "init_weights": False}),
        Case("inception_v3", "torchvision", {"aux": False}, {"aux_logits": False, "init_weights": False}),
        Case("inception_v4", "timm"),
        Case("inception_resnet_v2", "timm"),
        Case("xception", "timm_legacy"),
        Case("resnet_18", "torchvision"),
        Case("resnet_50", "torchvision", numpy=True),
        Case("resnet_152", "torchvision"),
        Case("se_resnet_50", "timm_legacy"),
        Case("mobilenet_v1", "timm"),
        Case("mobilenet_v2", "torchvision"),
        Case("mobilenet_v3_large", "torchvision"),
    )
}


def entrants(case: Case, peer_python: str) -> list[Entrant]:
    """Who takes part in the race, the one that outputs are compared with first."""
    ours = [Entrant(OURS), *(numpy_entrants() if case.numpy else [])]
    return [*(Entrant(peer, python=peer_python) for peer in PEERS), *ours]


def numpy_entrants() -> list[Entrant]:
    """NumPy as it is here, and if variables hold OpenBLAS to something, without them."""
    held = [name for name in os.environ if name.startswith("OPENBLAS_") and "THREADS" not in name]
    free = Entrant(report.NUMPY, report.NUMPY_FREE, environment=dict.fromkeys(held, ""))
    return [Entrant(report.NUMPY), *([free] if held else [])]


def low_memory() -> Entrant:
    return Entrant(OURS, LOW_MEMORY, options={"low_memory": True})


def measured(case: Case, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row. Raises LeftOut if an output differs, or archforge itself cannot run."""
    settings = {name: str(value).lower() for name, value in case.settings.items()}
    network = driver.load(case.spec, case.profile, **case.settings)
    with tempfile.TemporaryDirectory() as folder:
        task = Task.write(
            network,
            batch,
            folder=Path(folder),
            threads=options.threads,
            source=case.spec,
            settings=settings,
            model=network.model,
            model_options=case.model_options,
        )
        busy = BUSY if (case.spec, batch) == CONTENTION else 0
        who = entrants(case, options.peer_python)
        row = compare(network, batch, who, task, rounds=options.rounds, busy=busy)
        if wrong := wrong_outputs(row):
            raise LeftOut(f"the outputs differ: {wrong}")
        if OURS not in row.get("median_s", {}):
            raise LeftOut(str(row["left_out"].get(OURS, "nothing could run")))
        if batch == 1 and options.fresh:
            row["fresh"] = fresh(case, task, options)
    return row


def fresh(case: Case, task: Task, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds until a new process is ready, and its peak memory, by label; medians of several processes,
    one at a time. `compiling` is our own with nothing in its cache, once."""
    names = ("imports_s", "load_s", "first_call_s", "ready_s", "imports_kib", "peak_kib")
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.fresh):
        for entrant in [*entrants(case, options.peer_python), low_memory()]:
            if facts := fresh_facts(entrant, task):
                found.setdefault(entrant.label, []).append(facts)
    medians = {
        label: {name: statistics.median(f[name] for f in facts) for name in names}
        for label, facts in found.items()
    }
    with tempfile.TemporaryDirectory() as cache:
        compiling = fresh_facts(Entrant(OURS, "compiling", environment={"ARCHFORGE_CACHE": cache}), task)
    return medians | ({"compiling": {n: compiling[n] for n in names}} if compiling else {})


def fresh_facts(entrant: Entrant, task: Task) -> dict[str, Any] | None:
    """The figures that one new process printed; None if it cannot run here."""
    with started([entrant], task) as (running, _):
        return next(({**c.facts, **c.run(FRESH_CALLS)} for c in running), None)


def main() -> None:
    options = parsed()
    if options.merge:
        data = report.merged([json.loads(Path(file).read_text("utf-8")) for file in options.merge])
        finish(data, options)
        return
    if OURS not in available():
        raise SystemExit("the backend numba is not installed: pip install 'archforge-zoo[fast,bench]'")
    file = Path(options.json) if options.json else None
    data = {"environment": environment(options.threads), "rows": []}
    if options.resume and file and file.exists():
        data = json.loads(file.read_text("utf-8"))
    print(report.environment_text(data["environment"]))
    failed = False
    for case, batch in wanted(options, data["rows"]):
        begin = time.perf_counter()
        try:
            row = measured(case, batch, options)
        except LeftOut as reason:  # the others go on
            print(f"{case.spec}, {batch}: not measured: {reason}", flush=True)
            failed = True
            continue
        data["rows"].append(row)
        print(f"{report.line(row, data)}   ({time.perf_counter() - begin:.0f} s)", flush=True)
        if file:  # after each row, so that a run that is cut short is not lost
            file.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    finish(data, options)
    if failed:
        raise SystemExit(1)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NAME", help=f"default: {' '.join(CASES)}")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--fresh", type=int, default=3, help="new processes of each contestant; 0: none")
    parser.add_argument("--threads", type=int, default=hardware.threads().number)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--merge", nargs="+", metavar="FILE", help="measure nothing; put these together")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the JSON holds already")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--picture", metavar="FILE", help="an SVG")
    options = parser.parse_args()
    unknown = [name for name in options.networks if name not in CASES]
    if unknown:
        parser.error(f"no such network: {' '.join(unknown)}; there are {' '.join(CASES)}")
    return options


def wanted(options: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[tuple[Case, int]]:
    """The networks and batches that have no row yet."""
    done = {(row["network"], row["batch"]) for row in rows}
    for batch in options.batch:
        for name in options.networks or CASES:
            if (name, batch) in done:
                print(f"{name}, {batch}: in {options.json} already")
            else:
                yield CASES[name], batch


def finish(data: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the tables, and write what is asked for."""
    if not data["rows"]:
        return
    data["rows"].sort(key=lambda row: ([*CASES].index(row["network"]), row["batch"]))
    text = report.markdown(data)
    print(f"\n{text}")
    writers: dict[str, Callable[[], str]] = {
        "json": lambda: json.dumps(data, indent=1) + "\n",
        "markdown": lambda: text,
        "picture": lambda: picture.svg(data["rows"]),
    }
    for name, write in writers.items():
        if file := getattr(options, name):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(write(), "utf-8")
            print(f"wrote {file}")


if __name__ == "__main__":
    main()
