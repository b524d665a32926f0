"""Findings of sweeps: what distributions, frontiers and bands are, and the report that shows them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archforge.spec.expand.space import Draw
from archforge.sweeps.charts import Chart, Series, charts_svg
from archforge.sweeps.findings import SpaceFindings, columns, frontier, likely_best
from archforge.sweeps.job import Job, JobRecord
from archforge.sweeps.report import write_report
from archforge.sweeps.store import SweptNetwork
from tests.conftest import Run
from tests.test_sweep import SPACE, SWEEP, no_processes

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20)


def swept(number: int, error: float | None, macs: int = 1, reason: str = "") -> SweptNetwork:
    record = JobRecord(reason, error, ({"epoch": 1, "val_accuracy": 0.5},), seconds=2.0)
    row = {"draw": number, "macs": macs, "params": 1, "activations": 1}
    return SweptNetwork(Job("s", Draw(number, {})), row, record)


def test_a_distribution_worked_by_hand() -> None:
    found = SpaceFindings.of("s", [swept(i, error) for i, error in enumerate([0.3, 0.1, 0.3, 0.2])])
    errors, shares, low, high = found.distribution()
    assert errors.tolist() == [0.1, 0.2, 0.3, 0.3]
    assert shares.tolist() == [0.25, 0.5, 1, 1]
    assert (low <= shares).all()
    assert (shares <= high).all()
    # Of 4 that are drawn again, each with 1 in 4, the least is there 0 to 3 times in 95 of 100 cases.
    assert (low[0], high[0]) == (0, 0.75)
    assert found.median().middle == 0.25


def test_bands_narrow_as_networks_grow_in_number() -> None:
    widths = []
    for number in (10, 1000):
        errors = np.linspace(0, 1, number)
        low, middle, high = SpaceFindings.of("s", [swept(i, e) for i, e in enumerate(errors)]).median()
        assert low < middle < high
        widths.append(high - low)
    # The standard error of a median of n of a uniform distribution is 1 / (2 sqrt(n)), the band 3.92 of them.
    assert widths[1] == pytest.approx(3.92 / (2 * np.sqrt(1000)), rel=0.15)
    assert widths[1] < widths[0] / 5


@given(PAIRS)
def test_a_frontier_has_those_that_no_other_beats(pairs: list[tuple[int, int]]) -> None:
    steps = frontier([swept(i, error, macs) for i, (macs, error) in enumerate(pairs)], "macs")
    beaten = {
        (m, e) for m, e in pairs for n, f in pairs if n <= m and f <= e and (n, f) != (m, e)
    }  # fmt: skip
    assert [(step.value, step.error) for step in steps] == sorted({*pairs} - beaten)


def test_the_best_of_a_quarter_lies_where_the_errors_are_least() -> None:
    values = np.arange(100.0)
    low, middle, high = likely_best(values, (values - 50) ** 2)
    assert 40 < low < middle < high < 60


def test_arguments_that_are_numbers_are_columns() -> None:
    row = {"draw": 3, "depths": [1, 2], "groups": [[1, 2]], "word": "x", "on": True, "rate": 0.5, "macs": 9}
    assert columns(row, ["macs"]) == {"depths[0]": 1, "depths[1]": 2, "rate": 0.5}


def test_arguments_that_are_words_have_the_errors_of_each_value(tmp_path: Path) -> None:
    rows = [("silu", 0.25), ("relu", 0.5), ("relu", 0.125)]
    found = [swept(n, error) for n, (_, error) in enumerate(rows)]
    words = [replace(one, row={**one.row, "act": act}) for one, (act, _) in zip(found, rows, strict=True)]
    write_report(tmp_path, [SpaceFindings.of("s", words)], {"seed": "0"})
    page = (tmp_path / "report.html").read_text()
    for row in ("<td>act</td><td>2</td><td>0.1250</td><td>0.3125</td>", "<td>1</td><td>0.2500</td>"):
        assert row in page


@given(PAIRS)
def test_charts_are_svg_whatever_is_in_them(pairs: list[tuple[int, int]]) -> None:
    charts = [Chart("<t>", "x", [Series("s", 0, pairs, pairs, pairs)], share) for share in (False, True)]
    ElementTree.fromstring(charts_svg("a & b", charts))


def test_a_sweep_ends_with_a_report(run: Run, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    sweep = ("sweep", *SWEEP, "--out", "out")
    with no_processes():
        code, out, _ = run(*sweep)
    assert code == 0
    svg, figures = ("frontier.svg", "distribution.svg"), ("frontier.csv", "distribution.csv", "samples.csv")
    names = ("report.html", *svg, *figures)
    written = [f"wrote out/{name}" for name in names]
    specs = [line for line in out.splitlines() if line.startswith("out/best/")]
    assert out.splitlines()[-len(written) - len(specs) :] == [*written, *specs]
    with (tmp_path / "out" / "samples.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == len(specs) == 4
    for row in rows:
        history = json.loads(row["history"])
        assert float(row["error"]) == 1 - max(epoch["val_accuracy"] for epoch in history)
    best = min(rows, key=lambda row: float(row["error"]))
    assert specs[0] == f"out/best/small_narrow_{best['draw']}.yaml"
    assert run("check", *specs)[0] == 0
    assert run("build", specs[0], "-o", "built")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    code, again, _ = run(*sweep, "--report")
    assert (code, "are done" in again) == (0, False)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before


def test_a_report_of_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    code, _, err = run("sweep", *SWEEP, "--report", "--out", "none.sqlite")
    assert code == 2
    assert "E0601: there are no results of a sweep at none.sqlite" in err


def test_networks_that_failed_are_shown_with_their_reasons(run: Run, tmp_path: Path) -> None:
    found = SpaceFindings.of(
        "s", [swept(0, 0.5), *(swept(n, None, reason="E0903: the loss is <nan>") for n in (1, 2))]
    )
    write_report(tmp_path, [found], {"seed": "0"})
    page = (tmp_path / "report.html").read_text()
    assert page.count("E0903: the loss is &lt;nan&gt;") == 1
    assert "<td>2</td><td>1, 2</td><td>E0903" in page
    write_report(tmp_path, [SpaceFindings.of("s", found.failed)], {"seed": "0"})
