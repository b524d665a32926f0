"""`archforge warm`, and what a terminal is told of compiling."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from archforge import backends, driver
from archforge.backends import available
from archforge.backends.numpy import NumpyBackend
from archforge.errors import DiagnosticError, fail
from archforge.plan import CodeCache, Compiling, Limits, Lowering
from tests.conftest import Run

needs_numba = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

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


@needs_numba
def test_a_network_is_warmed_once(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    first, second = warm(tmp_path, "small.yaml").splitlines()
    number = int(first.removeprefix("1 network: compiled ").removesuffix(" functions"))
    assert number > 1
    assert second.startswith(f"{tmp_path / 'cache' / 'code'} holds {number} functions, ")
    again = warm(tmp_path, "small.yaml", "--batch", "1", "--low-memory")
    assert again.splitlines() == ["1 network: compiled 0 functions", second]


@needs_numba
def test_a_cache_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    done = warmed(tmp_path, "small.yaml", cache="small.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    folder = tmp_path / "small.yaml" / "code"
    assert done.stderr == (
        f"E0705: nothing can be kept in the folder {folder}: not a directory\n"
        "      help: ARCHFORGE_CACHE names another\n"
    )


@needs_numba
def test_what_is_compiled_is_logged_for_whoever_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from archforge.backends.numba.microkernels.window_tiles import Reduction
    from archforge.backends.numba.toolchain import machine_code as native
    from archforge.backends.numba.toolchain.machine import machine

    monkeypatch.setenv("ARCHFORGE_CACHE", str(tmp_path))
    library = native._LoadedCode(machine())
    with caplog.at_level("INFO", "archforge"):
        library.address(Reduction(machine().lanes, "max"))
        library.address(Reduction(machine().lanes, "max"))
    assert [r.getMessage() for r in caplog.records] == [
        f"compiling global_max_{machine().lanes} for this machine, once"
    ]


# Any backend that compiles --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pretending(NumpyBackend):
    """NumPy, which claims to compile a function of one KiB for each kind of op that it is asked to run."""

    name: str = "pretending"
    folder: Path = Path("code")
    kinds: dict[str, None] = field(default_factory=dict, hash=False)
    missing: str = ""

    def require(self) -> None:
        if self.missing:
            fail("E0701", f"the backend {self.name} cannot run here", help=f"install {self.missing}")

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        table = NumpyBackend.lowerings(self, dtype, without)

        def compiling(kind: str) -> Lowering:
            return lambda op, *inputs: self.kinds.setdefault(kind) or table[kind](op, *inputs)

        return {kind: compiling(kind) for kind in table}

    def machine(self) -> Mapping[str, str]:
        return {"vectors": "none"}

    def limits(self, threads: int) -> Limits:
        return Limits(threads, 1.0, 2.0, 3.0)

    def compiled(self) -> list[str]:
        return [*self.kinds]

    def code_cache(self) -> CodeCache:
        return CodeCache(self.folder, (1024,) * len(self.kinds))

    def require_writable_cache(self) -> None:
        """Raise nothing: there is nothing to write."""


def only(monkeypatch: pytest.MonkeyPatch, *some: Pretending) -> None:
    """Leave no other backends."""
    monkeypatch.setattr(backends, "all_backends", lambda: {backend.name: backend for backend in some})


def test_the_command_warms_the_backend_that_compiles(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    only(monkeypatch, Pretending())
    assert run("warm", "small.yaml") == (
        0,
        "1 network: compiled 2 functions\ncode holds 2 functions, 2 KiB\n",
        "",
    )


def test_a_backend_is_warmed_by_name() -> None:
    backend = Pretending()
    assert isinstance(backend, Compiling)
    driver.warm(driver.load(SPEC), [1, 2], backend=backend)
    assert backend.compiled() == ["relu", "flatten"]


def test_where_nothing_can_compile_each_backend_says_why(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.yaml").write_text(SPEC)
    only(monkeypatch, Pretending(missing="clang"), Pretending("other", missing="gcc"))
    code, out, err = run("warm", "small.yaml")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "E0701: no backend that compiles machine code can run here",
        "      note: the backend pretending cannot run here",
        "      note: the backend other cannot run here",
        "      help: install clang or install gcc",
    ]
    with pytest.raises(DiagnosticError, match="E0701"):
        driver.warm(driver.load(SPEC), [1])
