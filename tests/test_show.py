"""`archforge show`: what feeds what, the columns on request, graphs after a pass, and plans."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from archforge.backends import get
from archforge.cli.layer_rows import EXTRA_COLUMNS, LayerTable, step_rows
from archforge.passes import all_passes
from archforge.plan import plan
from tests.conftest import Run
from tests.graphs import graph, node

FORK = """\
archforge: 1
title: Fork
input: [3, 8, 8]
graph:
  - {conv: {out: 4, kernel: 3, padding: 1, bias: false}, name: stem}
  - {bn: {}, name: norm}
  - add:
      - [{conv: {out: 4, kernel: 3, padding: 1}, name: left}]
      - []
  - {relu: {}, name: last}
  - {max_pool: 2, name: pool}
"""


@pytest.fixture
def fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("fork.yaml").write_text(FORK)
    return "fork.yaml"


def cells(run: Run, *arguments: str) -> dict[str, dict[str, str]]:
    """The cells that a command prints, by row and column. Those of numbers end where their head ends."""
    code, out, _ = run("show", *arguments)
    assert code == 0
    head, *lines = out.splitlines()[1:]
    columns = list(re.finditer(r"\S+(?: \S+)*", head))
    edges = [0] * (len(columns) + 1)
    for at, column in enumerate(columns[1:], start=1):
        numeric = column[0] not in NAMES
        edges[at] = columns[at - 1].end() if numeric else column.start()
    edges[-1] = max(map(len, lines))
    found = {}
    for line in lines:
        parts = [line[a:b].strip() for a, b in pairwise(edges)]
        found[parts[0]] = dict(zip((column[0] for column in columns), parts, strict=True))
    return found


NAMES = ("name", "op", "attributes", "inputs", "output")


def test_inputs_are_shown_where_they_are_not_the_line_above(run: Run, fork: str) -> None:
    inputs = {name: row["inputs"] for name, row in cells(run, fork).items()}
    assert inputs.pop("stem") == "input"
    assert inputs.pop("add") == "left, norm"
    assert {*inputs.values()} == {""}


def test_a_dash_too_few_in_a_residual_shows(run: Run, tmp_path: Path) -> None:
    """All counts of the two networks are equal: only what feeds what tells them apart."""
    text = "archforge: 1\ninput: [8, 4, 4]\ngraph: [{add: [%s, []]}]\n"
    steps = "{conv: {out: 8, kernel: 3, padding: 1}}, bn, relu, {conv: {out: 8, kernel: 3, padding: 1}}"
    for name, branch in (("meant", f"[{steps}]"), ("written", steps)):
        (tmp_path / f"{name}.yaml").write_text(text % branch, encoding="utf-8")
    meant, written = (cells(run, f"{name}.yaml") for name in ("meant", "written"))
    assert meant["total"]["params"] == written["total"]["params"]
    assert [row["inputs"] for row in meant.values()] == ["input", "", "", "", "conv2, input", ""]
    branches = "conv1, bn, relu, conv2, input"
    assert [row["inputs"] for row in written.values()] == ["input"] * 4 + [branches, ""]


def test_a_value_that_is_read_twice_is_named_twice(run: Run, tmp_path: Path) -> None:
    text = "archforge: 1\ninput: [8, 4, 4]\ngraph: [relu, {add: [[], []]}]\n"
    (tmp_path / "twice.yaml").write_text(text, encoding="utf-8")
    for options in ([], ["--depth", "1"]):
        assert cells(run, "twice.yaml", *options)["add"]["inputs"] == "relu, relu"


@pytest.mark.parametrize(
    "name", ["densenet_121", "inception_v3", "lenet_5", "nasnet_a_large", "resnet_50", "unet"]
)
def test_the_table_says_the_inputs_of_every_layer(run: Run, name: str) -> None:
    rows = cells(run, name)
    above = "input"
    for row in json.loads(run("show", name, "--json")[1]):
        scope = row["name"].rpartition(".")[0]
        told = rows[row["name"]].get("inputs", "")
        read = (
            [f"{scope}{part}" if part[0] == "." else part for part in told.split(", ")] if told else [above]
        )
        assert read == row["inputs"]
        above = row["name"]


def test_joined_layers_read_what_is_outside_of_them(run: Run) -> None:
    rows = cells(run, "inception_v1", "--depth", "2")
    assert rows["inception3a.branch1"]["inputs"] == ""
    assert rows["inception3a.branch2"]["inputs"] == "maxpool2"
    assert rows["inception3a.concat"]["inputs"].split(", ")[0] == ".branch1"
    assert "inputs" not in cells(run, "resnet_18", "--depth", "1")["layer1"]


def test_columns_on_request(run: Run, fork: str) -> None:
    rows = cells(run, fork, "--with", "all")
    assert rows["stem"]["FLOPs"] == f"{2 * 4 * 8 * 8 * 3 * 9:,}"
    assert rows["left"]["receptive field"] == "5x5"
    assert rows["pool"]["receptive field"] == "6x6"
    assert rows["pool"]["stride"] == "2x2"
    assert rows["pool"]["bytes"] == f"{4 * 4 * 4 * 4}"
    # At the sum three maps are alive: both branches and the sum.
    assert rows["total"]["bytes"] == f"peak {3 * 4 * 8 * 8 * 4:,}"
    objects = json.loads(run("show", fork, "--with", "all", "--json")[1])
    assert objects[-1]["receptive_field"] == [6, 6]
    assert objects[-1]["stride"] == ["2", "2"]
    assert objects[0]["flops"] == 2 * objects[0]["macs"]


@pytest.mark.parametrize("name", EXTRA_COLUMNS)
def test_a_column_is_shown_alone(run: Run, fork: str, name: str) -> None:
    plain, more = cells(run, fork), cells(run, fork, "--with", name)
    for row, expected in plain.items():
        assert more[row].keys() - expected.keys() == {EXTRA_COLUMNS[name].head}
        assert {key: more[row][key] for key in expected} == expected


@pytest.mark.parametrize("name", all_passes())
def test_the_graph_after_each_pass(run: Run, fork: str, name: str) -> None:
    code, out, _ = run("show", fork, "--after", name)
    assert code == 0
    assert out.startswith(f"Fork, profile default, after {name}\n")


def test_a_batch_norm_is_gone_after_it_was_folded(run: Run, fork: str) -> None:
    _, out, _ = run("show", fork, "--after", "fold_batch_norm", "--json")
    rows = json.loads(out)
    assert [row["op"] for row in rows] == ["conv", "conv", "add", "relu", "max_pool"]
    assert rows[0]["params"] == 4 * 3 * 9 + 4


def test_a_plan_shows_what_is_fused_and_what_runs_on_the_reference(run: Run, fork: str) -> None:
    code, out, _ = run("show", fork, "--plan", "--backend", "numpy")
    assert code == 0
    assert out.startswith("Fork, profile default, 3 steps on numpy\n")
    assert [row["op"] for row in cells(run, fork, "--plan", "--backend", "numpy").values()] == [
        "conv", "conv+add+relu", "max_pool", "",
    ]  # fmt: skip
    rows = json.loads(run("show", fork, "--plan", "--backend", "numpy", "--json")[1])
    assert [row.get("fused", []) for row in rows] == [[], ["add", "last"], []]
    assert sum(row["macs"] for row in rows) == sum(
        row["macs"] for row in json.loads(run("show", fork, "--json")[1])
    )


def test_a_step_on_a_reference_kernel_is_marked() -> None:
    typed = graph(node("relu", "relu", "input"))
    planned = plan(typed, get("numpy"), "float32")
    steps = tuple(replace(step, is_fallback=True) for step in planned.steps)
    table = LayerTable(typed, step_rows(replace(planned, steps=steps)))
    assert "relu (reference)" in table.text(with_total=False)
    assert [row["on_reference"] for row in table.json_rows()] == [True]


@pytest.mark.parametrize(
    ("arguments", "message", "help"),
    [
        (["--with", "macs_"], "there is no column `macs_` to show", "columns: "),
        (["--with", ""], "there is no column `` to show", "columns: "),
        (["--with", "strid"], "there is no column `strid` to show", "did you mean `stride`?"),
        (
            ["--after", "fold_batchnorm"],
            "there is no pass `fold_batchnorm`",
            "did you mean `fold_batch_norm`?",
        ),
        (["--plan", "--depth", "1"], "`--plan` shows every step, after all passes", "leave out --after"),
        (["--plan", "--block", ""], "`--plan` shows every step, after all passes", "leave out --after"),
        (["--backend", ""], "`--backend` is what runs the steps of a plan", "add --plan"),
        (["--backend", "numpy"], "`--backend` is what runs the steps of a plan", "add --plan"),
        (["--plan", "--backend", "nunpy"], "there is no backend `nunpy`", "did you mean `numpy`?"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_said(
    run: Run, fork: str, arguments: list[str], message: str, help: str
) -> None:
    code, out, err = run("show", fork, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert help in err


def test_a_block_of_no_name_is_refused(run: Run, fork: str) -> None:
    code, out, err = run("show", fork, "--block", "")
    assert (code, out) == (2, "")
    assert "E0001: there is no block or scope ``" in err


@pytest.mark.parametrize("column", ["receptive_field", "stride"])
def test_strides_beyond_all_measure_are_refused(
    column: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    conv = f"conv: {{out: 1, kernel: 3, stride: {10**18}, padding: 1}}"
    Path("far.yaml").write_text(f"archforge: 1\ninput: [1, 8, 8]\ngraph:\n  - {{{conv}, repeat: 300}}\n")
    assert run("show", "far.yaml")[0] == 0
    code, out, err = run("show", "far.yaml", "--with", column)
    assert (code, out) == (2, "")
    assert "E0317: the receptive field or the stride of `conv6` has more than 101 digits" in err
