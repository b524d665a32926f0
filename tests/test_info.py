"""The machine as archforge sees it, and the variables that say otherwise."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import archforge
from archforge import hardware
from archforge.backends import all_backends, available, preferred
from archforge.bench.environment import OWN
from archforge.errors import DiagnosticError
from tests.conftest import Run

Info = Callable[..., str]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty description of a machine, where Linux keeps its own."""
    for name in ("THREADS", "L1", "L2", "L3"):
        monkeypatch.delenv(f"ARCHFORGE_{name}", raising=False)
    monkeypatch.setattr(hardware, "CPUS", tmp_path / "cpu")
    monkeypatch.setattr(hardware, "QUOTA", tmp_path / "cpu.max")
    return tmp_path


def cores(system: Path, siblings: Iterable[str]) -> None:
    """A machine whose CPU number i shares its core with the CPUs of the i-th text."""
    for cpu, text in enumerate(siblings):
        folder = system / "cpu" / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{text}\n")


def allow(monkeypatch: pytest.MonkeyPatch, *cpus: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cpus), raising=False)


def test_threads_are_the_cores_that_may_be_used(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores(system, ["0,4", "1,5", "2,6", "3,7"] * 2)
    allow(monkeypatch, *range(8))
    assert hardware.threads() == (4, "the physical cores")
    allow(monkeypatch, 0, 1, 4)
    assert hardware.threads() == (2, "the cores that this process may use, of 4")
    allow(monkeypatch, *range(8))
    (system / "cpu.max").write_text("350000 100000\n")
    assert hardware.threads() == (3, "this container's quota, of 4 physical cores")
    (system / "cpu.max").write_text("50000 100000\n")
    assert hardware.threads().number == 1
    (system / "cpu.max").write_text("max 100000\n")
    assert hardware.threads().number == 4
    monkeypatch.setenv("ARCHFORGE_THREADS", "7")
    assert hardware.threads() == (7, "ARCHFORGE_THREADS")


def test_a_machine_that_tells_nothing_has_a_thread_for_each_cpu(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    allow(monkeypatch, 0, 1, 2)
    assert hardware.threads() == (3, "the physical cores")
    assert [hardware.cache_bytes(level) for level in (1, 2, 3)] == [32 << 10, 1 << 20, 8 << 20]


def test_caches_are_those_of_data(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        ("1", "Data", "48K"),
        ("1", "Instruction", "32K"),
        ("2", "Unified", "2M"),
        ("3", "Unified", "9"),
    ]
    for index, (level, kind, size) in enumerate(listed):
        folder = system / "cpu" / "cpu0" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        for name, text in {"level": level, "type": kind, "size": size}.items():
            (folder / name).write_text(f"{text}\n")
    assert [hardware.cache_bytes(level) for level in (1, 2, 3)] == [48 << 10, 2 << 20, 9]
    monkeypatch.setenv("ARCHFORGE_L2", "512K")
    assert hardware.cache_bytes(2) == 512 << 10


@pytest.mark.parametrize(
    ("name", "value"), [("THREADS", "0"), ("THREADS", "two"), ("L2", "0"), ("L2", "1T"), ("L3", "-1M")]
)
def test_an_override_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ARCHFORGE_{name}", value)
    with pytest.raises(DiagnosticError, match=f"E0701: ARCHFORGE_{name}={value} is no "):
        hardware.threads() if name == "THREADS" else hardware.cache_bytes(int(name[1]))


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 30, "3 GiB")]
)
def test_sizes_are_printed_short(size: int, words: str) -> None:
    assert hardware.short_bytes(size) == words


# The command --------------------------------------------------------------------------------------------


@pytest.fixture
def info(run: Run) -> Info:
    def info(*arguments: str) -> str:
        code, out, _ = run("info", *arguments)
        assert code == 0
        return out

    return info


def test_every_backend_tells_of_itself(info: Info, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHFORGE_L3", "5M")
    libraries = {f"{name.upper()}_OPTION": "on" for name in all_backends()}
    for name, value in libraries.items():
        monkeypatch.setenv(name, value)
    told = json.loads(info("--json"))
    assert [b["name"] for b in told["backends"]] == list(all_backends())
    for backend in told["backends"]:
        assert backend["runs"] == (backend["name"] in available())
        if backend["runs"]:
            assert next(iter(backend["facts"])) == "version"
    assert told["machine"]["threads"] == hardware.threads().number
    assert told["machine"]["cache_bytes"]["L3"] == 5 << 20
    assert [*told["machine"]["cache_bytes"]] == ["L1", "L2", "L3"]
    assert told["environment"].items() >= {"ARCHFORGE_L3": "5M", **libraries}.items()
    text = info()
    for words in ("ARCHFORGE_L3=5M", "L3 5 MiB", hardware.threads().reason, *all_backends()):
        assert words in text


def test_a_backend_that_is_not_there_says_why(info: Info, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    text = info()
    assert (
        "the backend numba cannot run here: numba is not installed (pip install 'archforge-zoo[fast]')"
        in text
    )
    order = ", ".join(backend.name for backend in preferred())
    assert f"numpy in float64: the first of {order} that computes in the dtype" in text


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_the_machine_code_that_is_kept_is_counted(
    info: Info, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHFORGE_CACHE", str(tmp_path / "cache"))
    assert f"0 functions, 0 bytes of at most 256 MiB, in {tmp_path}" in info()
    (tmp_path / "cache" / "code").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "code" / "f-0.o").write_bytes(bytes(2048))
    assert f"1 function, 2 KiB of at most 256 MiB, in {tmp_path}" in info()


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_the_widest_vectors_that_the_cpu_has_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from archforge.backends.numba.toolchain import machine as found

    monkeypatch.delenv("ARCHFORGE_SIMD", raising=False)
    names = [*found.LEVELS]
    for first, name in enumerate(names):
        has = sorted({f"+{feature}" for lower in names[first:] for feature in found.LEVELS[lower].needs})
        monkeypatch.setattr(found, "host", lambda has=has: ("a CPU", ",".join(has)))
        machine = found.machine.__wrapped__()
        assert (machine.simd, machine.lanes) == (name, found.LEVELS[name].lanes)


def test_a_variable_that_nothing_reads_is_told_with_the_one_that_is(
    info: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHFORGE_THREAD", "3")
    assert json.loads(info("--json"))["misnamed"] == {"ARCHFORGE_THREAD": "did you mean `ARCHFORGE_THREADS`?"}
    assert "nothing reads it; did you mean `ARCHFORGE_THREADS`?" in info()


def test_the_variables_are_those_that_the_code_reads_and_the_page_lists() -> None:
    root = Path(archforge.__file__).parent
    texts = (path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    named = {name for text in texts for name in re.findall(r"ARCHFORGE_[A-Z0-9_]*[A-Z0-9]\b", text)}
    assert named - {"ARCHFORGE_L"} <= OWN  # and a level
    page = (Path(__file__).parents[1] / "docs" / "runtime.md").read_text(encoding="utf-8")
    assert all(name in page or name.removeprefix("ARCHFORGE") in page for name in OWN)
