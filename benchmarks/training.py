"""A step of training on a CPU in float32, beside torch eager in both orders of axes.

    python benchmarks/training.py [NAME ...] [--rounds 15] [--threads N] [--peer-python PYTHON]
        [--json FILE] [--markdown FILE] [--picture FILE]

Every contestant is a process of its own that begins with the same weights, batch and labels. The losses of
the first steps are compared: where one differs, nothing is timed and the exit code is 1. Each round then
times all of them in turn. A step is forward, cross-entropy, back, and an update by SGD with momentum.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import picture
import report

from archforge import driver, hardware
from archforge.backends import available
from archforge.bench.environment import environment, load_average
from archforge.bench.race import PACKAGE_FOLDER, Contestant, Entrant, LeftOut, race, started
from archforge.bench.task import Task
from archforge.data.arrays import write_arrays
from archforge.weights import fresh_weights

OURS, PEERS = "numba", ("torch", "channels_last")
WORKER = Path(__file__).with_name("training_worker.py")
TOLERANCE = 1e-3  # of a loss, after as many steps as the worker compares


@dataclass(frozen=True)
class Case:
    """A spec, its profile and the size of the batch, and the least ratio to the better peer."""

    spec: str
    profile: str | None
    batch: int
    bar: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)
    numpy: bool = False  # whether the backend numpy takes part


CASES = {
    case.spec: case
    for case in (
        Case("lenet_5_mnist", None, 64, 1.5, numpy=True),
        Case("minivgg_mnist", None, 64, 1.5),
        Case("resnet_20_cifar", None, 64, 1.2),
        Case("resnet_18", "torchvision", 8, 1.1),
        # torch draws other numbers for a dropout.
        Case("mobilenet_v2", "torchvision", 8, 1.1, {"drop": 0}, {"dropout": 0.0}),
    )
}


class Trainer(Entrant):
    """An entrant whose process trains."""

    def command(self, task: Task, kind: str = "") -> list[str]:
        return [self.python, "-P", str(WORKER), self.kind, str(task.folder), str(task.threads), self.label]

    def variables(self) -> dict[str, str]:
        given = os.environ.get("PYTHONPATH", "")
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGE_FOLDER), given)))}


def measured(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """One row. Raises LeftOut if a loss differs, or archforge itself cannot run."""
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
        entrants = [Trainer(peer, python=options.peer_python) for peer in PEERS]
        entrants += [Trainer(OURS), *([Trainer("numpy")] if case.numpy and options.numpy else [])]
        row: dict[str, Any] = {"network": case.spec, "batch": case.batch, "load": load_average()}
        with started(entrants, task) as (running, left_out):
            row |= {"left_out": left_out, "bar": case.bar, "threads": task.threads}
            row["versions"] = {c.label: c.facts["version"] for c in running}
            row["losses"] = {c.label: losses(c, task.folder) for c in running}
            require_equal(row["losses"])
            row["left_out"] |= race(running, options.rounds)
            finished = [c for c in running if c.label not in row["left_out"]]
            row["median_s"] = {c.label: c.median_s for c in finished}
            row["least_s"] = {c.label: min(c.elapsed_s) for c in finished}
            row["peak_kib"] = {c.label: c.run(1)["peak_kib"] - c.facts["imports_kib"] for c in finished}
    if OURS not in row["median_s"]:
        raise LeftOut(str(row["left_out"].get(OURS, "nothing could run")))
    return row


def losses(contestant: Contestant, folder: Path) -> list[float]:
    """The losses of its first steps."""
    with np.load(folder / f"{contestant.label}.npz") as arrays:
        found: list[float] = arrays[arrays.files[0]].tolist()
    return found


def require_equal(found: Mapping[str, list[float]]) -> None:
    """Raises LeftOut where losses differ from those of the first contestant."""
    first = next(iter(found.values()), [])
    for label, each in found.items():
        apart = max((abs(a - b) / abs(b) for a, b in zip(each, first, strict=True)), default=0.0)
        if not apart <= TOLERANCE:
            raise LeftOut(f"the losses of {label} differ: {each} and {first}")


def better(row: Mapping[str, Any], name: str) -> float | None:
    """The lesser figure of the peers."""
    return min((row[name][peer] for peer in PEERS if peer in row[name]), default=None)


def markdown(data: Mapping[str, Any]) -> str:
    """The rows as a table."""
    versions = {label: v for row in data["rows"] for label, v in row["versions"].items() if label in PEERS}
    facts = {**data["environment"], "peers": ", ".join(f"{n} {v}" for n, v in versions.items()) or "none"}
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [
        "",
        "A step of training, medians; memory is the peak above that of a process with its imports.",
        "",
        "| network | batch | ms | torch | channels_last | / better | bar | holds | MiB | / torch | load |",
        "| --- " * 11 + "|",
    ]
    for row in data["rows"]:
        ours, peer = row["median_s"][OURS], better(row, "median_s")
        memory, peers_memory = row["peak_kib"][OURS], better(row, "peak_kib")
        ratio = peer / ours if peer else None
        cells = [
            row["network"],
            row["batch"],
            f"{ours * 1e3:.2f}",
            *(f"{row['median_s'][p] * 1e3:.2f}" if p in row["median_s"] else "" for p in PEERS),
            f"{ratio:.2f}" if ratio else "",
            row["bar"],
            ("yes" if ratio >= row["bar"] else "no") if ratio else "",
            f"{memory / 1024:.0f}",
            f"{memory / peers_memory:.2f}" if peers_memory else "",
            row["load"].split()[0],
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
        lines += [f"| {label}: {reason} |" for label, reason in row["left_out"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NAME", help=f"default: {' '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=hardware.threads().number)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--numpy", action="store_true", help="time the backend numpy too, where it is of use")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--picture", metavar="FILE", help="an SVG")
    options = parser.parse_args()
    unknown = [name for name in options.networks if name not in CASES]
    if unknown:
        parser.error(f"no such network: {' '.join(unknown)}; there are {' '.join(CASES)}")
    if OURS not in available():
        raise SystemExit("the backend numba is not installed: pip install 'archforge-zoo[fast,bench]'")
    data: dict[str, Any] = {"environment": environment(options.threads), "rows": []}
    print(report.environment_text(data["environment"]))
    failed = False
    for name in options.networks or CASES:
        try:
            data["rows"].append(measured(CASES[name], options))
        except LeftOut as reason:  # the others go on
            print(f"{name}: not measured: {reason}", flush=True)
            failed = True
            continue
        print({label: round(s * 1e3, 2) for label, s in data["rows"][-1]["median_s"].items()}, flush=True)
        if options.json:  # after each row, so that a run that is cut short is not lost
            Path(options.json).write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    text = markdown(data)
    print(f"\n{text}")
    if options.markdown:
        Path(options.markdown).write_text(text, "utf-8")
    if options.picture:
        title = "Time of a step of training in torch divided by that in archforge"
        Path(options.picture).write_text(picture.svg(data["rows"], PEERS, title), "utf-8")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
