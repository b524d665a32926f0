"""The folder of a build: all of its files belong together, or its manifest says that they do not."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import archforge
from archforge import driver
from archforge.atomic_files import one_writer, written_beside
from archforge.data import manifest
from archforge.errors import DiagnosticError
from archforge.export import all_targets
from archforge.interchange.graph_json import read_graph_json
from tests.conftest import TINY, Run

TWO = f"{TINY}profiles: {{ours: {{}}, theirs: {{classes: 3}}}}\n"
FILES = sorted(target.file for target in all_targets().values() if target.by_default)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(archforge.__file__).parents[1])}


def contents(folder: Path) -> dict[str, bytes]:
    """All files in a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def listed(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found


def state(folder: Path) -> str:
    """The profile whose build lies whole in a folder; `refused` if the manifest says that none does."""
    told = listed(folder)
    for entry in told["files"]:
        content = (folder / entry["file"]).read_bytes() if (folder / entry["file"]).exists() else b""
        if entry["sha256"] != hashlib.sha256(content).hexdigest():
            assert not told["complete"]
            return "refused"
    return str(told["profile"]) if told["complete"] else "refused"


def build(profile: str, folder: Path) -> driver.Build:
    return driver.build(driver.open_spec(TWO), profile, folder=folder)


def test_a_manifest_lists_what_was_written(tmp_path: Path) -> None:
    built = build("ours", tmp_path / "b")
    told = listed(tmp_path / "b")
    assert (told["profile"], told["complete"]) == ("ours", True)
    files = contents(tmp_path / "b")
    assert files.keys() == {*FILES, "manifest.json"}
    assert [e["file"] for e in told["files"]] == [path.name for path in built.files]
    for entry in told["files"]:
        content = files[entry["file"]]
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    build("ours", tmp_path / "again")
    assert contents(tmp_path / "again") == files


@pytest.mark.parametrize("written", range(len(FILES) + 2))
def test_a_build_that_is_cut_short_is_refused_and_the_next_one_mends_it(written: int, tmp_path: Path) -> None:
    build("ours", tmp_path)
    number = 0

    def cut(*arguments: Any, **options: Any) -> Any:
        nonlocal number
        number += 1
        if number > written:
            raise KeyboardInterrupt
        return written_beside(*arguments, **options)

    with mock.patch.object(manifest, "written_beside", cut), pytest.raises(KeyboardInterrupt):
        build("theirs", tmp_path)
    if written == 0:
        assert state(tmp_path) == "ours"
        assert read_graph_json(tmp_path / "graph.json")
    else:
        assert state(tmp_path) == "refused"
        with pytest.raises(DiagnosticError, match=r"E0801: .*profile theirs, was cut short") as caught:
            read_graph_json(tmp_path / "graph.json")
        assert caught.value.diagnostics[0].help
    assert contents(tmp_path).keys() == {*FILES, "manifest.json"}
    build("theirs", tmp_path)
    assert state(tmp_path) == "theirs"
    assert read_graph_json(tmp_path / "graph.json")


def test_what_an_earlier_build_wrote_is_removed_unless_it_was_changed(run: Run, tmp_path: Path) -> None:
    first = driver.build(driver.open_spec(TWO), "ours", folder=tmp_path)
    assert first.written
    old = {"old.txt": b"old", "changed.txt": b"old", "gone.txt": b"old"}
    contents_ = {**contents(tmp_path), **old}
    del contents_["manifest.json"]
    manifest.write_build(tmp_path, "0.1.0", "text", "ours", contents_, is_shared=True)
    (tmp_path / "changed.txt").write_text("new")
    (tmp_path / "gone.txt").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    made = build("theirs", tmp_path).written
    assert made
    assert [p.name for p in made.removed] == ["old.txt"]
    assert [p.name for p in made.left] == ["changed.txt"]
    assert contents(tmp_path).keys() == {*FILES, "manifest.json", "notes.txt", "changed.txt"}
    assert state(tmp_path) == "theirs"


def test_files_of_others_are_not_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text("mine = True\n")
    code, _, err = run("build", "two.yaml", "-o", "mine")
    assert (code, err.splitlines()[0]) == (2, "E0705: mine/model.py is there, and no build wrote it")
    assert contents(tmp_path / "mine") == {"model.py": b"mine = True\n"}
    (tmp_path / "mine" / "model.py").unlink()
    for text in ("{}", "", "[1]", '{"archforge_build": 2}'):
        (tmp_path / "mine" / "manifest.json").write_text(text)
        assert run("build", "two.yaml", "-o", "mine")[0] == 2
        assert contents(tmp_path / "mine") == {"manifest.json": text.encode()}


@pytest.mark.parametrize("name", ["../kept.txt", "a/b", "", "..", "a\\b"])
def test_a_manifest_cannot_name_a_file_elsewhere(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    build("ours", folder)
    told = listed(folder)
    (tmp_path / "kept.txt").write_text("kept")
    entry = {"file": name, "bytes": 4, "sha256": hashlib.sha256(b"kept").hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(told | {"files": [*told["files"], entry]}))
    with pytest.raises(DiagnosticError, match="E0705"):
        build("theirs", folder)
    assert (tmp_path / "kept.txt").exists()


def test_an_export_over_a_file_of_a_build_leaves_the_manifest_true(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    assert run("build", "two.yaml", "-p", "ours")[0] == 0
    folder = tmp_path / "build" / "two"
    assert run("export", "two.yaml", "--to", "graph", "-p", "ours")[0] == 0
    assert {e["file"] for e in listed(folder)["files"]} == set(FILES)
    assert run("export", "two.yaml", "--to", "graph", "-p", "theirs")[0] == 0
    assert {e["file"] for e in listed(folder)["files"]} == set(FILES) - {"graph.json"}
    assert state(folder) == "ours"
    assert read_graph_json(folder / "graph.json")
    assert run("build", "two.yaml", "-p", "ours")[0] == 0
    assert {e["file"] for e in listed(folder)["files"]} == set(FILES)


def test_a_changed_graph_is_not_the_one_that_was_built(tmp_path: Path) -> None:
    build("ours", tmp_path)
    with (tmp_path / "graph.json").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(DiagnosticError, match=r"E0801: .*not the file that the build of text"):
        read_graph_json(tmp_path / "graph.json")
    (tmp_path / "manifest.json").unlink()
    assert read_graph_json(tmp_path / "graph.json")


# Writers that were killed ---------------------------------------------------------------------------------

WRITER = """\
import sys, time
from pathlib import Path
from archforge.atomic_files import written_beside
with written_beside(Path(sys.argv[1], "half")) as file:
    print("on", flush=True)
    time.sleep(60)
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout
    assert process.stdout.readline() == "on\n"
    return process


def test_the_next_writer_deletes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    others = [".archforge-notes", ".archforge-0123456789abcdef0", "archforge-0123456789abcdef", ".git"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".archforge-0123456789abcdef").mkdir()
    killed, working = writer(tmp_path), writer(tmp_path)
    killed.kill()
    killed.communicate()
    assert len(contents_of_files(tmp_path)) == len(others) + 2
    with written_beside(tmp_path / "done") as file:
        file.write(b"done")
    assert len(contents_of_files(tmp_path)) == len(others) + 2  # one is being written, one is done
    working.kill()
    working.communicate()
    with written_beside(tmp_path / "done") as file:
        file.write(b"done")
    assert contents_of_files(tmp_path) == {*others, "done"}


def contents_of_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_writers_of_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    with one_writer(tmp_path):
        code = f"from tests.test_build_folder import *; build('theirs', Path({str(tmp_path)!r}))"
        second = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT)
        time.sleep(2)
        assert contents(tmp_path) == {}
    assert second.wait() == 0
    assert state(tmp_path) == "theirs"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_ends_leaves_nothing_half_written_and_says_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    code = (
        "import sys, time, archforge.cli, archforge.data.manifest as m\n"
        "before = m.written_beside\n"
        "class Slow:\n"
        "    def __init__(self, path): self.inner = before(path)\n"
        "    def __enter__(self):\n"
        "        file = self.inner.__enter__(); print('on', flush=True); time.sleep(60)\n"
        "    def __exit__(self, *a): return self.inner.__exit__(*a)\n"
        "m.written_beside = Slow\n"
        "sys.argv = ['archforge', 'build', 'lenet_5', '-o', 'out']\n"
        "archforge.cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    assert process.stdout
    assert process.stdout.readline() == b"on\n"
    process.send_signal(number)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 128 + number
    assert contents(tmp_path / "out") == {}


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, archforge.cli as cli\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "cli._run = lambda: os.kill(os.getpid(), signal.SIGHUP)\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_signal_is_not_lost_in_a_destructor() -> None:
    code = (
        "import os, signal, time, archforge.cli as cli\n"
        "class Dying:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        "def run():\n"
        "    Dying()\n"
        "    time.sleep(60)\n"
        "cli._run = run\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")


@pytest.mark.slow
def test_builds_killed_at_any_time_leave_one_build_or_a_refusal(tmp_path: Path) -> None:
    random.seed(0)
    code = "import sys; from tests.test_build_folder import *; build(sys.argv[1], Path(sys.argv[2]))"
    build("ours", tmp_path)
    for i in range(40):
        command = [sys.executable, "-c", code, ("ours", "theirs")[i % 2], str(tmp_path)]
        process = subprocess.Popen(command, env=ENVIRONMENT)
        time.sleep(random.uniform(0.3, 1.5))
        process.kill()
        process.wait()
        assert state(tmp_path) in ("ours", "theirs", "refused")
