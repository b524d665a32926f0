"""Warnings as a user meets them: printed by each command, in JSON and in Python, and refused on request.

The warnings themselves are in `warned_specs`, which test_errors.py holds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import archforge
from archforge.errors import MAX_REPORTED
from tests.conftest import Run

WARNED = """\
archforge: 1
title: Warned
input: [1, 3, 8, 8]
graph:
  - {conv: {out: 2, kernel: 3}, name: stem}
"""
LINE = "warned.yaml:3:8: W0401: the input is a volume with 1 channel, 3 deep\n"
COMMANDS = {
    "check": (),
    "build": ("--backend", "numpy"),
    "show": (),
    "run": ("--backend", "numpy"),
    "export": ("--to", "graph"),
}
commands = pytest.mark.parametrize("command", COMMANDS)


@commands
def test_a_command_tells_of_warnings_and_goes_on(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "warned.yaml").write_text(WARNED)
    code, _, err = run(command, "warned.yaml", *COMMANDS[command])
    assert code == 0
    assert err.count(LINE) == 1


@commands
def test_a_command_can_refuse_them_and_then_writes_nothing(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "warned.yaml").write_text(WARNED)
    code, _, err = run(command, "warned.yaml", *COMMANDS[command], "--warnings", "error")
    assert code == 2
    assert err.count(LINE) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["warned.yaml"]


@commands
def test_a_comment_says_that_a_warning_is_meant(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "warned.yaml").write_text(WARNED.replace("8]\n", "8] # meant: W0401 films\n"))
    code, _, err = run(command, "warned.yaml", *COMMANDS[command], "--warnings", "error")
    assert code == 0
    assert "W0" not in err


@commands
def test_the_meanings_of_a_warning_are_two(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "warned.yaml").write_text(WARNED)
    code, _, err = run(command, "warned.yaml", *COMMANDS[command], "--warnings", "none")
    assert code == 2
    assert "--warnings" in err


@pytest.mark.parametrize("command", ["check", "build", "export"])
def test_json_has_them(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "warned.yaml").write_text(WARNED)
    code, out, _ = run(command, "warned.yaml", *COMMANDS[command], "--json")
    told = json.loads(out)
    assert (code, told["ok"]) == (0, True)
    (warning,) = told["specs"][0]["warnings"] if command == "check" else told["warnings"]
    assert warning["code"] == "W0401"
    assert warning["span"] == {"file": "warned.yaml", "line": 3, "column": 8, "length": 12}
    code, out, _ = run(command, "warned.yaml", *COMMANDS[command], "--json", "--warnings", "error")
    assert (code, json.loads(out)["ok"]) == (2, False)


def test_the_summary_counts_them(run: Run, tmp_path: Path) -> None:
    (tmp_path / "warned.yaml").write_text(WARNED)
    _, out, _ = run("check", "warned.yaml")
    assert out == (
        "! warned                       default unchecked\n"
        "1 network, 1 profile, 0 cells: 0 ok, 1 profile unchecked, 1 warning\n"
    )


def test_a_loaded_network_has_them() -> None:
    (warning,) = archforge.load(WARNED).warnings
    assert (warning.code, warning.is_warning) == ("W0401", True)


def test_as_many_are_told_as_mistakes(tmp_path: Path) -> None:
    comments = "".join(f"  - relu  # meant: W{n:04}\n" for n in range(2 * MAX_REPORTED))
    (tmp_path / "warned.yaml").write_text(WARNED + comments)
    (report,) = archforge.check(tmp_path)
    assert len(report.warnings) == MAX_REPORTED
