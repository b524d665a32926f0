"""A step of training on a CPU in float32, beside torch eager in both orders of axes. README.md has the
columns.

    python benchmarks/training.py [NAME ...] [--rounds 15] [--threads N] [--peer-python PYTHON] [--resume]
        [--json FILE] [--markdown FILE] [--picture FILE]

Every contestant is a process of its own that begins with the same weights, batch and labels. The losses of
the first steps and the gradients of the first are compared: where one differs, nothing is timed and the exit
code is 1. Each round then times all of them in turn. A step is forward, cross-entropy, back, and an update by
SGD with momentum. --json writes after each row, and with --resume rows that the file holds already are kept.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import picture
import rows
import training_report
from training_report import NUMBA, NUMPY, PEERS, TORCH

from archforge import driver
from archforge.bench.environment import load_average
from archforge.bench.race import Contestant, Entrant, LeftOut, race, started
from archforge.bench.roofline import greater_limits, measured_limits
from archforge.bench.task import Task
from archforge.data.arrays import write_arrays
from archforge.weights import fresh_weights

WORKER = Path(__file__).with_name("training_worker.py")
# Of a loss, and of the norm of a parameter's gradient, which counts as at least `LEAST` of the largest one's.
# torch's own two orders of axes are 4e-2 apart in a MobileNetV2: rounding decides what a relu lets through.
TOLERANCE = {"losses": 1e-3, "gradients": 0.1}
LEAST = 1e-2


@dataclass(frozen=True)
class Case:
    """A spec, its profile and the size of the batch, and the least ratios of archforge's backends to the
    better peer. ours: the backends that take part; those without a bar are for comparison."""

    spec: str
    profile: str | None
    batch: int
    bars: Mapping[str, float]
    ours: tuple[str, ...] = (NUMBA,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)
    peers: tuple[str, ...] = PEERS


# Without dropout, for which torch draws other numbers.
CASES = {
    case.spec: case
    for case in (
        Case("lenet_5_mnist", None, 64, {NUMBA: 1.5, NUMPY: 0.3}, (NUMBA, NUMPY)),
        Case("minivgg_mnist", None, 64, {NUMBA: 1.5}),
        Case("resnet_20_cifar", None, 64, {NUMBA: 1.2}),
        Case("resnet_18", "torchvision", 8, {NUMBA: 1.1}),
        Case("mobilenet_v2", "torchvision", 8, {NUMBA: 1.1}, (NUMBA,), {"drop": 0}, {"dropout": 0.0}),
        Case("mlp_mnist", None, 512, {NUMPY: 0.8}, (NUMBA, NUMPY), {"rate": 0}, peers=(TORCH,)),
        Case("lstm_text", "torch", 25, {NUMPY: 0.25}, (NUMPY,), peers=(TORCH,)),
    )
}


class Trainer(Entrant):
    """An entrant whose process trains."""

    needs_archforge = True  # torch learns the spec's graph, too

    def command(self, task: Task, kind: str = "") -> list[str]:
        return [self.python, "-P", str(WORKER), self.kind, str(task.folder), str(task.threads), self.label]


def entrants(case: Case, peer_python: str) -> list[Entrant]:
    """The contestants of a case, the one that others are compared with first."""
    ours = [Trainer(NUMBA)] if NUMBA in case.ours else []
    if NUMPY in case.ours:
        ours += rows.numpy_entrants(Trainer)
    return [*(Trainer(peer, python=peer_python) for peer in case.peers), *ours]


def measured(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """One row. Raises LeftOut if a loss or a gradient differs, or archforge itself cannot run."""
    network = driver.load(case.spec, case.profile, **case.settings)
    with tempfile.TemporaryDirectory() as folder:
        task = Task.write(
            network,
            case.batch,
            folder=Path(folder),
            threads=options.threads,
            source=case.spec,
            settings={name: str(value).lower() for name, value in case.settings.items()},
            model=network.model,
            model_options=case.model_options,
        )
        write_arrays(task.folder / "weights.safetensors", fresh_weights(network.params, 0))
        if NUMBA in case.ours:
            with started([Trainer(NUMBA)], task):  # so that its code is compiled, which takes memory
                pass
        before = measured_limits(options.threads)
        row: dict[str, Any] = {"network": case.spec, "batch": case.batch, "load": load_average()}
        row |= {"bars": dict(case.bars), "threads": task.threads}
        with started(entrants(case, options.peer_python), task) as (running, left_out):
            row |= {"left_out": left_out, "versions": {c.label: c.facts["version"] for c in running}}
            row["deviation"] = deviations(running, task.folder)
            row["left_out"] |= race(running, options.rounds)
            row |= times_and_memory([c for c in running if c.label not in row["left_out"]])
        limits = greater_limits(before, measured_limits(options.threads))
    if not any(label in row["median_s"] for label in case.ours):
        raise LeftOut(str(row["left_out"]))
    return row | {"limits": asdict(limits) if limits else None}


def times_and_memory(running: Iterable[Contestant]) -> dict[str, Any]:
    """The figures of the contestants that went through all rounds, and the parts of a step of our own."""
    running = [*running]
    found: dict[str, Any] = {
        "median_s": {c.label: c.median_s for c in running},
        "least_s": {c.label: min(c.elapsed_s) for c in running},
        "ready_s": {c.label: c.facts["ready_s"] for c in running},
        "peak_kib": {c.label: c.run(1)["peak_kib"] - c.facts["imports_kib"] for c in running},
    }
    for contestant in running:
        if contestant.label == NUMBA:
            found["profile"] = contestant.ask("profile")
    return found


def deviations(running: Iterable[Contestant], folder: Path) -> dict[str, dict[str, float]]:
    """The largest relative differences from the first contestant by label, of `losses` and of the norms of
    `gradients`. Raises LeftOut where one is beyond the tolerance."""
    found: dict[str, dict[str, float]] = {}
    first: dict[str, Any] = {}
    for contestant in running:
        with np.load(folder / f"{contestant.label}.npz") as arrays:
            these = {name: arrays[name].astype(np.float64) for name in arrays.files}
        first = first or these
        found[contestant.label] = apart = differences(these, first)
        if not all(apart[name] <= most for name, most in TOLERANCE.items()):
            raise LeftOut(f"{contestant.label} learns something else: {apart}")
    return found


def differences(these: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, float]:
    """The differences of one's losses and gradients from those of the first; infinite where it has others."""
    if these.keys() != first.keys() or any(these[n].shape != first[n].shape for n in first):
        return {"losses": np.inf, "gradients": np.inf}
    norms = {name: float(np.linalg.norm(array)) for name, array in first.items() if name != "losses"}
    least = LEAST * max(norms.values())
    apart = (float(np.linalg.norm(these[name] - first[name])) / max(norms[name], least) for name in norms)
    losses = np.abs(these["losses"] / first["losses"] - 1)
    return {"losses": float(losses.max()), "gradients": max(apart)}


def main() -> None:
    options = rows.parsed(rows.option_parser(__doc__, CASES), CASES)
    cases = [CASES[name] for name in options.networks or CASES]
    measures = {(case.spec, case.batch, options.threads): partial(measured, case, options) for case in cases}
    data, all_measured = rows.measured_rows(measures, options, training_report.line)
    title = "Time of a step of training in torch divided by that in archforge"
    rows.finish(
        data,
        options,
        CASES,
        training_report.markdown,
        lambda data: picture.svg(training_report.bars(data["rows"]), PEERS, title),
    )
    if not all_measured:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
