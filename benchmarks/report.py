"""The rows of inference.py as tables in Markdown, with what must hold (the bars) beside what does."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]

OURS, LOW_MEMORY, NUMPY, COMPILING = "numba", "numba low-memory", "numpy", "compiling"
NUMPY_FREE = "numpy, BLAS free"
RIVALS = ("onnxruntime", "openvino")  # of which the better one is what a ratio is held against
ENGINES = (*RIVALS, "ncnn", "mnn", "xnnpack")  # and the best one of these
PEERS = (*ENGINES, "torch_frozen", "torch")

# Least ratios to the better rival, of single networks and of the geometric mean; likewise to the best engine;
# to torch; of NumPy to torch.
BARS = {"vgg_16": 1.9, "resnet_18": 1.35, "resnet_50": 1.15}
MEAN = 1.45
ENGINE_BARS = {
    "regnet_y_400mf": 1.05,
    "regnet_x_1_6gf": 1.05,
    "shufflenet_v2_x1_0": 1.15,
    "efficientnet_b0": 1.2,
    "convnext_tiny": 1.12,
}
ENGINE_LEAST, ENGINE_MEAN = 1.0, 1.25
TORCH, NUMPY_TORCH = 2.0, 0.75
# Most memory as a multiple of the better rival's, and the networks that are held to it.
MEMORY, MEMORY_LOW = 1.4, 1.0
MEMORY_NETWORKS = (
    "resnet_50",
    "vgg_16",
    "inception_v1",
    "inception_v3",
    "inception_v4",
    "inception_resnet_v2",
)


def merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The rows of several runs, the last one of each key, and the first environment."""
    parts = list(parts)
    rows = {key(row): row for part in parts for row in part["rows"]}
    return {"environment": parts[0]["environment"], "rows": list(rows.values())}


def key(row: Row) -> tuple[str, int, int]:
    """The network, the size of the batch, and the number of threads."""
    return row["network"], row["batch"], row["threads"]


def on_all_threads(rows: Sequence[Row]) -> list[Row]:
    """The rows with the most threads."""
    threads = max(row["threads"] for row in rows)
    return [row for row in rows if row["threads"] == threads]


def ratio(row: Row, peer: str, *, to: str = OURS) -> float | None:
    """Median of a peer over ours: above 1, ours is faster."""
    medians = row["median_s"]
    return medians[peer] / medians[to] if peer in medians and to in medians else None


def better_ratio(row: Row, peers: Sequence[str] = RIVALS) -> float | None:
    """Against the fastest one of the peers, by default the faster one of the rivals."""
    found = [r for peer in peers if (r := ratio(row, peer)) is not None]
    return min(found, default=None)


def limits_of(data: dict[str, Any]) -> dict[str, float]:
    """The greatest of what the run measured the machine to do: a slow moment is no limit."""
    names = ("one_flops", "all_flops", "read_bytes")
    return {name: max(row["limits"][name] for row in data["rows"]) for name in names}


def bounds_s(row: Row, limits: dict[str, float]) -> tuple[float, float]:
    """The least seconds by arithmetic and by memory."""
    work = row["work"]
    moved = work["weight_bytes"] + work["value_bytes"]
    return 2 * work["macs"] / limits["all_flops"], moved / limits["read_bytes"]


def line(row: Row, data: dict[str, Any]) -> str:
    """One row while the run goes on."""
    ratios = [f"{p} {r:.2f}" for p in (*PEERS, NUMPY) if (r := ratio(row, p)) is not None]
    left_out = [f"\n  left out: {label}: {reason}" for label, reason in row["left_out"].items()]
    fraction = max(bounds_s(row, limits_of(data))) / row["median_s"][OURS]
    times = f"{row['median_s'][OURS] * 1e3:.2f} ms, {fraction:.0%} of the limit"
    where = f"{row['network']}, batch {row['batch']}, threads {row['threads']}"
    return f"{where}: {times}; {', '.join(ratios)}{''.join(left_out)}"


def environment_text(facts: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def markdown(data: dict[str, Any]) -> str:
    """All tables for which there are rows."""
    rows: list[Row] = data["rows"]
    limits = limits_of(data)
    parts = [environment_lines(data)]
    threads = max(row["threads"] for row in rows)
    for case in sorted({(row["threads"] < threads, row["batch"]) for row in rows}):
        alone, batch = case
        held = [row for row in rows if (row["threads"] < threads, row["batch"]) == case]
        parts.append(_latency(held, f"Batch {batch}{', one thread' if alone else ''}", limits))
    parts += [_bars(on_all_threads(rows)), _roofline(rows, limits)]
    tables = (
        (_numpy, lambda r: NUMPY in r["median_s"]),
        (_memory, lambda r: r.get("fresh")),
        (_start, lambda r: r.get("fresh")),
        (_contention, lambda r: r.get("contended_s")),
    )
    for made, has in tables:
        if found := [row for row in rows if has(row)]:
            parts.append(made(found))
    return "\n\n".join(parts) + "\n"


def environment_lines(data: dict[str, Any], peers: Sequence[str] = PEERS) -> str:
    """The machine, the versions of peers, who was left out and why, the load and the limits, as a list."""
    facts = dict(data["environment"])
    versions = {label: v for row in data["rows"] for label, v in row["versions"].items() if label in peers}
    facts["peers"] = ", ".join(f"{label} {version}" for label, version in versions.items()) or "none"
    left_out = {f"{label}: {why}" for row in data["rows"] for label, why in row["left_out"].items()}
    if left_out:
        facts["left out"] = "; ".join(sorted(left_out))
    loads = sorted(float(row["load"].split()[0]) for row in data["rows"] if row["load"] != "unknown")
    if loads:
        facts["load before each row"] = f"{loads[0]:.2f} to {loads[-1]:.2f}"
    for name, key, unit, scale in (
        ("multiply-adds, one thread", "one_flops", "GFLOP/s", 1e9),
        ("multiply-adds, all threads", "all_flops", "GFLOP/s", 1e9),
        ("reading memory, all threads", "read_bytes", "GB/s", 1e9),
    ):
        values = [row["limits"][key] / scale for row in data["rows"]]
        facts[name] = f"{max(values):.0f} {unit} at most, {statistics.median(values):.0f} in the median row"
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _latency(rows: Sequence[Row], what: str, limits: dict[str, float]) -> str:
    header = [
        "network", "archforge ms", *(f"/ {p}" for p in PEERS), "/ the better", "/ the best", "which",
        "of the limit",
    ]  # fmt: skip
    body = []
    for row in rows:
        ours, best = row["median_s"][OURS], better_ratio(row, ENGINES)
        body.append(
            [
                row["network"],
                ms(ours),
                *(number(ratio(row, peer)) for peer in PEERS),
                number(better_ratio(row)),
                number(best),
                next((peer for peer in ENGINES if ratio(row, peer) == best), ""),
                f"{max(bounds_s(row, limits)) / ours:.0%}",
            ]
        )
    means = [number(geometric_mean([ratio(row, peer) for row in rows])) for peer in PEERS]
    groups = (RIVALS, ENGINES)
    fastest = [number(geometric_mean(better_ratio(row, group) for row in rows)) for group in groups]
    body.append(["geometric mean", "", *means, *fastest, "", ""])
    return f"## {what}: medians, peer / archforge\n\n{table(header, body)}"


def _bars(rows: Sequence[Row]) -> str:
    """The demands over all rows, as facts."""
    better = [r for row in rows if (r := better_ratio(row)) is not None]
    best = [r for row in rows if (r := better_ratio(row, ENGINES)) is not None]
    torch = [r for row in rows if (r := ratio(row, "torch")) is not None]
    body = [
        _bar("geometric mean against the better of onnxruntime and openvino", geometric_mean(better), MEAN),
        _bar("geometric mean against the best of five", geometric_mean(best), ENGINE_MEAN),
        _bar("the least against the best of five", min(best, default=None), ENGINE_LEAST),
        *_single_bars(rows, "the better", RIVALS, BARS),
        *_single_bars(rows, "the best of five", ENGINES, ENGINE_BARS),
        _bar("the least against torch", min(torch, default=None), TORCH),
    ]
    for label in (NUMPY, NUMPY_FREE):
        found = [r for row in rows if (r := ratio(row, "torch", to=label)) and row["batch"] == 1]
        if found:
            body.append(_bar(f"{label}: the least against torch, batch 1", min(found), NUMPY_TORCH))
    networks = len({row["network"] for row in rows})
    note = f"Rows: {len(rows)}, of {networks} networks; the bars are meant for all of them at batch 1 and 8."
    return f"## The bars\n\n{table(['demand', 'least', 'found', 'holds'], body)}\n\n{note}"


def _single_bars(
    rows: Sequence[Row], what: str, peers: Sequence[str], bars: Mapping[str, float]
) -> list[list[str]]:
    """The demands on single networks, at the batch where the ratio is the least."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["network"] in bars and (least := better_ratio(row, peers)) is not None:
            found.setdefault(row["network"], []).append(least)
    return [
        _bar(f"{network} against {what}, every batch", min(ratios), bars[network])
        for network, ratios in found.items()
    ]


def _bar(what: str, found: float | None, bar: float) -> list[str]:
    return [what, f"{bar:.2f}", number(found), holds(found, bar)]


def _roofline(rows: Sequence[Row], limits: dict[str, float]) -> str:
    header = [
        "network, batch, threads", "GFLOP", "at the peak ms", "weights MB", "values MB",
        "at the bandwidth ms", "archforge ms", "of the peak", "of the bandwidth",
    ]  # fmt: skip
    body = []
    for row in rows:
        (compute, memory), work, ours = bounds_s(row, limits), row["work"], row["median_s"][OURS]
        body.append(
            [
                f"{row['network']}, {row['batch']}, {row['threads']}",
                f"{2 * work['macs'] / 1e9:.2f}",
                ms(compute),
                f"{work['weight_bytes'] / 1e6:.0f}",
                f"{work['value_bytes'] / 1e6:.0f}",
                ms(memory),
                ms(ours),
                f"{compute / ours:.0%}",
                f"{memory / ours:.0%}",
            ]
        )
    note = (
        "FLOPs are those of direct convolution, two for a multiply-add: Winograd's needs fewer and may go "
        "beyond the peak. Every weight is read once, every value between steps written once and read by each "
        "step that needs it: what stays in a cache may go beyond the bandwidth. The limit is the greater of "
        "both times."
    )
    return f"## Against the limits of the machine\n\n{table(header, body)}\n\n{note}"


def _numpy(rows: Sequence[Row]) -> str:
    header = ["network, batch", "", "ms", "torch ms", "torch / numpy", "bar", "holds"]
    body = []
    for row in rows:
        for label in (NUMPY, NUMPY_FREE):
            found, bar = ratio(row, "torch", to=label), NUMPY_TORCH if row["batch"] == 1 else None
            if found is not None:
                times = [ms(row["median_s"].get(who)) for who in (label, "torch")]
                bars = [f"{bar:.2f}", holds(found, bar)] if bar else ["", ""]
                body.append([f"{row['network']}, {row['batch']}", label, *times, number(found), *bars])
    note = (
        f"`{NUMPY_FREE}`: without the variables `OPENBLAS_*`, which can hold NumPy's BLAS to slower kernels."
    )
    return f"## NumPy alone\n\n{table(header, body)}\n\n{note}"


def _memory(rows: Sequence[Row]) -> str:
    labels = [OURS, LOW_MEMORY, *PEERS]
    header = [
        "network", *(f"{label} MiB" for label in labels),
        "numba / the better", "low-memory / the better", "holds",
    ]  # fmt: skip
    body = []
    for row in rows:
        peaks = {label: facts["peak_kib"] for label, facts in row["fresh"].items()}
        rival = min((peaks[p] for p in RIVALS if p in peaks), default=None)
        over = [peaks[label] / rival if rival else None for label in (OURS, LOW_MEMORY)]
        held = row["network"] in MEMORY_NETWORKS and rival is not None
        holds = all(x <= most for x, most in zip(over, (MEMORY, MEMORY_LOW), strict=True) if x is not None)
        mibs = (f"{peaks[label] / 1024:.0f}" if label in peaks else "" for label in labels)
        body.append([row["network"], *mibs, *map(number, over), ("yes" if holds else "no") if held else ""])
    imports = {
        label: statistics.median(row["fresh"][label]["imports_kib"] for row in rows if label in row["fresh"])
        for label in labels
        if any(label in row["fresh"] for row in rows)
    }
    note = f"The imports alone: {', '.join(f'{n} {kib / 1024:.0f} MiB' for n, kib in imports.items())}."
    bars = (
        f"The bars are {MEMORY} in the default and {MEMORY_LOW} in the low-memory mode, on "
        f"{', '.join(MEMORY_NETWORKS)}."
    )
    heading = "## Peak resident memory of a new process, batch 1"
    return f"{heading}\n\n{table(header, body)}\n\n{note} {bars}"


def _start(rows: Sequence[Row]) -> str:
    labels = [OURS, COMPILING, *PEERS]
    names = [n for label in labels for n in (f"{label} load s", f"{label} ready s")]
    body = []
    for row in rows:
        facts = [row["fresh"].get(label) for label in labels]
        cells = [f"{f[k]:.2f}" if f else "" for f in facts for k in ("load_s", "ready_s")]
        body.append([row["network"], *cells])
    note = (
        "`load`: from a weights file to something callable, libraries imported already. `ready`: from the "
        "start of the process to its first output. `compiling`: archforge with nothing in its cache, once."
    )
    return f"## Start of a new process, batch 1\n\n{table(['network', *names], body)}\n\n{note}"


def _contention(rows: Sequence[Row]) -> str:
    body = [
        [f"{row['network']}, {row['batch']}", label, ms(alone), ms(row["contended_s"][label]),
         f"{row['contended_s'][label] / alone:.2f}"]
        for row in rows
        for label, alone in row["median_s"].items()
    ]  # fmt: skip
    header = ["network, batch", "contestant", "alone ms", "beside two busy loops ms", "slowdown"]
    return f"## Beside a loaded machine\n\n{table(header, body)}"


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """None if one is missing, or there is none."""
    found = list(values)
    if not found or None in found:
        return None
    return math.exp(statistics.fmean(math.log(v) for v in found if v is not None))


def ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.2f}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def holds(found: float | None, bar: float) -> str:
    return "" if found is None else "yes" if found >= bar else "no"


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])
