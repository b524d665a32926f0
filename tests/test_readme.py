"""The README says what the code prints today."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import archforge
from archforge import backends
from archforge.passes import optimise
from archforge.plan import plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ archforge ([^\n]*)\n(.*?)```", README, re.DOTALL)
SPECS = re.findall(r"```yaml\n(archforge: 1\n.*?)```", README, re.DOTALL)
TYPO = """\
archforge: 1
title: A mistyped word
input: [3, 32, 32]
graph:
  - conv: {out: 8, kernal: 3}
"""


@pytest.mark.parametrize(("command", "printed"), CONSOLE, ids=[c for c, _ in CONSOLE])
def test_a_command_prints_what_the_readme_shows(command: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "typo.yaml").write_text(TYPO)
    arguments = [sys.executable, "-m", "archforge", *shlex.split(command)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=False)
    backend = re.compile(r"compiled (\w+) for \w+, \d+ steps")  # `auto` may find a faster one
    assert backend.sub(r"compiled \1", done.stdout + done.stderr) == backend.sub(r"compiled \1", printed)


def test_the_steps_of_the_build_are_those_of_numpy() -> None:
    typed = optimise(archforge.load("resnet_50").graph).graph
    steps = len(plan(typed, backends.get("numpy"), "float32").steps)
    assert f"compiled documented for numpy, {steps} steps\n" in README


@pytest.mark.parametrize("text", SPECS)
def test_a_spec_in_the_readme_builds(text: str) -> None:
    network = archforge.load(text)
    assert "stage1.0.conv1.weight" in network.params


def test_the_size_of_the_zoo() -> None:
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")  # held by test_docs
    networks, profiles, figures = re.findall(r"([\d,]+) (?:networks|profiles|documented figures)", page)[:3]
    assert f"{networks} networks in {profiles} profiles with {figures} documented figures" in README


def test_the_figures_of_the_python_section() -> None:
    network = archforge.load("resnet_50", profile="torchvision", classes=10)
    assert f"{network.counts.params:_}" in README
