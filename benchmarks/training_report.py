"""The rows of training.py as tables in Markdown, with what must hold (the bars) beside what does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import report
from report import Row, holds, limits_of, ms, number, table

NUMBA, NUMPY = report.OURS, report.NUMPY
TORCH, CHANNELS_LAST = PEERS = ("torch", "channels_last")

MEMORY = 1.0  # most memory as a multiple of the better peer's
WEIGHTS = 0.85  # of the peak, for the gradients of weights of 3x3 kernels between so many channels
LEAST_CHANNELS = 32


def ours(row: Row) -> list[str]:
    """The contestants of archforge."""
    return [label for label in row["median_s"] if label not in PEERS]


def better(row: Row, name: str) -> float | None:
    """The lesser figure of the peers."""
    return min((row[name][peer] for peer in PEERS if peer in row[name]), default=None)


def against_the_better(row: Row, label: str, name: str = "median_s") -> float | None:
    """The figure of the better peer over that of a contestant of archforge."""
    found = better(row, name)
    return None if found is None else found / row[name][label]


def line(row: Row, data: dict[str, Any]) -> str:
    """One row while the run goes on."""
    times = [
        f"{label} {row['median_s'][label] * 1e3:.2f} ms, {number(against_the_better(row, label))}"
        for label in ours(row)
    ]
    left_out = [f"\n  left out: {label}: {reason}" for label, reason in row["left_out"].items()]
    return f"{row['network']}, {row['batch']}: {'; '.join(times)}{''.join(left_out)}"


def bars(rows: Sequence[Row]) -> list[Row]:
    """The rows as the picture takes them, one for each contestant of archforge."""
    return [
        {
            "network": row["network"] if label == NUMBA else f"{row['network']}, {label}",
            "batch": 0,
            "median_s": {peer: s for peer, s in row["median_s"].items() if peer in PEERS}
            | {NUMBA: row["median_s"][label]},
        }
        for row in rows
        for label in ours(row)
    ]


def markdown(data: dict[str, Any]) -> str:
    """All tables for which there are rows."""
    rows: list[Row] = data["rows"]
    profiled = [row for row in rows if "profile" in row]
    parts = [report.environment_lines(data, PEERS), _steps(rows)]
    if profiled:
        parts.append(_parts(profiled))
    if wide := [row for row in profiled if any(_wide(row))]:
        parts.append(_weights(wide, limits_of(data)["all_flops"]))
    return "\n\n".join(parts) + "\n"


def _steps(rows: Sequence[Row]) -> str:
    header = [
        "network, batch", "backend", "ms", "torch ms", "channels_last ms", "the better / ms", "bar", "holds",
        "MiB", "torch MiB", "channels_last MiB", "/ the better", "bar", "holds", "start s", "torch start s",
    ]  # fmt: skip
    body = []
    for row in rows:
        for label in ours(row):
            found, bar = against_the_better(row, label), row["bars"].get(label)
            least = better(row, "peak_kib")
            memory = row["peak_kib"][label] / least if least else None
            body.append(
                [
                    f"{row['network']}, {row['batch']}",
                    label,
                    *(ms(row["median_s"].get(who)) for who in (label, *PEERS)),
                    number(found),
                    number(bar),
                    holds(found, bar) if bar else "",
                    *(_mib(row["peak_kib"].get(who)) for who in (label, *PEERS)),
                    number(memory),
                    number(MEMORY),
                    "" if memory is None else "yes" if memory <= MEMORY else "no",
                    *(number(row["ready_s"].get(who)) for who in (label, TORCH)),
                ]
            )
    apart = {
        what: max(each[what] for row in rows for each in row["deviation"].values())
        for what in ("losses", "gradients")
    }
    note = (
        "Contestants of a row, torch where it is there and the others, differ by "
        f"{apart['losses']:.0e} at most in the losses of two steps, and by {apart['gradients']:.0e} of its "
        "norm in a gradient of the first. Memory is the peak above that behind a step of a network of two "
        "weights. The start is that of a new process to the end of its second step, with what is compiled in "
        "the cache."
    )
    return f"## A step of training: medians\n\n{table(header, body)}\n\n{note}"


def _parts(rows: Sequence[Row]) -> str:
    names = [*rows[0]["profile"]["parts_s"]]
    body = []
    for row in rows:
        parts = row["profile"]["parts_s"]
        whole = sum(parts.values())
        shares = (f"{ms(parts[name])} ({parts[name] / whole:.0%})" for name in names)
        body.append([f"{row['network']}, {row['batch']}", *shares, ms(whole), ms(row["median_s"][NUMBA])])
    header = ["network, batch", *names, "sum ms", "a step ms"]
    note = (
        "Each call of machine code by itself, medians. `back`: to values, with the gradients of biases and "
        "norms; `weights`: of convolutions and linear layers; `update`: NumPy, on one thread."
    )
    return f"## Where a step goes in numba: ms\n\n{table(header, body)}\n\n{note}"


def _weights(rows: Sequence[Row], peak: float) -> str:
    header = ["network, batch", "layers", "GFLOP", "ms", "of the peak", "bar", "holds", "least", "in layer"]
    body = []
    for row in rows:
        layers = [*_wide(row)]
        flops, elapsed_s = (sum(layer[name] for layer in layers) for name in ("flops", "elapsed_s"))
        share = flops / elapsed_s / peak
        least = min(layers, key=lambda layer: layer["flops"] / layer["elapsed_s"])
        body.append(
            [
                f"{row['network']}, {row['batch']}",
                str(len(layers)),
                f"{flops / 1e9:.2f}",
                ms(elapsed_s),
                f"{share:.0%}",
                f"{WEIGHTS:.0%}",
                holds(share, WEIGHTS),
                f"{least['flops'] / least['elapsed_s'] / peak:.0%}",
                f"{least['name']}, {least['channels']} to {least['out']}",
            ]
        )
    note = (
        f"Gradients of the weights of 3x3 kernels between {LEAST_CHANNELS} channels or more, within the "
        "step, until they lie as the op has them. Two operations for each product; those with padding are "
        "neither made nor counted. The peak is that of multiply-adds in registers, on all threads, in the "
        "same run."
    )
    return f"## Gradients of weights against the peak\n\n{table(header, body)}\n\n{note}"


def _wide(row: Row) -> Iterator[dict[str, Any]]:
    """The layers that the bar is of."""
    for layer in row["profile"]["products"]:
        if [*layer["kernel"]] == [3, 3] and min(layer["channels"], layer["out"]) >= LEAST_CHANNELS:
            yield layer


def _mib(kib: float | None) -> str:
    return "" if kib is None else f"{kib / 1024:.0f}"
