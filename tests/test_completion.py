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
    assert completed(["diff", "a", "b", "--format", ""]) == ["text", "json", "markdown", "html"]
    assert completed(["check", "--format=s"]) == ["--format=sarif"]
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


# What each shell is asked for, behind the script: to print what completes <line>.
ASK = {
    Shell.BASH: "COMP_LINE='<line>' COMP_POINT=${#COMP_LINE}; _archforge; printf '%s\\n' \"${COMPREPLY[@]}\"",
    Shell.ZSH: "words=(${=:-<line>}); CURRENT=$#words; _archforge",
    Shell.FISH: "complete -C '<line>' | string replace -r '\\t.*' ''",
}
BEFORE = {Shell.ZSH: "compdef() { }; compadd() { print -l -- ${@[4,-1]} }; _files() { print -l *.onnx }\n"}


@pytest.mark.parametrize("shell", Shell)
def test_shells_complete_words_and_else_files(run: Run, shell: Shell, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    _, script, _ = run("completion", shell)
    program = tmp_path / "archforge"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m archforge "$@"\n')
    program.chmod(0o755)
    (tmp_path / "net.onnx").touch()
    cut = shell is Shell.BASH  # which puts what is behind its own marks alone
    lines = {
        "archforge sho": "show",
        "archforge diff resnet_50@k": "keras" if cut else "resnet_50@keras",
        "archforge check --warnings e": "error",
        "archforge check --format=s": "sarif" if cut else "--format=sarif",
    } | ({} if cut else {"archforge import n": "net.onnx"})
    for line, word in lines.items():
        asked = BEFORE.get(shell, "") + script + ASK[shell].replace("<line>", line)
        plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        done = subprocess.run(
            [shell, *plain, "-c", asked],
            env={
                **os.environ,
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == [word], done.stderr


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
