"""The cost of checking a spec: CPU time and memory of a new process, beside torch, torchvision and torchinfo.

    python benchmarks/compiler.py [--runs 9] [--peer-python PYTHON] [--json FILE]

Each round runs every command once, so that a slow moment of the machine hits all alike; medians are
reported. The peer must give the same parameter count before it is timed; it is left out, with the
reason, where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import archforge
from archforge import driver
from archforge.resources import zoo_folder

SPECS = {"resnet_50": "resnet50", "resnet_152": "resnet152"}
BOUND_S = {"resnet_50": 0.20, "resnet_152": 0.30, "zoo": 3.0}
ARCHFORGE = "from archforge.cli import main; main()"
PEER = """
import torchinfo, torchvision
model = torchvision.models.get_model(sys.argv[1], weights=None)
print(torchinfo.summary(model, (1, 3, 224, 224), verbose=0).total_params)
"""
# The same totals of every network of the zoo that the libraries have: one `LIB.MODEL` an argument.
ZOO_PEER = """
import timm, torchinfo, torchvision
for model in sys.argv[1:]:
    library, _, name = model.partition(".")
    build = torchvision.models.get_model if library == "torchvision" else timm.create_model
    network = build(name)
    side = 331 if "nasnet" in name else 299 if "ception" in name else 224
    torchinfo.summary(network, (1, 3, side, side), verbose=0, device="cpu")
    print(model, sum(p.numel() for p in network.parameters()))
"""
# Prints the CPU seconds and the peak memory of its own process last.
MEASURED = """
import resource, sys
try:
    {program}
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


@dataclass
class Timing:
    """CPU seconds (user and system) and peak memory of the runs of one program."""

    label: str
    python: str
    program: str
    arguments: list[str]
    cpu_s: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def run(self) -> list[str]:
        """One run in a fresh process; the lines that it printed."""
        program = MEASURED.format(program=self.program.strip().replace("\n", "\n    "))
        command = [self.python, "-c", program, *self.arguments]
        # As installed: with bytecode, which a first run writes.
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
        if not done.stdout:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        *lines, measured = done.stdout.splitlines()
        cpu_s, peak_kib = measured.split()
        self.cpu_s.append(float(cpu_s))
        self.peak_mib.append(float(peak_kib) / 1024)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return lines

    @property
    def median_s(self) -> float:
        return statistics.median(self.cpu_s)


def environment() -> dict[str, str]:
    """The machine and what changes its speed."""
    names = {k: v for k, v in sorted(os.environ.items()) if k.startswith(("OPENBLAS_", "OMP_"))}
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": " ".join(f"{x:.2f}" for x in os.getloadavg()),
        "environment": " ".join(f"{k}={v}" for k, v in names.items()) or "no OPENBLAS_*, no OMP_*",
        "archforge": archforge.__version__,
    }


def peers(python: str) -> list[Timing]:
    """The peer for each spec, if it is there and agrees."""
    found = []
    for spec, model in SPECS.items():
        timing = Timing(f"torchinfo {model}", python, PEER, [model])
        try:
            (total,) = timing.run()
        except RuntimeError as error:
            print(f"left out: torch + torchvision + torchinfo in {python}: {error}")
            return []
        if int(total) != archforge.load(spec, "torchvision").counts.params:
            raise SystemExit(f"{model}: the peer counts {total}")
        found.append(Timing(timing.label, python, PEER, [model]))
    return found


def zoo_peer(python: str) -> Timing | None:
    """One run of the libraries over the networks that they and the zoo have, its totals compared."""
    ours = {
        network.model: network.counts.params
        for report in driver.check([zoo_folder()])
        for network in report.networks
        if network.model and network.model.startswith(("torchvision.", "timm."))
    }
    timing = Timing(f"torchinfo, {len(ours)} networks, once", python, ZOO_PEER, sorted(ours))
    try:
        totals = dict(line.split() for line in timing.run() if "." in line)
    except RuntimeError as error:
        print(f"left out: the whole zoo in {python}: {error}")
        return None
    differing = {model: (total, ours[model]) for model, total in totals.items() if int(total) != ours[model]}
    if differing:
        raise SystemExit(f"the peer counts otherwise: {differing}")
    return timing


def median_spec_ms() -> tuple[float, int]:
    """Milliseconds of CPU time to check the median spec of the zoo in a warm process, and their number."""
    times: list[float] = []
    reports = driver.check([zoo_folder()])
    while True:
        start = time.process_time()
        if next(reports, None) is None:
            return statistics.median(times) * 1e3, len(times)
        times.append(time.process_time() - start)


def sampled_ms(number: int = 10_000) -> float:
    """Milliseconds of CPU time to draw and count one network of AnyNetX, the mean of so many."""
    start = time.process_time()
    driver.sample("anynet_x", number, "a")
    return (time.process_time() - start) / number * 1e3


def linearity() -> list[tuple[int, float]]:
    """Nodes and microseconds per node of ever deeper networks, parsed and expanded; best of five."""
    rows = []
    for blocks in (8, 80, 400, 1100):
        spec = {
            "archforge": 1,
            "extends": "resnet",
            "with": {"depths": [blocks // 4] * 4, "block": "basic"},
            "profiles": {"torchvision": {}},
        }
        best = float("inf")
        for _ in range(5):
            start = time.process_time()
            network = driver.load(spec, "torchvision")
            best = min(best, time.process_time() - start)
        rows.append((len(network.graph.nodes), best / len(network.graph.nodes) * 1e6))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--zoo", action="store_true", help="also run the libraries over the whole zoo, once")
    parser.add_argument("--json")
    options = parser.parse_args()

    for key, value in environment().items():
        print(f"{key}: {value}")
    ours = [
        Timing(f"archforge check {spec}", sys.executable, ARCHFORGE, ["check", f"{spec}.yaml"])
        for spec in SPECS
    ]
    whole = Timing("archforge check, the whole zoo", sys.executable, ARCHFORGE, ["check"])
    timings = [*ours, whole, *peers(options.peer_python)]
    for round_ in range(options.runs + 1):
        for timing in timings:
            timing.run()
            if round_ == 0:  # wrote bytecode and filled the disk's cache
                timing.cpu_s.clear()
                timing.peak_mib.clear()

    if options.zoo and (peer := zoo_peer(options.peer_python)):
        timings.append(peer)
    print("\n| command | median CPU s | least | peak MiB | bound |\n| --- | --- | --- | --- | --- |")
    for timing in timings:
        bound = BOUND_S.get(timing.label.rpartition(" ")[2])
        shown = f"{bound:.2f}" if bound else ""
        print(
            f"| {timing.label} | {timing.median_s:.3f} | {min(timing.cpu_s):.3f} "
            f"| {statistics.median(timing.peak_mib):.0f} | {shown} |"
        )
    median_ms, specs = median_spec_ms()
    print(
        f"\nmedian of {specs} specs, all profiles and cells, in a warm process: {median_ms:.1f} ms (bound 30)"
    )
    print(f"a network of AnyNetX drawn and counted, mean of 10,000: {sampled_ms():.2f} ms (bound 6)")
    print("\n| nodes | µs per node |\n| --- | --- |")
    for nodes, per_node in linearity():
        print(f"| {nodes:,} | {per_node:.1f} |")
    if options.json:
        data = {t.label: {"cpu_s": t.cpu_s, "peak_mib": t.peak_mib} for t in timings}
        text = json.dumps({"environment": environment(), "timings": data}, indent=2)
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
