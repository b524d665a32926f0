"""`archforge lint`: rules are found by being there, choose well, and find nothing in the zoo by default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archforge import driver
from archforge.analysis.lint import all_rules, lint
from archforge.code_pages import code_pages, example
from archforge.codes import CODES
from archforge.resources import zoo_folder
from archforge.spec.resolve.library import spec_files
from tests.conftest import Run
from tests.other_errors import example_file
from tests.zoo import networks

RULES = all_rules()
DEFAULT = [code for code, rule in RULES.items() if rule.by_default]
NAMES = [
    pytest.param(name, marks=[] if index % 12 == 0 else [pytest.mark.slow])
    for index, name in enumerate(networks())
]


def test_every_code_of_practice_has_a_rule() -> None:
    assert [*RULES] == [code for code in CODES if code.startswith("W05")]


@pytest.mark.parametrize("name", NAMES)
def test_the_default_rules_find_nothing_in_the_zoo(name: str) -> None:
    spec = networks()[name]
    profiles = [driver.analyse(spec, profile) for profile in spec.profile_names]
    assert [d.render() for d in lint(spec, profiles, DEFAULT)] == []


def test_no_comment_in_the_zoo_says_that_something_is_meant() -> None:
    assert [file.name for file in spec_files(zoo_folder()) if "# meant:" in file.read_text("utf-8")] == []


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        ("W0508", "input: [8, 7, 7]\ngraph: [{max_pool: {kernel: 13, padding: 6, stride: 1}}]\n"),
        ("W0509", "kind: template\nargs: {width: int}\ngraph: [{conv: =width}]\n"),
    ],
    ids=["pyramid of pools", "template with an open argument"],
)
def test_what_faithful_networks_do_breaks_no_rule(run: Run, tmp_path: Path, code: str, spec: str) -> None:
    (tmp_path / "spec.yaml").write_text(example(spec))
    (tmp_path / "net.yaml").write_text("archforge: 1\ntitle: A network\nextends: spec\nwith: {width: 8}\n")
    assert run("lint", "spec.yaml", "--select", code)[:2] == (0, "1 spec, 6 rules: 0 findings\n")


@pytest.mark.parametrize("code", RULES)
def test_a_rule_is_chosen_ignored_and_meant(run: Run, tmp_path: Path, code: str) -> None:
    path = example_file(code, code_pages()[code].wrong, tmp_path)
    by_default = RULES[code].by_default
    found, _, err = run("lint", "spec.yaml")
    assert (found, code in err) == (int(by_default), by_default)
    found, out, _ = run("lint", "spec.yaml", "--select", code.lower(), "--json")
    assert found == 1
    report = json.loads(out)
    assert {code, *DEFAULT} == {*report["rules"]}
    (problem,) = (d for d in report["found"] if d["code"] == code)
    assert run("lint", "spec.yaml", "--ignore", code)[0] == 0
    (tmp_path / "pyproject.toml").write_text(f'[tool.archforge.lint]\nselect = ["{code}"]\n')
    assert run("lint", "spec.yaml")[0] == 1
    lines = path.read_text().splitlines()
    lines[problem["span"]["line"] - 1] += f"  # meant: {code} on purpose"
    path.write_text("\n".join(lines) + "\n")
    assert run("lint", "spec.yaml")[::2] == (0, "")
    assert run("check", "spec.yaml")[::2] == (0, "")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('select = ["W0599"]', "names no rule: `W0599`"),
        ('ignore = ["all"]', "names no rule: `all`"),
        ('selct = ["W0503"]', "did you mean `select`?"),
        ('select = "W0503"', "is no list of codes"),
        ("select = [", "cannot be read"),
    ],
)
def test_a_wrong_choice_is_a_mistake(run: Run, tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.archforge.lint]\n{table}\n")
    code, out, err = run("lint", "lenet_5")
    assert (code, out) == (2, "")
    assert err.startswith("E0001")
    assert says in err


@pytest.mark.parametrize("text", ["", "tool = 3\n", "[tool]\narchforge = 3\n", "[tool.other]\nselect = 3\n"])
def test_a_project_that_chooses_nothing_has_the_default_rules(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    code, out, _ = run("lint", "lenet_5", "--json")
    assert (code, json.loads(out)["rules"]) == (0, [*DEFAULT])


def test_mistakes_and_warnings_of_a_check_are_told_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(example("graph: [rellu]\n"))
    (tmp_path / "b.yaml").write_text(example("args: {width: 8}\ngraph: [{conv: 8}]\n"))
    code, out, err = run("lint", ".")
    assert code == 2
    assert "E0301" in err
    assert "W0301" in err
    assert out == "2 specs, 6 rules: 1 finding\n"
    assert run("lint", ".", "--select", "W9")[0] == 2
