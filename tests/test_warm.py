"""`archforge warm`, and what a terminal is told of compiling."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archforge.backends import available

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

SPEC = """archforge: 1
input: [3, 9, 9]
graph: [relu, {flatten: {}}]
"""


def warmed(folder: Path, *arguments: str, cache: str = "cache") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "archforge", "warm", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ
        | {"ARCHFORGE_CACHE": str(folder / cache), "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )


def warm(folder: Path, *arguments: str) -> str:
    done = warmed(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_network_is_warmed_once(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    first, second = warm(tmp_path, "small.yaml").splitlines()
    number = int(first.removeprefix("1 network: compiled ").removesuffix(" functions"))
    assert number > 1
    assert second.startswith(f"{tmp_path / 'cache' / 'code'} holds {number} functions, ")
    again = warm(tmp_path, "small.yaml", "--batch", "1", "--low-memory")
    assert again.splitlines() == ["1 network: compiled 0 functions", second]


def test_a_cache_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    done = warmed(tmp_path, "small.yaml", cache="small.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    folder = tmp_path / "small.yaml" / "code"
    assert done.stderr == f"E0705: cannot make the folder {folder}: not a directory\n"


def test_what_is_compiled_is_logged_for_whoever_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from archforge.backends.numba.microkernels.window_tiles import Reduction
    from archforge.backends.numba.toolchain import machine_code as native
    from archforge.backends.numba.toolchain.machine import machine

    monkeypatch.setenv("ARCHFORGE_CACHE", str(tmp_path))
    library = native._Library(machine())
    with caplog.at_level("INFO", "archforge"):
        library.address(Reduction(machine().lanes, "max"))
        library.address(Reduction(machine().lanes, "max"))
    assert [r.getMessage() for r in caplog.records] == [
        f"compiling global_max_{machine().lanes} for this machine, once"
    ]
