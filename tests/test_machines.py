"""Machines as they are: paths that lead nowhere, caches that cannot be, little memory."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import archforge
from archforge import driver, hardware
from archforge.backends import available, names
from archforge.backends.numba import choices
from archforge.backends.numba.toolchain import code_cache
from archforge.cli.labels import read_labels
from archforge.data.arrays import read_inputs, read_weights, write_arrays
from archforge.data.samples import find_files
from archforge.errors import DiagnosticError
from archforge.interchange.graph_json import read_graph_json
from archforge.spec.resolve.sources import zoo_paths
from archforge.weights.golden import read_golden
from tests.conftest import TINY, Run

# Paths ----------------------------------------------------------------------------------------------------

# All that takes a path, with the ending that it goes by.
SPEC = {"archforge": 1, "input": [3, 8, 8], "graph": ["relu"]}
TAKERS: dict[str, tuple[Callable[[str], object], str]] = {
    "a spec by its name": (driver.open_spec, ".yaml"),
    "a spec by its path": (lambda path: driver.open_spec(Path(path)), ".yaml"),
    "a block": (lambda path: driver.open_spec(f"{path}:block"), ".yaml"),
    "specs to check": (zoo_paths, ".yaml"),
    "weights": (read_weights, ".npz"),
    "weights in a mapped file": (read_weights, ".safetensors"),
    "an input": (lambda path: read_inputs(path, ["x"]), ".npy"),
    "inputs": (lambda path: find_files([path]), ".npy"),
    "a pattern of inputs": (lambda path: find_files([f"{path}/*"]), ".npy"),
    "labels": (read_labels, ".txt"),
    "a golden file": (read_golden, ".json"),
    "a graph": (read_graph_json, ".json"),
    "arrays to write": (lambda path: write_arrays(path, {"x": np.zeros(1)}), ".npz"),
    "a build": (lambda path: driver.build(driver.open_spec(TINY), folder=Path(path)), ""),
    "a spec that is extended": (lambda path: driver.open_spec({"archforge": 1, "extends": path}), ""),
    "a spec that is imported": (lambda path: driver.open_spec(SPEC | {"imports": [path]}), ""),
    "a spec that is a block": (
        lambda path: driver.open_spec(SPEC | {"blocks": {"b": {"network": path}}}),
        "",
    ),
    "a spec that is recommended": (lambda path: driver.open_spec(SPEC | {"recommended": path}), ""),
}
NOWHERE = {
    "a long name": "x" * 300,
    "a long path": "x/" * 3000 + "x",
    "a NUL": "a\0b",
    "half of a character": "a\ud800b",
    "below a file": "file/below",
    "a loop": "loop",
    "below a loop": "loop/below",
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("path", NOWHERE)
def test_a_path_that_leads_nowhere_is_a_diagnostic(
    path: str, taker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for ending in ("", ".yaml", ".npz", ".npy", ".safetensors", ".txt", ".json"):
        (tmp_path / f"loop{ending}").symlink_to(f"loop{ending}")
    take, ending = TAKERS[taker]
    if (path, taker) == ("a loop", "arrays to write"):
        return  # the file takes the place of the link
    with pytest.raises(DiagnosticError):
        take(NOWHERE[path] + ending)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith("loop")] == ["file"]


@pytest.mark.parametrize("path", [path for path in NOWHERE if path != "a loop"])  # which a file replaces
def test_outputs_that_lead_nowhere_are_refused(path: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    code, _, err = run("run", "tiny.yaml", "--backend", "numpy", "-o", f"{NOWHERE[path]}.npz")
    assert (code, err[:5]) == (2, "E0705")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("check lenet_5", 0),
        ("run lenet_5 --backend numpy", 0),
        ("build lenet_5", 2),
        ("check .", 2),
        ("new net", 2),
    ],
)
def test_a_working_folder_that_is_gone_hinders_only_what_needs_it(
    arguments: str, code: int, tmp_path: Path
) -> None:
    script = f"cd '{tmp_path}' && rmdir '{tmp_path}' && exec '{sys.executable}' -m archforge {arguments}"
    environment = os.environ | {"PYTHONPATH": str(Path(archforge.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code
    assert done.stderr.startswith("E0" if code else "")


@pytest.mark.parametrize("take", [zoo_paths, lambda path: find_files([path])])
def test_a_folder_that_may_not_be_read_is_called_so(
    take: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DiagnosticError, match=r"E0\d+: .*folder .*: permission denied"):
        take(str(tmp_path))


def test_a_name_that_the_locale_cannot_say_is_text_all_the_same(run: Run, tmp_path: Path) -> None:
    for name, said in ((b"n\xc3\xa9", "né"), (b"n\xff", "n\ufffd")):
        path = os.fsdecode(bytes(tmp_path) + b"/" + name + b".yaml")
        Path(path).write_text(TINY)
        assert run("build", path)[0] == 0
        graph = json.loads((tmp_path / "build" / said / "graph.json").read_text("utf-8"))
        assert graph["name"] == said


# The cache ------------------------------------------------------------------------------------------------


CACHES: dict[str, tuple[str, str]] = {
    "a file": ("{0}/file", "no cache: nothing can be kept in {0}/file/code: "),
    "below a file": ("{0}/file/below", "no cache: nothing can be kept in {0}/file/below/code: "),
    "a long name": ("{0}/" + "x" * 300, "file name too long"),
    "a loop": ("{0}/loop", "too many levels of symbolic links"),
    "a link to nothing": ("{0}/gone", "{0}/gone is a link to nothing"),
    "a user that is not there": ("~nobody.here/x", "no cache: there is no folder ~nobody.here/x: "),
    "home": ("~/x", "0 functions, 0 bytes of at most 256 MiB, in {0}/x/code"),
    "below home": ("~", "0 functions, 0 bytes of at most 256 MiB, in {0}/code"),
    "nothing": ("", "0 functions, 0 bytes of at most 256 MiB, in {0}/.cache/archforge/code"),
}


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
@pytest.mark.parametrize("cache", CACHES)
def test_what_cannot_be_a_cache_hinders_nothing_and_info_says_why(
    cache: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    before = {p.name for p in tmp_path.iterdir()}
    given, told = CACHES[cache]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARCHFORGE_CACHE", given.format(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/passed/over")
    code, out, err = run("info")
    assert (code, err) == (0, "")
    assert told.format(tmp_path) in out
    assert {p.name for p in tmp_path.iterdir()} == before
    code_cache.write_code("f.o", b"code")
    is_kept = code_cache.read_code("f.o") == b"code"
    assert is_kept == ("no cache" not in out)
    assert choices.kept() == {}
    assert is_kept or run("tune", "lenet_5")[0] == 2


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
@pytest.mark.parametrize("home", [None, "relative"])
def test_a_user_without_a_home_folder_has_no_cache(
    home: str | None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARCHFORGE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    if home:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", mock.Mock(side_effect=KeyError))  # as in a container with `--user`
    assert "no cache: there is no folder ~/.cache/archforge: no such home folder is known" in run("info")[1]
    assert code_cache.read_code("f.o") == b""
    code_cache.write_code("f.o", b"code")
    assert choices.kept() == {}
    code, _, err = run("tune", "lenet_5")
    assert (code, err[:5]) == (2, "E0705")


# Memory ---------------------------------------------------------------------------------------------------

HUGE = """\
archforge: 1
title: Huge
input: [3, 8, 8]
args: {factor: 10000, classes: 4}
graph:
  - {conv: {out: 5, kernel: 3}, name: stem}
  - {upsample: =factor, name: up}
  - global_avg_pool
  - flatten
  - {linear: =classes, name: head}
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "run huge.yaml --backend numpy",
        "run huge.yaml --backend numpy --dtype float64",
        "run huge.yaml --backend auto",
        "run huge.yaml --set factor=1 --set classes=1000000000000",
        "run huge.yaml --set factor=1 --set classes=1000000000000 -w rule",
        "run huge.yaml --set factor=1 --shape 3x200000x200000",
        "run huge.yaml --set factor=1 --shape 3x200000x200000 -i rule",
        "verify huge.yaml golden.json",
        "profile huge.yaml",
        "bench huge.yaml --set classes=1000000000000",
    ],
)
def test_more_memory_than_there_is_is_told_before_it_is_taken(
    arguments: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "huge.yaml").write_text(HUGE)
    limit = hardware.MemoryLimit(1 << 30, "the memory of this machine")
    monkeypatch.setattr(hardware, "memory_limit", lambda: limit)
    output = f'{{"shape": [{10**6}, 4], "mean": 0, "std": 1, "values": [0]}}'
    (tmp_path / "golden.json").write_text(
        f'{{"model": "m", "input": [{10**6}, 3, 8, 8], "output": {output}, "taps": {{}}}}'
    )
    code, out, err = run(*arguments.split())
    assert (code, out, err[:5]) == (2, "", "E0706")
    assert "and there are" in err


def test_an_allocation_that_the_system_refuses_is_told_as_what_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for said, told in (("", ""), ("Unable to allocate 5 GiB for an array", ": unable to allocate 5 GiB")):
        monkeypatch.setattr(driver, "open_spec", mock.Mock(side_effect=MemoryError(said)))
        code, out, err = run("show", "lenet_5", "--json")
        assert (code, json.loads(out)["diagnostics"][0]["code"]) == (2, "E0706")
        assert err.startswith(f"E0706: the memory does not suffice{told}")


def test_memory_is_the_least_that_the_system_the_container_and_the_process_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nSwapTotal: 24 kB\n")
    (tmp_path / "cgroup").write_text("4:memory:/box/inner\n1:cpu:/\n0::/pod/one\n")
    monkeypatch.setattr(hardware, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(hardware, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(hardware, "GROUP_FOLDER", tmp_path / "groups")
    assert hardware.memory_limit() == (1024 << 10, "the memory of this machine")
    for file, text, limit in (
        ("pod/one/memory.max", "max", 1024 << 10),
        ("pod/memory.max", f"{900 << 10}", 924 << 10),
        ("memory/box/inner/memory.limit_in_bytes", f"{800 << 10}", 824 << 10),
        ("memory/memory.limit_in_bytes", f"{700 << 10}", 724 << 10),
        ("memory.max", f"{600 << 10}", 624 << 10),
        ("other/memory.max", f"{10 << 10}", 624 << 10),
    ):
        (tmp_path / "groups" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / file).write_text(f"{text}\n")
        assert hardware.memory_limit().bytes == limit


def test_a_limit_of_the_process_is_known(tmp_path: Path) -> None:
    code = (
        "import resource, archforge.hardware as h\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); print(*h.memory_limit())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{3 << 30} the limit of this process (ulimit)\n"


# What is around a command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError("libllvm.so: failed to map segment from shared object"), 2, "E0706: "),
        (ImportError("libsvml.so: cannot open"), 2, "E0701: a package cannot be imported: libsvml.so"),
        (RuntimeError("can't start new thread"), 2, "E0701: the system gives this process no more threads"),
        (RuntimeError("another"), 70, "Traceback"),
        (ImportError("no such name", name="archforge.ir"), 70, "Traceback"),
        (EOFError(), 70, "Traceback"),
    ],
)
def test_what_the_system_refuses_is_no_bug_and_a_bug_is_one(
    error: Exception, code: int, told: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "open_spec", mock.Mock(side_effect=error))
    found, _, err = run("show", "lenet_5")
    assert (found, err[: len(told)]) == (code, told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only where the system has a full device")
def test_a_message_that_cannot_be_written_leaves_the_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "archforge", "show", "no_such"]
        assert subprocess.run(command, stderr=full, check=False).returncode == 2


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_variables_of_numba_that_hinder_it_are_named(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "ARCHFORGE_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "archforge", "run", "lenet_5", "--backend", "numba"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("E0701: Numba cannot compile here under NUMBA_DISABLE_JIT=1: ")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere addresses have no limit")
@pytest.mark.parametrize("backend", names())
def test_a_limit_of_addresses_is_told_whatever_library_meets_it(backend: str) -> None:
    most = 192  # MiB: NumPy can be loaded, and computes nothing
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({most << 20},) * 2);"
        "from archforge.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "run", "lenet_5_mnist", "--backend", backend]
    many = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}  # which take more than one does
    done = subprocess.run(command, env=many, capture_output=True, text=True)
    absent = done.stderr.startswith(f"E0701: the backend {backend} cannot run here: ")
    told = done.stderr.startswith("E0706: the memory does not suffice")
    assert (done.returncode, done.stderr) == (0, "") or (done.returncode == 2 and (told or absent))
    assert not (absent and "failed to map" in done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere addresses have no limit")
@pytest.mark.parametrize(
    "most", [140, 160, 170]
)  # MiB: before and in the midst of loading NumPy and its BLAS
@pytest.mark.parametrize("command", ["run lenet_5_mnist", "export lenet_5_mnist --to onnx -o x.onnx"])
def test_libraries_that_a_limit_keeps_out_are_told(command: str, most: int, tmp_path: Path) -> None:
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({most << 20},) * 2);"
        "from archforge.cli import main; main()"
    )
    many = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        env=many,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("OpenBLAS ")]
    if most == 170 and done.returncode == 0:  # older versions of NumPy take less
        return
    assert done.returncode == 2, done.stderr
    causes = (
        "E0701: OpenBLAS could not start",
        "E0701: the system gives",
        "E0706: the memory does not suffice",
    )
    assert told[0].startswith(causes)
    assert "help: " in told[1]
    assert len(told) == 2


@pytest.mark.parametrize(
    "words", ["error return without exception set", "returned NULL without setting an exception"]
)
def test_what_fails_without_a_word_under_a_limit_lacks_memory(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_process_limits", lambda: [1 << 28])
    assert hardware.lacks_memory(SystemError(words))
    assert not hardware.lacks_memory(SystemError("returned a result with an exception set"))
    monkeypatch.setattr(hardware, "_process_limits", list)
    assert not hardware.lacks_memory(SystemError(words))
