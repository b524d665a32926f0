"""Set-up of all tests: one thread, no colour, the same examples on each run, and a way to run commands."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from archforge.cli import main

# Before NumPy is imported, here and in the processes that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_COLOR"] = "1"

# What a shell starts in the background ignores Ctrl-C, and under nohup SIGHUP: so would what tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A deadline measures the machine, and a check of a change must not depend on luck.
settings.register_profile("archforge", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("archforge")

Run = Callable[..., tuple[int, str, str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts what is held of every network of the zoo one network after another, so that its laws share what
    they run on: `small_network` and `small_weights` keep the last ones."""
    moved = [*items]
    networks = {i: pair for i, item in enumerate(items) if (pair := _network(item))}
    for i, j in zip(networks, sorted(networks, key=lambda i: networks[i]), strict=True):
        moved[i] = items[j]
    items[:] = moved


def _network(item: pytest.Item) -> tuple[str, str] | None:
    """The name and profile of the network that a test is about, if it is told no more than these."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return (str(params["name"]), str(params["profile"])) if params.keys() == {"name", "profile"} else None


TINY = """\
archforge: 1
title: Tiny
input: [3, 8, 8]
args: {classes: 4}
graph:
  - {conv: {out: 5, kernel: 3}, name: stem}
  - relu
  - flatten
  - {linear: =classes, name: head}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archforge", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        gc.enable()  # a command turns it off, and what later tests leave would add up to gigabytes
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run
