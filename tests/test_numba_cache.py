"""Machine code between processes: what the cache keeps, what it survives, and what fills it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from archforge import hardware
from archforge.backends import available
from archforge.backends.numba.toolchain import code_cache as module
from archforge.backends.numba.toolchain import machine_code as native
from archforge.backends.numba.toolchain.code_cache import code_cache, read_code, write_code
from archforge.backends.numba.toolchain.machine import LEVELS, host, machine
from archforge.errors import DiagnosticError

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

ROOT = Path(__file__).parents[1]

# Which libraries were needed, how many functions were compiled, and what came out. Softplus calls the
# system's log1pf, and its constants lie in sections of their own.
COMPUTES = """
import hashlib, sys
from archforge.backends import get
from archforge.plan import load, plan
from archforge.weights import rule_input, rule_weights
from tests.graphs import graph, node
typed = graph(node("softplus", "softplus", "input"), inputs={"input": (20, 9, 8)})
y = load(plan(typed, get("numba"), "float32"), {}).run({"input": rule_input((1, 20, 9, 8))}).outputs["output"]
from archforge.backends.numba.toolchain.machine_code import compiled_here
needed = [name for name in ("numba", "llvmlite") if name in sys.modules]
print("+".join(needed) or "neither", len(compiled_here()), hashlib.sha256(y.tobytes()).hexdigest())
"""
REFUSES_ALL = "from archforge.backends.numba.toolchain import linker; linker.RELOCATABLE_X86_64 = ()"
BOTH = "numba+llvmlite"
# What a process needs that finds everything in the cache.
LITTLE = "neither" if sys.platform == "linux" and platform.machine() == "x86_64" else "llvmlite"

Result = tuple[str, int, str]


def started(code: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"ARCHFORGE_CACHE": str(folder)} | environment,
    )


def computed(folder: Path, **environment: str) -> Result:
    return result_of(started(COMPUTES, folder, **environment))


def result_of(process: subprocess.Popen[str]) -> Result:
    out, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    needed, compiled, y = out.split()
    return needed, int(compiled), y


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
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
    damage: Callable[[Path], None], filled: tuple[Path, Result], tmp_path: Path
) -> None:
    folder, (needed, compiled, y) = filled
    assert needed == BOTH
    assert compiled == len(list((folder / "code").glob("*.o"))) > 1
    copy_of(folder, tmp_path)
    damaged = next(path for path in (tmp_path / "code").iterdir() if path.name.startswith("run_steps"))
    damage(damaged)
    lacking = damage is not damage_nothing
    assert computed(tmp_path) == (BOTH if lacking else LITTLE, int(lacking), y)
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path)}):
        assert read_code(damaged.name)  # whole again


def test_processes_fill_a_cache_together(filled: tuple[Path, Result], tmp_path: Path) -> None:
    _, (_, compiled, y) = filled
    together = [started(COMPUTES, tmp_path) for _ in range(3)]
    assert {result_of(process)[2] for process in together} == {y}
    assert len(list((tmp_path / "code").glob("*.o"))) == compiled
    assert computed(tmp_path) == (LITTLE, 0, y)


def test_what_llvm_loads_computes_the_same(filled: tuple[Path, Result]) -> None:
    folder, (_, _, y) = filled
    assert result_of(started(f"{REFUSES_ALL}\n{COMPUTES}", folder)) == ("llvmlite", 0, y)


@pytest.mark.parametrize("simd", ["avx2", "generic"])
def test_code_for_narrower_vectors_is_loaded_without_llvm(simd: str, tmp_path: Path) -> None:
    if [*LEVELS].index(simd) < [*LEVELS].index(machine().simd):
        pytest.skip(f"this CPU lacks {simd}")
    needed, compiled, y = computed(tmp_path, ARCHFORGE_SIMD=simd)
    assert needed == BOTH
    assert compiled > 1
    assert computed(tmp_path, ARCHFORGE_SIMD=simd) == (LITTLE, 0, y)


@pytest.mark.skipif(LITTLE != "neither", reason="LLVM is asked each time here")
@pytest.mark.parametrize("damage", [cut_short, scribble, empty, Path.unlink])
def test_llvm_is_asked_of_the_cpu_where_the_cache_does_not_tell(
    damage: Callable[[Path], None], filled: tuple[Path, Result], tmp_path: Path
) -> None:
    folder, (_, _, y) = filled
    copy_of(folder, tmp_path)
    (kept,) = (tmp_path / "code").glob("cpu-*")
    told = kept.read_bytes()
    damage(kept)
    assert computed(tmp_path) == ("llvmlite", 0, y)
    assert kept.read_bytes() == told
    assert computed(tmp_path) == ("neither", 0, y)


@pytest.mark.skipif(LITTLE != "neither", reason="LLVM is asked each time here")
def test_what_is_kept_of_one_cpu_is_nothing_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llvm = pytest.importorskip("llvmlite.binding")
    told, info = host(), hardware.CPU_INFO.read_text()
    monkeypatch.setenv("ARCHFORGE_CACHE", str(tmp_path))
    with mock.patch.object(llvm, "get_host_cpu_name", return_value="older"):
        assert host() == ("older", told[1])
    assert host() == ("older", told[1])  # so it is kept
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    for name in ("cpu family", "model", "model name", "stepping", "flags"):
        hardware.CPU_INFO.write_text(re.sub(rf"(?m)^({name}\s*:.*)", r"\1 1", info))
        assert host() == told
    hardware.CPU_INFO.write_text(re.sub(r"(?m)^(cpu MHz\s*:.*)", r"\1 1", info))
    assert host() == ("older", told[1])
    hardware.CPU_INFO.write_text("Features : neon")
    assert host() == told


def test_code_for_one_cpu_is_not_found_by_another() -> None:
    mine = machine()
    others = [replace(mine, cpu="older"), replace(mine, features="-avx2"), replace(mine, lanes=2)]
    assert len({native._key(made_for) for made_for in [mine, *others]}) == 4


def test_a_cache_that_cannot_be_written_hinders_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert computed(file / "folder")[0] == BOTH


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
        for age, name in enumerate(["new.o", "middle.o", "old.o"]):
            write_code(name, bytes(300 << 10))
            past = time.time() - (age + 2) * 3600
            os.utime(tmp_path / "code" / name, (past, past))
        (tmp_path / "code" / ".half-written").write_bytes(bytes(100 << 10))
        os.utime(tmp_path / "code" / ".half-written", (0, 0))
        assert read_code("old.o")  # and is used now
        write_code("newest.o", bytes(300 << 10))
        assert {path.name for path in (tmp_path / "code").iterdir()} == {"new.o", "old.o", "newest.o"}
        assert sum(code_cache().function_bytes) <= 1 << 20


def test_what_is_kept_is_not_listed_for_each_function(tmp_path: Path) -> None:
    """A full cache has tens of thousands of files, and a network dozens of functions."""
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path), "ARCHFORGE_CACHE_LIMIT": "1"}):
        with mock.patch.object(module, "_files", wraps=module._files) as listed:
            for number in range(400):
                write_code(f"{number}.o", bytes(10 << 10))
        assert listed.call_count < 100
        assert 15 / 16 - 0.02 < sum(code_cache().function_bytes) / (1 << 20) <= 1 + 1 / 16
        assert read_code("399.o")
        assert not read_code("0.o")


def test_a_limit_of_nothing_keeps_nothing_and_one_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"ARCHFORGE_CACHE": str(tmp_path), "ARCHFORGE_CACHE_LIMIT": "0"}):
        write_code("code.o", b"code")
        assert code_cache().function_bytes == ()
        os.environ["ARCHFORGE_CACHE_LIMIT"] = "much"
        with pytest.raises(DiagnosticError, match="ARCHFORGE_CACHE_LIMIT=much is no number of MiB"):
            write_code("code", b"code")
