"""Inference on a CPU in float32, beside other engines. README.md has the columns.

    python benchmarks/inference.py [NAME ...] [--batch 1 8] [--rounds 15] [--fresh 3] [--threads N]
        [--no-single] [--peer-python PYTHON] [--resume] [--json FILE] [--markdown FILE] [--picture FILE]
    python benchmarks/inference.py --merge FILE ... [--json FILE] [--markdown FILE] [--picture FILE]

Every contestant is a process of its own with the same weights and input, made by rule. Outputs are compared
first: where archforge differs from torch, nothing is timed and the exit code is 1; another engine that
differs is left out of that row, with the difference. Each round times all of them in turn. One that is not
installed is left out, with the reason. Batch 1 is measured on one thread, too. --json writes after each row,
and with --resume rows that the file holds already are kept, so that a run goes on where it ended; --merge
measures nothing and puts the rows of several files together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import picture
import report
import rows

from archforge import driver
from archforge.bench.compare import compare, wrong_outputs
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
    size: tuple[int, int] | None = None  # of the pictures, if not that of the spec

    @property
    def name(self) -> str:
        return self.spec if self.size is None else f"{self.spec}@{self.size[0]}x{self.size[1]}"


CASES = {
    case.name: case
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
        Case("densenet_121", "torchvision"),
        Case("efficientnet_b0", "torchvision", numpy=True),
        Case("convnext_tiny", "torchvision", numpy=True),
        Case("regnet_y_400mf", "torchvision"),
        Case("regnet_x_1_6gf", "torchvision"),
        Case("shufflenet_v2_x1_0", "torchvision"),
        Case("squeezenet_1_1", "torchvision"),
        Case("mnasnet_1_0", "torchvision"),
        Case("resnext_50_32x4d", "torchvision"),
        Case("nasnet_a_large", "timm"),
        Case("unet", "listing", size=(224, 224)),
        Case("resnet_50", "torchvision", size=(320, 448)),
    )
}


def entrants(case: Case, peer_python: str) -> list[Entrant]:
    """Who takes part in the race, the one that outputs are compared with first."""
    ours = [Entrant(OURS), *(rows.numpy_entrants() if case.numpy else [])]
    peers = ("torch", *(peer for peer in PEERS if peer != "torch"))
    return [*(Entrant(peer, python=peer_python) for peer in peers), *ours]


def low_memory() -> Entrant:
    return Entrant(OURS, LOW_MEMORY, options={"low_memory": True})


def measured(case: Case, batch: int, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row. Raises LeftOut if an output differs, or archforge itself cannot run."""
    settings = {name: str(value).lower() for name, value in case.settings.items()}
    shape = (3, *case.size) if case.size else None
    network = driver.load(case.spec, case.profile, input=shape, **case.settings)
    with tempfile.TemporaryDirectory() as folder:
        task = Task.write(
            network,
            batch,
            folder=Path(folder),
            threads=threads,
            source=case.spec,
            settings=settings,
            model=network.model,
            model_options=case.model_options,
        )
        alone = threads < options.threads
        busy = BUSY if (case.name, batch) == CONTENTION and not alone else 0
        who = entrants(case, options.peer_python)
        row = compare(network, batch, who, task, rounds=options.rounds, busy=busy) | {"network": case.name}
        if wrong := wrong_outputs(row):
            raise LeftOut(f"the outputs differ: {wrong}")
        if OURS not in row.get("median_s", {}):
            raise LeftOut(str(row["left_out"].get(OURS, "nothing could run")))
        if batch == 1 and options.fresh and not alone:
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
    all_measured = True
    if options.merge:
        data = report.merged([json.loads(Path(file).read_text("utf-8")) for file in options.merge])
    else:
        runs = [(batch, options.threads) for batch in options.batch]
        if options.single and 1 in options.batch and options.threads > 1:
            runs.append((1, 1))
        measures = {
            (name, *run): partial(measured, CASES[name], *run, options)
            for run in runs
            for name in options.networks or CASES
        }
        data, all_measured = rows.measured_rows(measures, options, report.line)
    rows.finish(
        data, options, CASES, report.markdown, lambda data: picture.svg(report.on_all_threads(data["rows"]))
    )
    if not all_measured:
        raise SystemExit(1)


def parsed() -> argparse.Namespace:
    parser = rows.option_parser(__doc__, CASES)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--single",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure batch 1 on one thread, too",
    )
    parser.add_argument("--fresh", type=int, default=3, help="new processes of each contestant; 0: none")
    parser.add_argument("--merge", nargs="+", metavar="FILE", help="measure nothing; put these together")
    return rows.parsed(parser, CASES)


if __name__ == "__main__":
    main()
