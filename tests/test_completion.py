"""Completion in shells: words that the commands take, and none that they do not."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge.cli.commands import COMMANDS
from archforge.cli.completed_words import completed
from archforge.cli.completion import Shell
from archforge.errors import DiagnosticError
from tests.conftest import Run
from tests.zoo import networks

KNOWN = [
    "show",
    "diff",
    "resnet_18",
    "-p",
    "--profile",
    "--format",
    "resnet_18@",
    "explain",
    "weights",
    "",
    "--",
    "-",
    "@",
    "x",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_completed_and_begins_as_typed(run: Run, command: str) -> None:
    _, text, _ = run(*command.split(), "--help")
    options = completed([*command.split(), "--"])
    assert "--help" in options
    text = text.replace("--[no-]", "--")
    assert [o for o in options if o not in text and o.replace("--no-", "--") not in text] == []
    *words, last = command.split()
    assert last in completed([*words, last[:2]])


def test_specs_profiles_and_names() -> None:
    assert {*networks()} <= {*completed(["show", ""])}
    assert completed(["show", "resnet_50", "-p", "t"]) == ["torchvision", "timm"]
    assert completed(["diff", "resnet_50@k"]) == ["resnet_50@keras"]
    assert completed(["diff", "resnet_50@keras", "resnet_101@k"]) == ["resnet_101@keras"]
    assert completed(["explain", "resnet_50", "layer2.0.c"]) == [f"layer2.0.conv{n}" for n in (1, 2, 3)]
    assert completed(["explain", "resnet_50", "lay"]) == [f"layer{n}." for n in (1, 2, 3, 4)]


def test_words_of_options() -> None:
    assert completed(["check", "--warnings", "e"]) == ["error"]
    assert completed(["diff", "a", "b", "--format", ""]) == ["text", "json", "markdown"]
    assert completed(["build", "a", "--backend", "nump"]) == ["numpy"]
    assert completed(["export", "a", "--to", "dot"]) == ["dot"]
    assert completed(["show", "a", "--depth", ""]) == []
    assert completed(["weights", ""]) == ["convert"]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(KNOWN) | st.text(max_size=5), max_size=5))
def test_any_line_is_completed_by_what_goes_on_from_it_or_by_nothing(words: list[str]) -> None:
    with contextlib.suppress(DiagnosticError):  # of a spec that is not there: for a shell, nothing fits
        assert all(word.startswith(words[-1] if words else "") for word in completed(words))


@pytest.mark.parametrize("shell", Shell)
def test_a_script_for_each_shell(run: Run, shell: Shell, tmp_path: Path) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert "archforge completion words" in out
    binary = shutil.which(shell)
    if binary:
        (tmp_path / "script").write_text(out)
        check = subprocess.run(
            [binary, "-n", tmp_path / "script"], capture_output=True, text=True, check=False
        )
        assert (check.returncode, check.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_what_is_behind_its_own_marks(run: Run, tmp_path: Path) -> None:
    _, script, _ = run("completion", "bash")
    program = tmp_path / "archforge"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m archforge "$@"\n')
    program.chmod(0o755)
    lines = {
        "archforge sho": "show",
        "archforge diff resnet_50@k": "keras",
        "archforge check --warnings e": "error",
    }
    for line, word in lines.items():
        asked = f"COMP_LINE={line!r} COMP_POINT={len(line)}; _archforge; echo ${{COMPREPLY[*]}}"
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{asked}"],
            env={
                **os.environ,
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [word]


def test_what_is_not_needed_is_not_loaded(tmp_path: Path) -> None:
    program = """
import sys
from archforge.cli import main
sys.argv = ["archforge", "completion", "words", "show", "resnet_5"]
try:
    main()
except SystemExit:
    pass
print(sorted({"numpy", "pydantic", "typer", "yaml"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["resnet_50", "resnet_56_cifar", "[]"]
