"""The forms of `archforge check` say the same: every diagnostic, once, at its place."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname
from xml.etree import ElementTree

import pytest
import yaml

from archforge.cli.check_formats import CheckFormat
from tests.conftest import Run
from tests.pages import ROOT

SPECS = {
    "good.yaml": "archforge: 1\ninput: [3, 8, 8]\ngraph: [{conv: 4}]\n"
    "expect: {default: {source: us, params: 16}}\n",
    "wrong.yaml": "archforge: 1\ninput: [3, 8, 8]\ngraph: [{conv: 4}]\n"
    "expect:\n  default:\n    source: us\n    params: 17\n    weights: 13\n",
    "broken.yaml": "archforge: 1\ninput: [3, 8, 8]\ngraph: [{conv: {out: 4, kernal: 3}}, {linaer: 2}]\n",
    "warned.yaml": "archforge: 1\nargs: {idle: 3}\ninput: [3, 8, 8]\ngraph: [relu]\n",
    "hostile ::%0A,é.yaml": "archforge: 1\ninput: [3, 8, 8]\n"
    'graph: [{"\\r\\n::error::y\\uffff\\u202e": 1}]\n',
}
Place = tuple[str, str, int, int]


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "nets"
    folder.mkdir()
    for name, text in SPECS.items():
        (folder / name).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def _unescaped(text: str) -> str:
    return re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)


def _of_json(text: str) -> list[Place]:
    found = [d for s in json.loads(text)["specs"] for d in (*s.get("diagnostics", ()), *s["warnings"])]
    return [(d["code"], d["span"]["file"], d["span"]["line"], d["span"]["column"]) for d in found]


def _of_github(text: str) -> list[Place]:
    *commands, _ = text.splitlines()
    places = []
    for command in commands:
        head, _, message = command.removeprefix("::").partition("::")
        given = dict(part.split("=") for part in head.partition(" ")[2].split(","))
        assert _unescaped(message)
        code = _unescaped(given["title"]).rpartition(" ")[2]
        assert head.startswith("warning" if code[0] == "W" else "error")
        places.append((code, _unescaped(given["file"]), int(given["line"]), int(given["col"])))
    return places


def _of_sarif(text: str) -> list[Place]:
    (run,) = json.loads(text)["runs"]
    assert {r["ruleId"] for r in run["results"]} == {r["id"] for r in run["tool"]["driver"]["rules"]}
    places = []
    for result in run["results"]:
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        uri = urlsplit(physical["artifactLocation"]["uri"])
        assert uri._replace(path="") == urlsplit("")
        assert result["level"] == ("warning" if result["ruleId"][0] == "W" else "error")
        region = physical["region"]
        places.append((result["ruleId"], unquote(uri.path), region["startLine"], region["startColumn"]))
    return places


def _of_junit(text: str) -> list[Place]:
    root = ElementTree.fromstring(text)
    told = [e.text or "" for e in root.iter() if e.tag in ("failure", "error", "system-out")]
    heads = re.findall(r"^(nets/.*):(\d+):(\d+): ([EW]\d{4}): ", "\n".join(told), re.MULTILINE)
    return [(code, file, int(line), int(column)) for file, line, column, code in heads]


@pytest.mark.parametrize(
    ("form", "read"), [("github", _of_github), ("sarif", _of_sarif), ("junit", _of_junit)]
)
def test_every_form_has_all_diagnostics_at_their_places(form: str, read: Any, specs: Path, run: Run) -> None:
    code, out, _ = run("check", "nets", "--format", "json")
    wanted = _of_json(out)
    assert len(wanted) >= len(SPECS)
    assert run("check", "nets", "--json")[:2] == (code, out)
    assert {place[0][0] for place in wanted} == {"E", "W"}
    code_here, out, _ = run("check", "nets", "--format", form)
    assert code_here == code
    assert sorted(read(out)) == sorted(wanted)


@pytest.mark.parametrize("form", [f for f in CheckFormat if f is not CheckFormat.TEXT])
def test_no_form_lets_a_spec_write_what_is_not_its_own(form: CheckFormat, specs: Path, run: Run) -> None:
    _, out, _ = run("check", "nets", "--format", form)
    assert not re.search("^::error::y", out, re.MULTILINE)
    assert "\u202e" not in out


@pytest.mark.parametrize(("form", "level"), [("github", "::error"), ("sarif", '"level": "error"')])
def test_warnings_that_are_mistakes_are_told_as_mistakes(
    form: str, level: str, specs: Path, run: Run
) -> None:
    code, out, _ = run("check", "nets/warned.yaml", "--format", form, "--warnings", "error")
    assert (code, level in out, "warning" in out.replace("1 warning", "")) == (2, True, False)


def test_junit_has_a_test_for_each_cell(specs: Path, run: Run) -> None:
    for path in (*(["lenet_5", "alexnet"]), "nets/wrong.yaml", "nets/warned.yaml"):
        told = json.loads(run("check", str(path), "--json")[1])
        profiles = [profile for spec in told["specs"] for profile in spec["profiles"]]
        cells = [cell for profile in profiles for cell in profile["cells"]]
        root = ElementTree.fromstring(run("check", str(path), "--format", "junit")[1])
        unchecked = sum(not profile["cells"] for profile in profiles)
        assert int(root.attrib["tests"]) == len(cells) + unchecked + 1
        assert int(root.attrib["failures"]) == sum(cell["status"] == "mismatch" for cell in cells)
        assert int(root.attrib["skipped"]) == unchecked
    code, out, _ = run("check", "nets/warned.yaml", "--format", "junit", "--require-expect")
    assert (code, ElementTree.fromstring(out).attrib["failures"]) == (1, "1")


@pytest.mark.parametrize("form", CheckFormat)
def test_a_mistake_of_the_command_line_is_whole_in_every_form(form: CheckFormat, run: Run) -> None:
    code, out, err = run("check", "nowhere.yaml", "--format", form)
    assert code == 2
    assert err.count("E0002") == 1
    assert out.count("there is no spec `nowhere.yaml`") == {CheckFormat.TEXT: 0, CheckFormat.JUNIT: 2}.get(
        form, 1
    )
    if form in (CheckFormat.JSON, CheckFormat.SARIF):
        json.loads(out)
    if form is CheckFormat.JUNIT:
        ElementTree.fromstring(out)


def test_two_forms_at_once_are_a_mistake(run: Run) -> None:
    code, out, _ = run("check", "lenet_5", "--format", "junit", "--json")
    assert code == 2
    assert "name two forms" in json.loads(out)["diagnostics"][0]["message"]


@pytest.mark.parametrize("form", CheckFormat)
def test_a_record_without_a_spec_is_a_mistake_in_every_form(form: CheckFormat, run: Run) -> None:
    code, out, err = run("check", "--record", "--format", form)
    assert (code, err.count("E0001")) == (2, 1)
    assert ("`--record` writes into specs" in out) == (form is not CheckFormat.TEXT)


def test_a_file_elsewhere_has_an_absolute_place(
    specs: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = specs.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = specs / "broken.yaml"
    (sarif,) = json.loads(run("check", str(path), "--format", "sarif")[1])["runs"]
    uri = sarif["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert Path(url2pathname(urlsplit(uri).path)) == path
    assert f"file={path}," in run("check", str(path), "--format", "github")[1]


# The plugin of pytest, in processes of their own: here it may be loaded already


def _pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and output of pytest with the plugin and no other, in a folder."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "archforge.pytest_plugin",
            "-p",
            "no:cacheprovider",
            "-v",
            *arguments,
        ],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


OUTCOME = re.compile(r"^(\S+\.(?:yaml|py)::\S+) (PASSED|FAILED|SKIPPED)", re.MULTILINE)


def test_figures_are_tests_of_pytest(specs: Path) -> None:
    (specs / "hostile ::%0A,é.yaml").unlink()
    (specs / "mistyped.yaml").write_text("archforg: 1\n")
    others = specs.parent / "others"
    others.mkdir()
    (others / "no_spec.yaml").write_text("a: 1\n")
    code, out = _pytest(specs.parent, "--archforge")
    assert code == 1
    assert dict(OUTCOME.findall(out)) == {
        "nets/broken.yaml::spec": "FAILED",
        "nets/good.yaml::spec": "PASSED",
        "nets/good.yaml::default::params": "PASSED",
        "nets/mistyped.yaml::spec": "FAILED",
        "nets/warned.yaml::spec": "PASSED",
        "nets/warned.yaml::default::expect": "SKIPPED",
        "nets/wrong.yaml::spec": "PASSED",
        "nets/wrong.yaml::default::params": "FAILED",
        "nets/wrong.yaml::default::weights": "FAILED",
    }
    assert "nets/wrong.yaml:7:13: E0503" in out
    assert "Traceback" not in out
    assert "W0301" in out
    code, out = _pytest(
        specs.parent,
        "--archforge",
        "--archforge-require-expect",
        "-W",
        "error",
        "nets/warned.yaml",
        "others/no_spec.yaml",
    )
    assert dict(OUTCOME.findall(out)) == {
        "nets/warned.yaml::spec": "FAILED",
        "nets/warned.yaml::default::expect": "FAILED",
        "others/no_spec.yaml::spec": "FAILED",
    }
    assert _pytest(specs.parent)[0] == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_fixtures_hold_networks_to_counts(specs: Path) -> None:
    (specs.parent / "test_it.py").write_text(
        'def test_same(network, assert_counts):\n    assert_counts(network("lenet_5"), output="10")\n'
        'def test_file(assert_counts):\n    assert_counts("nets/wrong.yaml", params=16, input="3x8x8")\n'
        'def test_other(assert_counts):\n    assert_counts("nets/wrong.yaml", params=17, output="4")\n'
        'def test_unknown(assert_counts):\n    assert_counts("nets/wrong.yaml", parms=17)\n'
    )
    _, out = _pytest(specs.parent, "test_it.py")
    told = dict(OUTCOME.findall(out))
    assert told.pop("test_it.py::test_same") == "PASSED"
    assert told == {
        "test_it.py::test_file": "PASSED",
        "test_it.py::test_other": "FAILED",
        "test_it.py::test_unknown": "FAILED",
    }
    assert "params 16, not 17 (-1)" in out
    assert "output 4x8x8, not 4" in out
    assert "did you mean `params`?" in out


# Files for services


def test_the_hook_and_the_action_run_commands_that_there_are(tmp_path: Path, run: Run) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert hooks[0]["args"] == ["zoo_specs"]
    spec = tmp_path / "lenet_5.yaml"
    spec.write_bytes((ROOT / "zoo_specs" / spec.name).read_bytes())
    for hook in hooks:
        program, *command = shlex.split(hook["entry"])
        assert program == "archforge"
        assert run(*command, str(spec))[0] == 0
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    script = action["runs"]["steps"][-1]
    assert set(script["env"]) == {"PATHS", "OPTIONS"}
    assert "${{" not in script["run"]
    fake = tmp_path / "archforge"
    fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m archforge "$@"\n')
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "PATHS": "lenet_5 'nowhere $(touch x)'", "OPTIONS": "--require-expect"}
    done = subprocess.run(
        ["bash", "-e", "-c", script["run"]],
        cwd=tmp_path,
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no spec `'nowhere`" in done.stdout
    assert not (tmp_path / "x").exists()
