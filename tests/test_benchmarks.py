"""The tables and the picture of benchmarks/inference.py, from figures made up here."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    """report.py and picture.py, which are run from their folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("report"), importlib.import_module("picture")
    for name in ("report", "picture"):
        sys.modules.pop(name)


def row(network: str, batch: int, ours_s: float, *, flops: float = 4e9, **others_s: float) -> dict[str, Any]:
    peaks = {"numba": 300, "numba low-memory": 210, "onnxruntime": 220, "openvino": 200, "compiling": 500}
    facts = dict.fromkeys(("imports_s", "load_s", "first_call_s", "ready_s"), 0.5) | {"imports_kib": 51_200}
    fresh = {label: facts | {"peak_kib": mib * 1024} for label, mib in peaks.items()}
    medians_s = {"numba": ours_s, **others_s}
    once = {"fresh": fresh, "contended_s": {label: 3 * s for label, s in medians_s.items()}}
    return {
        "network": network,
        "batch": batch,
        "load": "0.10 0.20 0.30",
        "versions": dict.fromkeys(others_s, "1.2"),
        "left_out": {"torch": "no torch"},
        "median_s": medians_s,
        "limits": {"one_flops": flops / 2, "all_flops": flops, "read_bytes": 1e9},
        "work": {"macs": 10**9, "weight_bytes": 10**8, "value_bytes": 10**8},
        **(once if batch == 1 else {}),
    }


ROWS = [
    row("resnet_50", 1, 1.0, onnxruntime=1.5, openvino=1.2),
    row("resnet_50", 8, 2.0, flops=1e9, onnxruntime=1.0, openvino=4.0),
]


def cells(text: str, first: str, heading: str) -> dict[str, str]:
    """The row that begins with `first` under the heading that contains `heading`, by column."""
    section = next(s for s in re.split("^## ", text, flags=re.MULTILINE) if s.startswith(heading))
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    found = next(line for line in lines if line[0] == first)
    return dict(zip(lines[0], found, strict=True))


def test_tables_hold_ratios_bars_and_limits(modules: tuple[ModuleType, ModuleType]) -> None:
    report, _ = modules
    text = report.markdown({"environment": {"cpu": "made up"}, "rows": ROWS})
    first = cells(text, "resnet_50", "Batch 1")
    assert (first["/ onnxruntime"], first["/ openvino"], first["/ torch"]) == ("1.50", "1.20", "")
    assert (first["/ the better"], first["bar"], first["holds"]) == ("1.20", "1.15", "yes")
    # 2 GFLOP at the greatest 4 GFLOP/s of the run, in one second.
    assert first["of the limit"] == "50%"
    assert cells(text, "resnet_50", "Batch 8")["holds"] == "no"
    assert cells(text, "resnet_50 against the better, every batch", "The bars")["found"] == "0.50"
    mean = cells(text, "geometric mean against the better of onnxruntime and openvino", "The bars")
    assert (mean["found"], mean["holds"]) == ("0.77", "no")
    memory = cells(text, "resnet_50", "Peak resident memory")
    assert (memory["numba / the better"], memory["low-memory / the better"]) == ("1.50", "1.05")
    assert memory["holds"] == "no"
    assert cells(text, "resnet_50, 1", "Beside a loaded machine")["slowdown"] == "3.00"
    assert "torch: no torch" in text


def test_rows_of_several_runs_are_merged_the_last_of_each(modules: tuple[ModuleType, ModuleType]) -> None:
    report, _ = modules
    again = row("resnet_50", 8, 9.0, openvino=1.0)
    merged = report.merged(
        [{"environment": {"cpu": "first"}, "rows": ROWS}, {"environment": {}, "rows": [again]}]
    )
    assert merged == {"environment": {"cpu": "first"}, "rows": [ROWS[0], again]}


def test_the_picture_has_a_bar_for_each_ratio(modules: tuple[ModuleType, ModuleType]) -> None:
    _, picture = modules
    drawn = ElementTree.fromstring(picture.svg(ROWS))
    texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert [text for text in texts if text and re.fullmatch(r"\d\.\d\d", text)] == [
        "1.50",
        "1.20",
        "0.50",
        "2.00",
    ]


def test_the_table_of_training_holds_ratios_and_memory(
    modules: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    training = importlib.import_module("training")
    made_up = {
        "network": "resnet_18",
        "batch": 8,
        "bar": 1.1,
        "load": "0.10 0.20 0.30",
        "versions": {"torch": "1.2", "numba": "0.1"},
        "left_out": {"channels_last": "too old"},
        "median_s": {"numba": 0.4, "torch": 0.5, "channels_last": 0.6},
        "peak_kib": {"numba": 102_400, "torch": 204_800, "channels_last": 409_600},
    }
    text = training.markdown({"environment": {"cpu": "made up"}, "rows": [made_up]})
    assert "| resnet_18 | 8 | 400.00 | 500.00 | 600.00 | 1.25 | 1.1 | yes | 100 | 0.50 | 0.10 |" in text
    assert "channels_last: too old" in text
    with pytest.raises(training.LeftOut, match="the losses of numba differ"):
        training.require_equal({"torch": [2.0, 1.0], "numba": [2.0, 1.1]})
    sys.modules.pop("training")
