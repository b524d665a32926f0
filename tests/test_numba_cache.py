"""Machine code between processes: what the cache keeps, what it survives, and what fills it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from archforge.backends import available
from archforge.backends.numba.cache import code_sizes, read_code, write_code
from archforge.errors import DiagnosticError

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

ROOT = Path(__file__).parents[1]

# Whether Numba was needed, how many functions were compiled, and what came out.
COMPUTES = """
import sys
from archforge.backends import get
from archforge.plan import load, plan
from archforge.weights import rule_input, rule_weights
from tests.graphs import graph, node
typed = graph(node("relu", "relu", "input"), inputs={"input": (20, 9, 8)})
y = load(plan(typed, get("numba"), "float32"), {}).run({"input": rule_input((1, 20, 9, 8))}).outputs["output"]
from archforge.backends.numba.native import compiled_here
print("numba" in sys.modules, len(compiled_here()), float(y.sum()))
"""


def started(code: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"ARCHFORGE_CACHE": str(folder)} | environment,
    )


def computed(folder: Path, **environment: str) -> tuple[bool, int, float]:
    return result_of(started(COMPUTES, folder, **environment))


def result_of(process: subprocess.Popen[str]) -> tuple[bool, int, float]:
    out, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    numba, compiled, total = out.split()
    return numba == "True", int(compiled), float(total)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[bool, int, float]]:
    """A cache, and what the process that filled it said."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, computed(folder)


def copy_of(folder: Path, target: Path) -> Path:
    for path in (folder / "code").iterdir():
        (target / "code").mkdir(exist_ok=True)
        (target / "code" / path.name).write_bytes(path.read_bytes())
    return target


def damage_nothing(path: Path) -> None:
    """The next process finds all that it needs."""


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_nothing, cut_short, scribble, empty, Path.unlink])
def test_a_second_process_compiles_only_what_the_cache_lacks(
    damage: Callable[[Path], None], filled: tuple[Path, tuple[bool, int, float]], tmp_path: Path
) -> None:
    folder, (numba, compiled, y) = filled
    assert numba
    assert compiled == len(list((folder / "code").iterdir())) > 1
    copy_of(folder, tmp_path)
    damaged = next(path for path in (tmp_path / "code").iterdir() if path.name.startswith("run_steps"))
    damage(damaged)
    lacking = damage is not damage_nothing
    assert computed(tmp_path) == (lacking, int(lacking), y)
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path)}):
        assert read_code(damaged.name)  # whole again


def test_processes_fill_a_cache_together(
    filled: tuple[Path, tuple[bool, int, float]], tmp_path: Path
) -> None:
    _, (_, compiled, y) = filled
    together = [started(COMPUTES, tmp_path) for _ in range(3)]
    assert {result_of(process)[2] for process in together} == {y}
    assert len(list((tmp_path / "code").iterdir())) == compiled
    assert computed(tmp_path) == (False, 0, y)


def test_a_cache_that_cannot_be_written_hinders_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert computed(file / "folder")[0]


def test_what_is_in_a_place_that_cannot_be_written_is_used(tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path)}):
        write_code("kept.o", b"code")
        refuse = mock.Mock(side_effect=PermissionError)
        os.utime(tmp_path / "code" / "kept.o", (0, 0))
        with mock.patch("os.utime", refuse), mock.patch("pathlib.Path.open", refuse):
            write_code("other.o", b"code")
            assert refuse.call_count == 1
        with mock.patch("os.utime", refuse):
            assert read_code("kept.o") == b"code"
        assert refuse.call_count == 2
        assert read_code("other.o") == b""


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path), "ARCHFORGE_CACHE_LIMIT": "1"}):
        for age, name in enumerate(["new", "middle", "old"]):
            write_code(name, bytes(300 << 10))
            past = time.time() - (age + 2) * 3600
            os.utime(tmp_path / "code" / name, (past, past))
        (tmp_path / "code" / ".half-written").write_bytes(bytes(100 << 10))
        os.utime(tmp_path / "code" / ".half-written", (0, 0))
        assert read_code("old")  # and is used now
        write_code("newest", bytes(300 << 10))
        assert {path.name for path in (tmp_path / "code").iterdir()} == {"new", "old", "newest"}
        assert sum(code_sizes()) <= 1 << 20


def test_a_limit_of_nothing_keeps_nothing_and_one_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path), "ARCHFORGE_CACHE_LIMIT": "0"}):
        write_code("code", b"code")
        assert code_sizes() == []
        os.environ["ARCHFORGE_CACHE_LIMIT"] = "much"
        with pytest.raises(DiagnosticError, match="ARCHFORGE_CACHE_LIMIT=much is no number of MiB"):
            write_code("code", b"code")
