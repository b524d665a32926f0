"""Spaces: what is drawn, counted and kept, and the samples as rows and as specs."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import archforge
from archforge import driver
from archforge.analysis import sampling
from archforge.analysis.counts import count_folded
from archforge.analysis.network import SpaceFacts
from archforge.analysis.sampling import Sampling
from archforge.draws import shares
from archforge.errors import DiagnosticError, SourceFile
from archforge.resources import zoo_folder
from archforge.spec.binding.environment import Budget
from archforge.spec.expand import space
from archforge.spec.expand.expand import expand_folded
from archforge.spec.expand.space import Space
from archforge.spec.resolve.library import spec_files
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.ranges import Range, parse_range
from archforge.spec.yaml.tree import Mapping as MappingTree
from archforge.spec.yaml.tree import parse_yaml
from tests.conftest import Run
from tests.zoo import networks

SPACES = {
    spec.name: spec
    for path in spec_files(zoo_folder())
    if "kind: space" in path.read_text("utf-8")
    for spec in [driver.open_spec(path)]
}
PROFILES = [(spec, name) for spec in SPACES.values() for name in spec.profile_names]
profiles = pytest.mark.parametrize(
    ("spec", "profile"), PROFILES, ids=[f"{spec.name}-{name}" for spec, name in PROFILES]
)
SMALL: dict[str, Any] = {
    "archforge": 1,
    "kind": "space",
    "input": [3, 8, 8],
    "args": {"width": {"int": [16, 64], "step": 8}, "depth": {"int": [1, 3]}, "area": "=width*width"},
    "constraints": ["=width > 16"],
    "profiles": {"plain": {}, "wide": {"width": {"choice": [128]}}},
    "graph": [{"conv": "=width", "repeat": "=depth"}],
}


def range_of(text: str) -> Range:
    tree = parse_yaml(SourceFile("range", text))
    assert isinstance(tree, MappingTree)
    return parse_range(tree)


# Counts


@pytest.mark.parametrize("name", networks())
def test_nodes_that_are_folded_count_as_they_do_one_by_one(name: str) -> None:
    spec = networks()[name]
    folded = expand_folded(spec, spec.profile(None), {}, None, {})
    if folded is not None:  # else parameters are shared
        assert count_folded(folded) == driver.analyse(spec).counts


def test_repeated_blocks_are_folded() -> None:
    spec = networks()["resnet_152"]
    folded = expand_folded(spec, spec.profile("torchvision"), {}, None, {})
    assert folded is not None
    nodes, drafts = len(driver.analyse(spec, "torchvision").graph.nodes), len(folded.drafts)
    assert drafts < nodes / 3


BLOCKS: dict[str, Any] = {
    "archforge": 1,
    "input": [4, 8, 8],
    "args": {"tail": [{"let": {"seen": "=x.channels"}}, "relu"]},
    "blocks": {
        "beside": {"body": [{"side": [{"conv": 8}], "as": "aux"}, {"conv": "=input.channels"}]},
        "typed": {"args": {"n": 1}, "body": [{"conv": "=4 if n == 1 else 2"}, {"pad": "=int(n)"}]},
        "through": {"body": [{"conv": 4, "when": "=input.height > 8"}]},
        "handed": {"args": {"to": "steps"}, "body": ["=to"]},
        "within": {"args": {"n": "int"}, "body": [{"typed": "=n"}, {"typed": "=n"}, "beside"]},
        "spec_steps": {"body": ["=tail", {"conv": 4}]},
    },
    "graph": [
        *("beside", "beside", "through", "through"),
        *({"typed": 1}, {"typed": 1.0}, {"typed": 1}, {"conv": 4}),
        *({"within": 1}, {"within": 1}, {"within": 1}),
        {"handed": {"to": [{"conv": 4}]}},
        {"handed": {"to": [{"conv": 8}]}},
        *({"conv": 4}, "spec_steps", "spec_steps"),
    ],
}


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_beside_the_path_or_shared_counts_once(shared: bool) -> None:
    steps = [{"conv": 4, "share": "one"} for _ in "12"] if shared else []
    spec = driver.open_spec(BLOCKS | {"graph": [*steps, *BLOCKS["graph"]]})
    folded = expand_folded(spec, spec.profile(None), {}, None, {})
    assert (folded is None) is shared
    if folded is not None:
        assert count_folded(folded) == driver.analyse(spec).counts


# Activations in millions. Source: pycls, MODEL_ZOO.md.
ACTIVATIONS = {
    "regnet_x": {
        "200mf": 2.2,
        "400mf": 3.1,
        "800mf": 5.1,
        "1_6gf": 7.9,
        "3_2gf": 11.4,
        "8gf": 14.1,
        "32gf": 36.3,
    },
    "regnet_y": {
        "200mf": 2.2,
        "400mf": 3.9,
        "800mf": 5.2,
        "1_6gf": 8.0,
        "3_2gf": 11.3,
        "8gf": 18.0,
        "32gf": 30.3,
    },
}


@pytest.mark.parametrize("family", ACTIVATIONS)
def test_activations_are_those_that_the_authors_print(family: str) -> None:
    for size, printed in ACTIVATIONS[family].items():
        counts = archforge.load(f"{family}_{size}", "timm").counts
        assert round(counts.activations / 1e6, 1) == printed, size


@profiles
def test_a_sample_has_the_counts_of_its_network(spec: Spec, profile: str) -> None:
    for sample in islice(Sampling(Space(spec, profile)), 2):
        network = sample.network()
        assert network.counts == sample.counts
        assert {**network.expansion.args}.items() >= sample.arguments.items()


# Draws

SHARES = ["0x1.fcc8eee30a34ep-2", "0x1.5dc2c1cd14e60p-1"]
ANYNET_X = {
    "depths": [6, 1, 14, 2],
    "drawn_widths": [24, 8, 144, 40],
    "ratios": [1, 2, 4, 2],
    "group_widths": [1, 1, 2, 2],
}
REGNET_X = {"depth": 23, "w0": 32, "wa": 10.6, "wm": 2.236, "group": 32}


def test_draws_are_the_same_everywhere() -> None:
    assert [share.hex() for share in shares(1, "widths", 7, count=2)] == SHARES
    assert next(Space(SPACES["anynet_x"]).draws(1)).values == ANYNET_X
    assert next(Space(SPACES["regnet_x"], "paper").draws(1)).values == REGNET_X


RANGES = [
    *(
        "{int: [3, 7]}",
        "{int: [8, 64], step: 8}",
        "{int: [8, 64], step: 8, log: true}",
        "{int: [-4, 4], step: 4}",
    ),
    *("{int: [1, 16], log: true}", "{float: [0.5, 2.5]}", "{float: [0.5, 2.5], log: true}"),
    *("{float: [0.1, 0.3], step: 0.1}", "{float: [0.1, 2.3], step: 0.1, log: true}", "{float: [1, 1]}"),
    *(
        "{choice: [1, 2, 4]}",
        "{choice: [relu, silu, true, 1, [1, 2]]}",
        "{int: [1000000000000, 1000000000001]}",
    ),
]


@pytest.mark.parametrize("text", RANGES)
def test_all_that_a_range_draws_is_in_it_and_its_ends_are_drawn(text: str) -> None:
    found = range_of(text)
    drawn = [found.drawn([k / 4096]) for k in range(4096)] + [found.drawn([1 - 2**-53])]
    if found.choices:
        assert {repr(value) for value in drawn} == {repr(value) for value in found.choices}
        return
    assert all(type(value) is (int if found.is_whole else float) for value in drawn)
    assert drawn == sorted(drawn)
    if found.step is not None:
        numbers = [found.low + k * found.step for k in range(int((found.high - found.low) / found.step) + 1)]
        assert found.size == len(numbers)
        assert {Decimal(str(value)) for value in drawn} == {*numbers}
    else:
        assert found.size is None
        assert float(found.low) == drawn[0]
        assert drawn[-1] == pytest.approx(float(found.high), rel=1e-12)


@pytest.mark.parametrize(("text", "low", "step"), [("{int: [1, 16], log: true}", 1, 1), (RANGES[2], 8, 8)])
def test_a_logarithmic_range_has_the_chances_of_its_scale(text: str, low: int, step: int) -> None:
    found, number = range_of(text), 20_000
    drawn = [found.drawn([(k + 0.5) / number]) for k in range(number)]
    start, high = low - min(step, low / 2), int(found.high)
    for value in range(low, high + 1, step):
        share = sum(v <= value for v in drawn) / number
        assert share == pytest.approx(math.log(value / start) / math.log(high / start), abs=1e-4)


def test_draws_are_spread_evenly() -> None:
    drawn = [share for number in range(2_000) for share in shares(3, "x", number, count=4)]
    assert len({*drawn}) == len(drawn)
    for tenth in range(10):
        assert sum(tenth <= 10 * share < tenth + 1 for share in drawn) == pytest.approx(800, abs=120)


@profiles
def test_the_same_seed_gives_the_same_samples_and_more_of_them_begin_with_those(
    spec: Spec, profile: str
) -> None:
    few, many, others = (
        [draw.values for draw in islice(Space(spec, profile).draws(seed), number)]
        for seed, number in ((1, 3), (1, 5), (2, 3))
    )
    assert many[:3] == few
    assert others != few


def test_constraints_hold_for_what_is_drawn() -> None:
    drawn = archforge.sample("anynet_x", 10, "e")
    assert all(s.arguments[n] == sorted(s.arguments[n]) for s in drawn for n in ("depths", "widths"))
    assert all(len({*s.arguments[n]}) == 1 for s in drawn for n in ("ratios", "group_widths"))
    assert {len(s.arguments["depths"]) for s in archforge.sample("regnet_x", 10)} == {4}


def test_any_number_of_samples_may_be_asked_for() -> None:
    drawn = Sampling(Space(driver.open_spec(SMALL))).take(10**30)
    assert [sample.draw.number for sample in islice(drawn, 2)] == [0, 1]


def test_a_value_that_is_given_is_not_drawn() -> None:
    (drawn,) = archforge.sample(SMALL, 1, width=40)
    assert drawn.row().keys().isdisjoint(("width", "area"))
    assert drawn.network().expansion.args["area"] == 1600


# Sizes


def test_the_sizes_of_spaces_are_those_of_the_paper() -> None:
    """Table 1 of arXiv:2003.13678."""
    found = {name: Space(SPACES["anynet_x"], name).combinations for name in "abcde"}
    shared = (16 * 128) ** 4 * 3 * 6
    assert found == {
        "a": (16 * 128 * 3 * 6) ** 4,
        "b": (16 * 128 * 6) ** 4 * 3,
        "c": shared,
        "d": shared,
        "e": shared,
    }
    assert [f"{found[name]:.1e}" for name in "abc"] == ["1.8e+18", "6.8e+16", "3.2e+14"]
    assert [f"{shared / math.factorial(4) ** n:.1e}" for n in (1, 2)] == ["1.3e+13", "5.5e+11"]
    # In order, equal neighbours among them, as the constraints of D and E have it.
    depths, widths = math.comb(16 + 3, 4), math.comb(128 + 3, 4)
    assert [f"{n * widths * 18:.1e}" for n in (16**4, depths)] == ["1.4e+13", "8.2e+11"]
    # RegNet has 64 values for each of four arguments there; here steps are finer, and the ratio is 1.
    assert f"{64**4 * 6 * 3:.1e}" == "3.0e+08"
    for name in ("regnet_x", "regnet_y"):
        assert Space(SPACES[name], "paper").combinations == 63 * 31 * 2550 * 1501 * 6


# Conditions


def test_a_condition_keeps_what_it_says() -> None:
    every = archforge.sample(SMALL, 40)
    kept = archforge.sample(SMALL, 10, where="2e3 <= params <= 4e3 and depth < 3")
    meeting = [s.row() for s in every if 2e3 <= s.counts.params <= 4e3 and s.arguments["depth"] < 3]
    assert [s.row() for s in kept][: len(meeting)] == meeting
    assert meeting


@pytest.mark.parametrize(
    ("where", "code", "told"),
    [
        ("flops < 3", "E0302", "multiply-accumulates"),
        ("widht < 3", "E0302", "did you mean `width`?"),
        ("macs <", "E0303", ""),
        ("", "E0303", ""),
        ("macs", "E0308", "`where` is true or false"),
        ("macs < 'a'", "E0305", ""),
        ("[1][depth] == 1", "E0305", ""),
        ("params < 1", "E0323", "`params` was 96 to "),
    ],
)
def test_a_condition_that_is_none_is_refused(
    where: str, code: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MOST_REFUSED", 100)
    with pytest.raises(DiagnosticError) as refusal:
        archforge.sample(SMALL, 1, where=where)
    (found,) = refusal.value.diagnostics
    assert found.code == code
    assert told in found.message + found.help


def test_what_nothing_meets_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_REFUSED", 100)
    monkeypatch.setattr(space, "MOST_DRAWS", 200)
    empty = Space(driver.open_spec(SMALL | {"constraints": ["=width < 16"]}))
    with pytest.raises(DiagnosticError, match="E0323"):
        next(empty.draws(0))
    assert empty.drawn == 200
    nothing = Sampling(Space(driver.open_spec(SMALL)), where="params < 1")
    with pytest.raises(DiagnosticError, match="E0323"):
        next(iter(nothing))
    assert nothing.counted == 100


@pytest.mark.parametrize(
    "change",
    [
        {"args": SMALL["args"] | {"more": "=[width] * 100000"}},
        {"graph": [{"conv": "=width", "repeat": "=10 ** 8"}]},
        {"constraints": ["=sum([sum(range(10000)) for i in range(10000)]) > width"]},
    ],
)
def test_hostile_spaces_are_stopped(change: dict[str, Any]) -> None:
    with pytest.raises(DiagnosticError, match=r"E03(05|17)"):
        archforge.sample(SMALL | change, 1)


def test_draws_that_take_long_end_with_the_budget_of_all() -> None:
    budget = Budget(draws=3_000)
    empty = Space(driver.open_spec(SMALL | {"constraints": ["=sum(range(90)) < 0"]}), budget=budget)
    with pytest.raises(DiagnosticError, match=r"E0323: none of [0-9]+ draws in a row meets"):
        next(empty.draws(0))
    assert 1 < empty.drawn < 50
    with pytest.raises(DiagnosticError, match=r"E0317: .* items that the draws of a space"):
        next(Space(driver.open_spec(SMALL), budget=budget).draws(0))


@pytest.mark.parametrize(
    ("number", "shown"),
    [(999_999, "999,999"), (10**6, "1.0e6"), (997 * 10**4, "1.0e7"), (2 * 10**400, "2.0e400")],
)
def test_any_number_of_combinations_is_told(number: int, shown: str) -> None:
    facts = SpaceFacts("paper", number, "3x8x8", 2, 2)
    assert facts.size == f"{shown} combinations"
    assert json.loads(json.dumps(facts.to_json()))["combinations"] == (shown if number > 10**300 else number)


# Files and commands


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_are_those_of_python(form: str, run: Run) -> None:
    code, out, err = run(
        "sample", "anynet_x", "-n", "3", "--seed", "1", "--format", form, "--where", "macs < 1e9"
    )
    rows = [s.row() for s in archforge.sample("anynet_x", 3, seed=1, where="macs < 1e9")]
    assert code == 0
    assert err.startswith("kept 3 of ")
    if form == "jsonl":
        assert [json.loads(line) for line in out.splitlines()] == rows
        return
    read = list(csv.DictReader(io.StringIO(out)))
    assert [list(row) for row in read] == [list(row) for row in rows]
    assert [{k: json.loads(v) for k, v in row.items()} for row in read] == rows


def test_steps_that_follow_from_what_is_drawn_are_a_word(run: Run, tmp_path: Path) -> None:
    args = SMALL["args"] | {"one": [{"conv": 8}], "two": ["relu"], "tail": "=one if depth == 1 else two"}
    (tmp_path / "mine.yaml").write_text(json.dumps(SMALL | {"args": args, "graph": ["=tail"]}), "utf-8")
    code, out, _ = run("sample", "mine.yaml", "-n", "20", "--format", "jsonl", "-p", "plain")
    assert code == 0
    tails = [json.loads(line)["tail"] for line in out.splitlines()]
    assert all(tail in ("steps", ["relu"]) for tail in tails)
    assert "steps" in tails


@profiles
def test_samples_are_specs_that_check_and_give_the_same_counts(
    spec: Spec, profile: str, run: Run, tmp_path: Path
) -> None:
    code, out, _ = run("sample", spec.name, "-p", profile, "-n", "2", "-o", str(tmp_path))
    paths = [Path(line) for line in out.splitlines()]
    assert code == 0
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path, sample in zip(paths, archforge.sample(spec.name, 2, profile), strict=True):
        network = archforge.load(path)
        assert network.ok
        assert network.cells
        assert not network.warnings
        assert network.counts == sample.counts


def test_samples_of_a_file_lie_beside_a_copy_of_it(run: Run, tmp_path: Path) -> None:
    text = json.dumps(SMALL | {"extends": "parts/base", "graph": None} | {"args": SMALL["args"]})
    base = {"archforge": 1, "kind": "template", "args": {"width": 8, "depth": 1}, "graph": SMALL["graph"]}
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "base.yaml").write_text(json.dumps(base), "utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(', "graph": null', ""), "utf-8")
    given = ("--set", "depth=2", "--set", "conv.kernel=3", "--shape", "3x16x16")
    code, out, err = run("sample", str(file), "-n", "2", "-o", str(tmp_path / "drawn"), *given)
    assert (code, err.count("kept 2")) == (0, 1)
    for path in out.splitlines():
        network = archforge.load(path)
        assert network.ok
        assert len(network.graph.nodes) == 2
        assert network.graph.inputs["input"].shape == (3, 16, 16)
        assert network.graph.nodes[0].op.attributes()["kernel"] == 3
    assert file.read_text("utf-8") == text.replace(', "graph": null', "")


def test_samples_beside_their_space_leave_it_as_it_is(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(SMALL), "utf-8")
    before = file.stat().st_mtime_ns
    assert run("sample", str(file), "-n", "1", "-o", str(tmp_path))[0] == 0
    assert file.stat().st_mtime_ns == before


def test_a_space_that_is_no_file_has_no_specs(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(SMALL)))
    code, _, err = run("sample", "-", "-o", str(tmp_path / "drawn"))
    assert code == 2
    assert "save it as a file" in err
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(
    "command", ["build", "show", "export --to dot", "profile", "train --data digits", "fold", "run --seed 1"]
)
def test_what_takes_a_network_names_the_way_out_of_a_space(command: str, run: Run) -> None:
    word, *options = command.split()
    code, out, err = run(word, "anynet_x", *options)
    assert code == 2
    assert out == ""
    assert "archforge sample anynet_x" in err


def test_samples_of_a_profile_that_the_space_names(run: Run) -> None:
    assert run("sample", "anynet_x@e", "-n", "2") == run("sample", "anynet_x", "-p", "e", "-n", "2")
    code, out, err = run("sample", "anynet_x@e", "-p", "e")
    assert (code, out) == (2, "")
    assert "the profile e changes nothing" in err


def test_a_form_of_rows_is_none_of_specs(run: Run, tmp_path: Path) -> None:
    code, out, err = run("sample", "anynet_x", "--format", "csv", "-o", str(tmp_path / "drawn"))
    assert (code, out) == (2, "")
    assert "`--format csv` changes nothing for specs" in err
    assert not (tmp_path / "drawn").exists()


def test_a_network_is_no_space(run: Run) -> None:
    code, out, err = run("sample", "resnet_50")
    assert (code, out) == (2, "")
    assert "resnet_50 is no space" in err


def test_the_list_and_the_check_show_spaces(run: Run) -> None:
    for command in ("list", "check"):
        code, out, _ = run(command, "anynet_x", "resnet_18")
        assert code == 0
        assert "1.8e18 combinations" in out
    code, out, _ = run("check", "anynet_x", "--json")
    (found,) = json.loads(out)["specs"]
    assert found["spaces"][0]["combinations"] == (16 * 128 * 3 * 6) ** 4
    code, out, _ = run("check", "anynet_x", "-p", "e")
    assert (code, out.count("combinations")) == (0, 1)


def test_samples_as_parquet_are_the_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    command = [sys.executable, "-m", "archforge", "sample", "anynet_x", "-p", "a", "-n", "3"]
    done = subprocess.run([*command, "--format", "parquet"], capture_output=True, check=True)
    (tmp_path / "x.parquet").write_bytes(done.stdout)
    found = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert found == [sample.row() for sample in archforge.sample("anynet_x", 3, "a")]


def test_parquet_without_its_package_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = run("sample", "anynet_x", "--format", "parquet")
    assert (code, out) == (2, "")
    assert "E0701: Parquet needs pyarrow" in err
