"""Inference on a CPU in float32, beside torch eager, onnxruntime and openvino.

    python benchmarks/inference.py [NAME ...] [--batch 1 8] [--rounds 15] [--peer-python PYTHON] [--json FILE]

Every contestant is a process of its own (`peers/inference.py`) with the same weights, made by rule, and
the same input. Outputs are compared before anything is timed. Each round times all of them in turn, each
after a call that is not counted, so that a slow moment of the machine hits all alike; ratios are of medians,
peer over archforge: above 1, archforge is faster. A peer that is not installed is left out, with the reason.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import archforge
from archforge import driver
from archforge.backends import available
from archforge.weights import rule_input, rule_weights, write_arrays

# Spec and profile; the peers run the network that the profile names.
NETWORKS = (
    "alexnet:torchvision",
    "vgg_16:torchvision",
    "inception_v1:torchvision",
    "inception_v3:torchvision",
    "inception_v4:timm",
    "inception_resnet_v2:timm",
    "xception:timm_legacy",
    "resnet_18:torchvision",
    "resnet_50:torchvision",
    "resnet_152:torchvision",
    "se_resnet_50:timm_legacy",
    "mobilenet_v1:timm",
    "mobilenet_v2:torchvision",
    "mobilenet_v3_large:torchvision",
)
PEERS = ("torch", "onnxruntime", "openvino")
TOLERANCE = 1e-4  # of the standard deviation of torch's output
SECONDS = 0.25  # that a contestant computes for in one round, at least one call


@dataclass
class Contestant:
    """A process that waits for the number of calls to time."""

    kind: str
    process: subprocess.Popen[str]
    version: str = ""
    ready_s: float = 0.0
    elapsed_s: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, kind: str, python: str, model: str, folder: Path, threads: int) -> Contestant:
        """Raises RuntimeError with its last words if it cannot run."""
        command = [
            python,
            str(Path(__file__).parent / "peers" / "inference.py"),
            kind,
            model,
            str(folder),
            str(threads),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            if line.startswith("ready "):
                _, version, ready_s = line.split()
                return cls(kind, process, version, float(ready_s))
        raise RuntimeError((process.stderr.read().strip().splitlines() or ["it ended"])[-1])

    def run(self, calls: int) -> list[float]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        return [float(text) for text in self.process.stdout.readline().split()]

    def measure(self) -> None:
        (last,) = self.run(1)  # not counted: the caches still hold another contestant's data
        self.elapsed_s += self.run(max(1, min(50, round(SECONDS / last))))

    def stop(self) -> None:
        self.process.communicate()

    @property
    def median_s(self) -> float:
        return statistics.median(self.elapsed_s)


def environment(threads: int) -> dict[str, str]:
    """The machine and what changes its speed."""
    names = {k: v for k, v in sorted(os.environ.items()) if re.match("OPENBLAS_|OMP_|ARCHFORGE_", k)}
    from archforge.backends.numba.machine import machine

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", info)
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "llvm's name for it": machine().cpu,
        "simd": f"{machine().simd}, {machine().lanes} lanes, L2 {machine().l2_bytes >> 10} KiB",
        "threads": f"{threads} of {os.cpu_count()}",
        "load": " ".join(f"{x:.2f}" for x in os.getloadavg()),
        "environment": " ".join(f"{k}={v}" for k, v in names.items()) or "no OPENBLAS_*, OMP_*, ARCHFORGE_*",
        "python": platform.python_version(),
        "archforge": archforge.__version__,
    }


def compare(name: str, batch: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All contestants on one network and batch. Raises SystemExit if an output differs."""
    network = driver.load(*name.split(":"))
    model = network.spec.profile(network.profile).model
    assert model
    write_arrays(folder / "weights.npz", rule_weights(network.params, "float32"))
    (shape,) = (t.shape for t in network.graph.graph.inputs.values())
    np.save(folder / "input.npy", rule_input((batch, *shape)).astype(np.float32))
    running: list[Contestant] = []
    left_out: dict[str, str] = {}
    for kind, python, what in (
        *((kind, options.peer_python, model) for kind in PEERS),
        ("archforge", sys.executable, name),
    ):
        try:
            running.append(Contestant.start(kind, python, what, folder, options.threads))
        except RuntimeError as error:
            left_out[kind] = str(error)
    try:
        errors = deviations(running, folder)
        for _ in range(options.rounds):
            for contestant in running:
                contestant.measure()
    finally:
        for contestant in running:
            contestant.stop()
    ours = next(c for c in running if c.kind == "archforge")
    return {
        "network": name,
        "batch": batch,
        "macs": network.counts.macs * batch,
        "load": os.getloadavg()[0],
        "versions": {c.kind: c.version for c in running},
        "ready_s": {c.kind: c.ready_s for c in running},
        "deviation": errors,
        "left_out": left_out,
        "median_s": {c.kind: c.median_s for c in running},
        "least_s": {c.kind: min(c.elapsed_s) for c in running},
        "ratio": {c.kind: c.median_s / ours.median_s for c in running if c is not ours},
        "ratio_of_least": {c.kind: min(c.elapsed_s) / min(ours.elapsed_s) for c in running if c is not ours},
    }


def deviations(running: list[Contestant], folder: Path) -> dict[str, float]:
    """How far each output is from the first one's, in its standard deviations."""
    outputs = {c.kind: np.load(folder / f"{c.kind}.npy").astype(np.float64) for c in running}
    first = next(iter(outputs.values()))
    found = {kind: float(np.abs(y - first).max() / first.std()) for kind, y in outputs.items()}
    wrong = [f"{kind} by {error:.1e}" for kind, error in found.items() if not error < TOLERANCE]
    if wrong:
        raise SystemExit(f"the outputs differ: {', '.join(wrong)}")
    return found


def table(rows: list[dict[str, Any]], what: str) -> str:
    """Milliseconds of each contestant and the ratios, as Markdown."""
    kinds = ["archforge", *PEERS]
    lines = [
        f"| network, batch | {' | '.join(f'{k} ms' for k in kinds)} | {' | '.join(f'/{k}' for k in PEERS)} |",
        f"| --- |{' ---: |' * (len(kinds) + len(PEERS))}",
    ]
    ratios = "ratio" if what == "median_s" else "ratio_of_least"
    for row in rows:
        times = [f"{row[what][k] * 1e3:.2f}" if k in row[what] else "" for k in kinds]
        over = [f"{row[ratios][k]:.2f}" if k in row[ratios] else "" for k in PEERS]
        lines.append(f"| {row['network']}, {row['batch']} | {' | '.join(times)} | {' | '.join(over)} |")
    means = [
        math.exp(statistics.fmean(math.log(r[ratios][k]) for r in rows))
        if all(k in r[ratios] for r in rows)
        else 0
        for k in PEERS
    ]
    lines.append(
        f"| geometric mean |{' |' * len(kinds)} {' | '.join(f'{m:.2f}' if m else '' for m in means)} |"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NAME:PROFILE")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--json")
    options = parser.parse_args()
    if "numba" not in available():
        print("the backend numba is not installed: nothing to measure")
        return
    before = environment(options.threads)
    for key, value in before.items():
        print(f"{key}: {value}")
    rows: list[dict[str, Any]] = []
    for batch in options.batch:
        for name in options.networks:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(compare(name, batch, options, Path(folder)))
            row = rows[-1]
            for kind, reason in row["left_out"].items():
                print(f"left out: {kind}: {reason}")
            shown = " ".join(f"{kind} {ratio:.2f}" for kind, ratio in row["ratio"].items())
            print(f"{name}, {batch}: {row['median_s']['archforge'] * 1e3:.2f} ms; {shown}", flush=True)
    print(f"\nMedians\n\n{table(rows, 'median_s')}\n\nLeast\n\n{table(rows, 'least_s')}")
    after = environment(options.threads)
    print(f"\nload before {before['load']}, after {after['load']}")
    if options.json:
        text = json.dumps({"environment": before, "load_after": after["load"], "rows": rows}, indent=2)
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
