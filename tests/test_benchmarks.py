"""The tables and the pictures of benchmarks of networks, from figures made up here, and how a run goes on."""

from __future__ import annotations

import importlib
import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest

from archforge.bench.race import LeftOut

FOLDER = Path(__file__).parents[1] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)


class Modules(NamedTuple):
    """Files of benchmarks/, which are run from their folder."""

    picture: ModuleType
    report: ModuleType
    rows: ModuleType
    training: ModuleType
    training_report: ModuleType


@pytest.fixture(scope="module")
def modules() -> Iterator[Modules]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield Modules(*map(importlib.import_module, Modules._fields))
    for name in Modules._fields:
        sys.modules.pop(name)


def row(
    network: str, batch: int, ours_s: float, *, flops: float = 4e9, threads: int = 2, **others_s: float
) -> dict[str, Any]:
    peaks = {"numba": 300, "numba low-memory": 210, "onnxruntime": 220, "openvino": 200, "compiling": 500}
    facts = dict.fromkeys(("imports_s", "load_s", "first_call_s", "ready_s"), 0.5) | {"imports_kib": 51_200}
    fresh = {label: facts | {"peak_kib": mib * 1024} for label, mib in peaks.items()}
    medians_s = {"numba": ours_s, **others_s}
    once = {"fresh": fresh, "contended_s": {label: 3 * s for label, s in medians_s.items()}}
    return {
        "network": network,
        "batch": batch,
        "threads": threads,
        "load": "0.10 0.20 0.30",
        "versions": dict.fromkeys(others_s, "1.2"),
        "left_out": {"torch": "no torch"},
        "median_s": medians_s,
        "limits": {"one_flops": flops / 2, "all_flops": flops, "read_bytes": 1e9},
        "work": {"macs": 10**9, "weight_bytes": 10**8, "value_bytes": 10**8},
        **(once if batch == 1 else {}),
    }


ROWS = [
    row("resnet_50", 1, 1.0, onnxruntime=1.5, openvino=1.2, ncnn=1.1),
    row("resnet_50", 8, 2.0, flops=1e9, onnxruntime=1.0, openvino=4.0),
]


def cells(text: str, first: str, heading: str) -> dict[str, str]:
    """The row that begins with `first` under the heading that contains `heading`, by column."""
    section = next(s for s in re.split("^## ", text, flags=re.MULTILINE) if s.startswith(heading))
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    found = next(line for line in lines if line[0] == first)
    return dict(zip(lines[0], found, strict=True))


def test_tables_hold_ratios_bars_and_limits(modules: Modules) -> None:
    report = modules.report
    alone = row("regnet_y_400mf", 1, 1.0, threads=1, openvino=0.5)
    text = report.markdown({"environment": {"cpu": "made up"}, "rows": [*ROWS, alone]})
    first = cells(text, "resnet_50", "Batch 1: medians")
    assert (first["/ onnxruntime"], first["/ openvino"], first["/ torch"]) == ("1.50", "1.20", "")
    assert (first["/ the better"], first["/ the best"], first["which"]) == ("1.20", "1.10", "ncnn")
    assert cells(text, "regnet_y_400mf", "Batch 1, one thread")["/ the best"] == "0.50"
    # 2 GFLOP at the greatest 4 GFLOP/s of the run, in one second.
    assert first["of the limit"] == "50%"
    held = cells(text, "resnet_50 against the better, every batch", "The bars")
    assert (held["least"], held["found"], held["holds"]) == ("1.15", "0.50", "no")
    assert "regnet_y_400mf against" not in text  # the bars are meant for all threads
    assert cells(text, "geometric mean against the best of five", "The bars")["found"] == "0.74"
    mean = cells(text, "geometric mean against the better of onnxruntime and openvino", "The bars")
    assert (mean["found"], mean["holds"]) == ("0.77", "no")
    memory = cells(text, "resnet_50", "Peak resident memory")
    assert (memory["numba / the better"], memory["low-memory / the better"]) == ("1.50", "1.05")
    assert memory["holds"] == "no"
    assert cells(text, "resnet_50, 1", "Beside a loaded machine")["slowdown"] == "3.00"
    assert "torch: no torch" in text


def test_rows_of_several_runs_are_merged_the_last_of_each(modules: Modules) -> None:
    report = modules.report
    again = row("resnet_50", 8, 9.0, openvino=1.0)
    merged = report.merged(
        [{"environment": {"cpu": "first"}, "rows": ROWS}, {"environment": {}, "rows": [again]}]
    )
    assert merged == {"environment": {"cpu": "first"}, "rows": [ROWS[0], again]}


def test_the_picture_has_a_bar_for_each_ratio(modules: Modules) -> None:
    picture = modules.picture
    drawn = ElementTree.fromstring(picture.svg(ROWS))
    texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert [text for text in texts if text and re.fullmatch(r"\d\.\d\d", text)] == [
        "1.50",
        "1.20",
        "1.10",
        "0.50",
        "2.00",
    ]


LAYER = {"name": "conv2", "channels": 32, "out": 64, "kernel": [3, 3], "flops": 3 * 10**8, "elapsed_s": 0.1}
TRAINED = {
    "network": "resnet_18",
    "batch": 8,
    "bars": {"numba": 1.1, "numpy": 0.5},
    "load": "0.10 0.20 0.30",
    "versions": {"torch": "1.2", "numba": "0.1"},
    "left_out": {"channels_last": "too old"},
    "deviation": {"torch": {"losses": 0.0, "gradients": 0.0}, "numba": {"losses": 1e-6, "gradients": 2e-5}},
    "median_s": {"numba": 0.4, "numpy": 1.25, "torch": 0.5, "channels_last": 0.6},
    "ready_s": {"numba": 1.0, "numpy": 0.5, "torch": 3.0},
    "peak_kib": {"numba": 102_400, "numpy": 307_200, "torch": 204_800, "channels_last": 409_600},
    "limits": {"one_flops": 2e9, "all_flops": 4e9, "read_bytes": 1e9},
    "profile": {
        "parts_s": {"forward": 0.1, "loss": 0.0, "back": 0.1, "weights": 0.2, "update": 0.0},
        "products": [LAYER, {**LAYER, "name": "conv3", "elapsed_s": 0.05}, {**LAYER, "channels": 16}],
    },
}


def test_tables_of_training_hold_ratios_memory_and_the_share_of_the_peak(modules: Modules) -> None:
    text = modules.training_report.markdown({"environment": {"cpu": "made up"}, "rows": [TRAINED]})
    step = cells(text, "resnet_18, 8", "A step of training")
    assert (step["ms"], step["torch ms"], step["channels_last ms"]) == ("400.00", "500.00", "600.00")
    assert (step["the better / ms"], step["MiB"], step["/ the better"]) == ("1.25", "100", "0.50")
    assert "| resnet_18, 8 | numpy | 1250.00 | 500.00 | 600.00 | 0.40 | 0.50 | no |" in text
    assert "differ by 1e-06 at most in the losses of two steps, and by 2e-05 of its norm" in text
    assert "channels_last: too old" in text
    assert cells(text, "resnet_18, 8", "Where a step goes")["weights"] == "200.00 (50%)"
    # Twice 0.3 GFLOP in 0.15 s, of 4 GFLOP/s; the layer of 16 channels does not count.
    share = cells(text, "resnet_18, 8", "Gradients of weights")
    assert (share["layers"], share["of the peak"], share["holds"]) == ("2", "100%", "yes")
    assert (share["least"], share["in layer"]) == ("75%", "conv2, 32 to 64")


def test_the_picture_of_training_has_bars_for_each_backend(modules: Modules) -> None:
    rows = modules.training_report.bars([TRAINED])
    assert [row["network"] for row in rows] == ["resnet_18", "resnet_18, numpy"]
    drawn = modules.picture.svg(rows, modules.training_report.PEERS, "made up")
    assert ">0.40<" in drawn
    assert "batch" not in drawn


def test_what_learns_something_else_is_not_timed(modules: Modules, tmp_path: Path) -> None:
    found = {"torch": (1.0, 3.0), "numba": (1.0, 3.0), "numpy": (1.0, 2.0), "other": (1.1, 3.0)}
    for label, (loss, slope) in found.items():
        arrays: dict[str, Any] = {"losses": np.array([2.0, loss]), "d weight": np.full(4, slope)}
        np.savez(tmp_path / f"{label}.npz", **arrays)
    torch, numba, numpy, other = (SimpleNamespace(label=label) for label in found)
    alike = modules.training.deviations([torch, numba], tmp_path)
    assert alike["numba"] == {"losses": 0.0, "gradients": 0.0}
    for wrong in (numpy, other):
        with pytest.raises(LeftOut, match=f"{wrong.label} learns something else"):
            modules.training.deviations([torch, wrong], tmp_path)


def test_a_run_that_was_cut_short_goes_on(
    modules: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules.rows, "available", lambda: ["numba"])
    file = tmp_path / "out" / "rows.json"
    options = Namespace(threads=1, json=str(file), resume=True)
    measured: list[str] = []

    def measure(network: str) -> dict[str, Any]:
        measured.append(network)
        if network == "left":
            raise LeftOut("too old")
        return {"network": network, "batch": 8, "threads": 1}

    def run(*networks: str) -> tuple[list[str], bool]:
        measures = {(network, 8, 1): partial(measure, network) for network in networks}
        data, whole = modules.rows.measured_rows(measures, options, lambda row, data: row["network"])
        return [row["network"] for row in data["rows"]], whole

    assert run("first", "left") == (["first"], False)
    assert run("first", "second") == (["first", "second"], True)
    assert measured == ["first", "left", "second"]
    assert [row["network"] for row in json.loads(file.read_text("utf-8"))["rows"]] == ["first", "second"]
