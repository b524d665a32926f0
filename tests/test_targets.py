"""Laws of export targets, on every target there is and on one made here, which holds weights as bytes."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archforge import driver
from archforge import export as targets_package
from archforge.analysis.ledger import Ledger, ledger
from archforge.atomic_files import written_beside
from archforge.data.manifest import MANIFEST
from archforge.errors import Diagnostic, DiagnosticError, InternalError
from archforge.export import Subject, Target, all_targets, export, files_of
from archforge.export import module as numpy_target
from archforge.ir import TypedGraph
from archforge.resources import templates_folder
from archforge.weights import fresh_weights
from tests.conftest import TINY, Run
from tests.zoo import networks

# A module as an author would add it to archforge/export/: it is found by being there.
MADE = '''
"""`weights.bin`: the number of parameters and the values of all, as a target outside of archforge would."""

from archforge.export.target import Subject, Target


def weights_file(subject: Subject) -> bytes:
    arrays = subject.weights.values()
    return len(arrays).to_bytes(4, "little") + b"".join(a.astype("<f4").tobytes() for a in arrays)


TARGETS = (
    Target("made", "weights.bin", "all arrays end to end", weights_file, is_binary=True, needs_weights=True),
)
'''


@contextmanager
def with_made_target(folder: Path, text: str = MADE, module: str = "made_for_tests") -> Iterator[None]:
    """Makes the targets of a module discoverable beside those of archforge."""
    (folder / f"{module}.py").write_text(text, "utf-8")
    targets_package.__path__.append(str(folder))
    all_targets.cache_clear()
    try:
        yield
    finally:
        targets_package.__path__.remove(str(folder))
        sys.modules.pop(f"{targets_package.__name__}.{module}", None)
        all_targets.cache_clear()


@pytest.fixture(autouse=True)
def _made_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with with_made_target(tmp_path_factory.mktemp("targets")):
        yield


each_target = pytest.mark.parametrize("name", [*all_targets(), "made"])
each_default_target = pytest.mark.parametrize(
    "name", [t.name for t in all_targets().values() if t.by_default]
)


def subject(name: str = "lenet_5") -> Subject:
    spec = networks()[name]
    profiles = tuple(driver.analyse(spec, p) for p in spec.profile_names)
    return Subject(profiles[0], profiles, files=files_of(all_targets().values()))


# What a target is


def test_targets_are_found_by_their_files() -> None:
    assert {"graph", "ledger_csv", "ledger_json", "numpy", "card", "made"} <= set(all_targets())


@each_target
def test_a_target_is_named_and_explained(name: str) -> None:
    target = all_targets()[name]
    assert target.name == name
    assert name.isidentifier()
    assert Path(target.file).name == target.file
    assert target.says


@each_target
def test_the_same_network_gives_the_same_bytes(name: str) -> None:
    target = all_targets()[name]
    assert target.content(subject()) == target.content(subject())


@each_target
def test_no_target_writes_a_local_path(name: str) -> None:
    content = all_targets()[name].content(subject("resnet_18"))
    assert str(templates_folder().parent).encode() not in content
    assert b"zoo_specs/" not in content


@each_target
def test_a_target_that_says_the_wrong_kind_of_content_is_a_bug(name: str) -> None:
    target = all_targets()[name]
    with pytest.raises(InternalError, match=name):
        replace(target, is_binary=not target.is_binary).content(subject())


def test_what_a_build_writes_needs_no_weights() -> None:
    with pytest.raises(InternalError, match="a build has no weights"):
        replace(all_targets()["made"], by_default=True)


def test_two_targets_of_one_file_are_a_bug(tmp_path: Path) -> None:
    with (
        pytest.raises(InternalError, match="one name, or write one file"),
        with_made_target(tmp_path, MADE.replace('"made"', '"other"'), "made_again"),
    ):
        all_targets()


def test_weights_are_made_once_and_only_if_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counting(*arguments: object) -> object:
        calls.append(1)
        return fresh_weights(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("archforge.weights.init.fresh_weights", counting)
    one = subject()
    all_targets()["graph"].content(one)
    assert calls == []
    all_targets()["made"].content(one)
    all_targets()["made"].content(one)
    assert calls == [1]


def test_the_ledger_is_computed_once_for_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counting(typed: TypedGraph) -> Ledger:
        calls.append(1)
        return ledger(typed)

    monkeypatch.setattr("archforge.analysis.ledger.ledger", counting)
    export(subject())
    assert calls == [1]


# archforge export


@each_target
def test_the_command_writes_what_the_target_renders(run: Run, tmp_path: Path, name: str) -> None:
    target = all_targets()[name]
    code, out, err = run("export", "lenet_5", "--to", name)
    path = tmp_path / "build" / "lenet_5" / target.file
    assert (code, out) == (0, f"wrote build/lenet_5/{target.file}\n")
    assert path.read_bytes() == target.content(subject())
    assert [p.name for p in path.parent.iterdir()] == [target.file]
    told = "the weights are fresh, seed 0: -w FILE takes those of a file\n"
    assert err == (told if target.needs_weights else "")


@each_target
def test_a_dash_is_standard_output(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run("export", "lenet_5", "--to", name, "-o", "-")[0] == 0
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    assert written.getvalue() == all_targets()[name].content(subject())
    assert not list(tmp_path.iterdir())


@each_default_target
def test_a_build_writes_the_same_file(run: Run, tmp_path: Path, name: str) -> None:
    file = all_targets()[name].file
    assert run("build", "lenet_5", "-o", "built")[0] == 0
    assert run("export", "lenet_5", "--to", name, "-o", f"deep/down/{file}")[0] == 0
    assert (tmp_path / "deep" / "down" / file).read_bytes() == (tmp_path / "built" / file).read_bytes()


def test_a_build_writes_the_default_targets_and_no_others(run: Run, tmp_path: Path) -> None:
    assert run("build", "lenet_5", "-o", "built")[0] == 0
    files = {t.file for t in all_targets().values() if t.by_default}
    assert {p.name for p in (tmp_path / "built").iterdir()} == {*files, MANIFEST}


def test_weights_of_a_file_are_exported_in_the_profile_that_they_fit(run: Run, tmp_path: Path) -> None:
    network = driver.analyse(networks()["lenet_5"], "paper")
    arrays = fresh_weights(network.params, seed=7)
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type]  # of its `allow_pickle`
    code, out, err = run("export", "lenet_5", "--to", "made", "-w", "w.npz", "-o", "out.bin", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["profile"], told["weights"], told["seed"], told["ok"]) == ("paper", "w.npz", None, True)
    written = (tmp_path / "out.bin").read_bytes()
    assert told["bytes"] == len(written)
    assert written == all_targets()["made"].content(Subject(network, (network,), given=arrays))
    code, out, _ = run("export", "lenet_5", "-p", "paper", "--to", "made", "--seed", "7", "--json")
    assert (json.loads(out)["weights"], json.loads(out)["seed"]) == (None, 7)
    assert (tmp_path / "build" / "lenet_5" / "weights.bin").read_bytes() == written


def test_an_export_takes_another_input_and_arguments(run: Run, tmp_path: Path) -> None:
    options = ["--set", "classes=7", "--shape", "3x64x64"]
    assert run("export", "resnet_18", "--to", "graph", "-o", "graph.json", *options)[0] == 0
    graph = json.loads((tmp_path / "graph.json").read_text("utf-8"))
    assert graph["inputs"][0]["shape"] == [3, 64, 64]
    assert graph["outputs"][0]["shape"] == [7]


def test_the_help_lists_the_targets(run: Run) -> None:
    out = run("export", "--help")[1]
    assert [t.file for t in all_targets().values() if t.by_default and t.file not in out] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "numpi"], "E0001: there is no export target `numpi`\n      help: did you mean `numpy`?"),
        (["--to", "model.py"], "E0001: there is no export target `model.py`\n      help: `numpy` writes it"),
        (["--to", "graph", "-w", "w.npz"], "E0001: `graph.json` holds no weights\n      help: leave out -w"),
        (
            ["--to", "graph", "--seed", "0"],
            "E0001: `graph.json` holds no weights\n      help: leave out --seed",
        ),
        (
            ["--to", "made", "-w", "w.npz", "--seed", "1"],
            "E0001: `--seed` is for fresh weights, and `-w` names a file of them\n      help: leave out one",
        ),
        (["--to", "made", "-w", "w.npz"], "E0601: cannot read w.npz: no such file or directory"),
        (["--to", "card", "-o", "."], "E0705: . is a folder\n      help: -o model_card.md"),
        (
            ["--to", "onnx", "-o", "x.pth"],
            "E0001: `--to onnx` writes a `.onnx` file, which x.pth would not say\n      help: -o x.onnx",
        ),
        (
            ["--to", "numpy", "-o", "x.keras"],
            "E0001: `--to numpy` writes a `.py` file, which x.keras would not say\n      help: -o x.py",
        ),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_exported_is_said(run: Run, tmp_path: Path, options: list[str], message: str) -> None:
    assert run("export", "lenet_5", *options) == (2, "", f"{message}\n")
    assert not list(tmp_path.iterdir())


def test_bytes_are_not_printed_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    code, _, err = run("export", "lenet_5", "--to", "made", "-o", "-")
    assert (code, err.splitlines()[0]) == (
        2,
        "E0001: `weights.bin` is binary, and standard output is a terminal",
    )


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("before")
    with suppress(KeyboardInterrupt), written_beside(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["model.py"]


def test_a_pipe_is_written_to_and_stays_one(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("export", "lenet_5", "--to", "ledger_csv", "-o", "pipe")[0] == 0
        assert os.read(reader, 1 << 16) == all_targets()["ledger_csv"].content(subject())
    finally:
        os.close(reader)
    assert pipe.is_fifo()


# Targets that refuse


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Makes a target lack an op of every network."""

    def render(subject: Subject) -> str:
        raise DiagnosticError((Diagnostic("E0704", f"{name} has no `conv`: stem"),))

    targets = dict(all_targets())
    targets[name] = replace(targets[name], render=render)
    monkeypatch.setattr(targets_package, "all_targets", lambda: targets)


@each_default_target
def test_a_target_that_refuses_blocks_nothing_but_itself(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    refuse(monkeypatch, name)
    target = all_targets()[name]
    code, out, err = run("build", "tiny.yaml")
    path = f"build/tiny/{target.file}"
    assert code == 0
    assert err == (
        f"{path} is not written: the target `{name}` refuses the network\nE0704: {name} has no `conv`: stem\n"
    )
    others = {t.file for t in all_targets().values() if t.by_default} - {target.file}
    assert {p.name for p in (tmp_path / "build" / "tiny").iterdir()} == {*others, MANIFEST}
    assert all(f"wrote build/tiny/{file}" in out for file in others)
    assert path not in out
    code, out, _ = run("build", "tiny.yaml", "--json")
    told = json.loads(out)
    assert (code, told["ok"], len(told["files"])) == (0, True, len(others))
    (refused,) = told["refused"]
    assert (refused["target"], refused["file"]) == (name, path)
    assert [d["code"] for d in refused["diagnostics"]] == ["E0704"]


def test_a_file_of_an_earlier_build_is_told_of(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert run("build", "tiny.yaml")[0] == 0
    refuse(monkeypatch, "numpy")
    code, out, err = run("build", "tiny.yaml")
    assert (code, "removed build/tiny/model.py, of an earlier build" in out) == (0, True)
    assert err.startswith("build/tiny/model.py is not written: ")
    (tmp_path / "build" / "tiny" / "model.py").write_text("mine = True\n")
    code, _, err = run("build", "tiny.yaml")
    assert code == 0
    assert err.startswith("build/tiny/model.py is not written, and the one there is not of this build: ")


def test_no_file_names_one_that_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = export(subject())
    refuse(monkeypatch, "numpy")
    less = export(subject())
    assert [r.target.name for r in less.refused] == ["numpy"]
    assert b"model.py" in whole.files["model_card.md"]
    assert b"model.py" not in less.files["model_card.md"]
    same = set(whole.files) - {"model.py", "model_card.md"}
    assert {file: whole.files[file] for file in same} == {file: less.files[file] for file in same}


def test_an_export_that_is_refused_fails(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        numpy_target.numpy_dialect, "kernel_file", lambda: numpy_target.kernels.KernelFile({}, {})
    )
    code, out, err = run("export", "lenet_5", "--to", "numpy")
    assert (code, out) == (2, "")
    assert "E0704: model.py has no layer for `conv`" in err
    assert not list(tmp_path.iterdir())


def test_targets_are_of_one_kind() -> None:
    assert all(isinstance(target, Target) for target in all_targets().values())
