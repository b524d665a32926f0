"""The commands as a user meets them: output, exit codes, what stays on disk."""

from __future__ import annotations

import gc
import gzip
import inspect
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.analysis.network import KERAS_NOTE
from archforge.backends import available, names
from archforge.cli.app import COMMANDS, GROUPS, docstring_of, function_of
from archforge.resources import zoo_folder
from archforge.weights.rule_made import rule_input, rule_weights
from tests.conftest import TINY, Run
from tests.zoo import networks


def test_check_of_the_shipped_zoo_passes_without_a_warning(run: Run) -> None:
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert "resnet_50" in out.split()
    assert "mismatch" not in out


def test_check_as_json_has_every_cell(run: Run) -> None:
    code, out, _ = run("check", "resnet_50", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["ok"]
    (spec,) = report["specs"]
    assert (spec["name"], spec["departs"], spec["recommended"]) == ("resnet_50", None, None)
    profile = spec["profiles"][0]
    assert (profile["profile"], profile["params"], profile["macs"]) == (
        "documented",
        25_583_592,
        4_089_184_256,
    )
    layers = next(c for c in profile["cells"] if c["cell"] == "layers")
    assert (layers["documented"], layers["computed"], layers["status"]) == (181, 181, "ok")
    assert layers["rule"] == "identity_bottlenecks"
    assert layers["source"].startswith("Luma README")


def test_a_moved_count_fails_the_check_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    text = (zoo_folder() / "resnet_50.yaml").read_text().replace("biases: 27_560", "biases: 27_561")
    (tmp_path / "resnet_50.yaml").write_text(text)
    code, _, err = run("check", "resnet_50.yaml")
    assert code == 1
    assert "E0503: `biases` is documented as 27,561, computed as 27,560" in err
    code, _, _ = run("build", "resnet_50.yaml")
    assert code == 1
    assert [p.name for p in tmp_path.iterdir()] == ["resnet_50.yaml"]
    code, out, _ = run("build", "resnet_50.yaml", "--keep-going")
    assert code == 1
    assert "wrote build/resnet_50/graph.json" in out


def test_a_broken_spec_is_named_and_the_others_go_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TINY.replace("relu", "rellu"))
    (tmp_path / "b.yaml").write_text(TINY)
    code, out, err = run("check", ".")
    assert code == 2
    assert "a.yaml:7:5: E0301: unknown op or block `rellu`" in err
    assert "help: did you mean `relu`?" in err
    assert "b " in out
    assert "unchecked" in out
    code, out, _ = run("check", ".", "--json")
    broken = json.loads(out)["specs"][0]
    assert broken["diagnostics"][0]["code"] == "E0301"
    assert broken["diagnostics"][0]["span"] == {"file": "a.yaml", "line": 7, "column": 5, "length": 5}


def test_require_expect_refuses_unchecked_profiles(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    code, _, err = run("check", "tiny.yaml", "--require-expect")
    assert code == 1
    assert "E0506" in err
    assert "--record" in err


def test_record_writes_what_holds_and_never_touches_figures(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    assert run("check", "--record", "tiny.yaml")[0] == 0
    recorded = path.read_text()
    assert recorded.startswith(TINY)
    assert "source: computed" in recorded
    assert "params: 864" in recorded
    assert run("check", "tiny.yaml", "--require-expect")[0] == 0
    path.write_text(recorded.replace("params: 864", "params: 865"))
    assert run("check", "--record", "tiny.yaml")[0] == 1
    assert "params: 865" in path.read_text()


def test_record_keeps_line_ends_links_and_permissions(run: Run, tmp_path: Path) -> None:
    path, link = tmp_path / "tiny.yaml", tmp_path / "link.yaml"
    path.write_bytes(TINY.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    link.symlink_to(path)
    assert run("check", "--record", "link.yaml")[0] == 0
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") > TINY.count("\n")


@pytest.mark.parametrize(
    "text", [TINY + "...\n", "{archforge: 1, title: x, input: [3, 8, 8], graph: [relu]}\n"]
)
def test_record_leaves_what_takes_no_further_key(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "tiny.yaml").write_text(text)
    code, _, err = run("check", "--record", "tiny.yaml")
    assert (code, err[:5]) == (2, "E0705")
    assert (tmp_path / "tiny.yaml").read_text() == text


def test_record_passes_over_what_is_broken(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TINY.replace("relu", "rellu"))
    (tmp_path / "b.yaml").write_text(TINY)
    code, out, err = run("check", "--record", ".")
    assert code == 2
    assert "a.yaml:7:5: E0301" in err
    assert "b.yaml: recorded default" in out


def test_a_profile_is_checked_where_it_is(run: Run) -> None:
    code, out, _ = run("check", "--profile", "timm", "resnet_18", "lenet_5")
    assert code == 0
    assert "1 network, 1 profile" in out
    assert "lenet_5" not in out
    code, _, err = run("check", "--profile", "tmm", "resnet_18", "lenet_5")
    assert code == 2
    assert "did you mean `timm`?" in err


def test_unchecked_is_not_marked_as_checked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    code, out, _ = run("check", "tiny.yaml")
    assert code == 0
    assert out.startswith("- tiny")
    assert "1 profile unchecked" in out


def test_build_is_the_same_bytes_from_run_to_run(run: Run, tmp_path: Path) -> None:
    assert run("build", "lenet_5.yaml", "-o", "one")[0] == 0
    assert run("build", "lenet_5.yaml", "-o", "two")[0] == 0
    one = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    assert one == {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}
    assert {"graph.json", "ledger.csv", "ledger.json"} <= one.keys()
    assert not any(str(tmp_path).encode() in data for data in one.values())


def test_a_changed_network_has_no_applicable_cells(run: Run) -> None:
    code, out, _ = run("build", "resnet_18", "--set", "classes=10", "--json")
    built = json.loads(out)
    assert code == 0
    statuses = {c["status"] for p in built["profiles"] for c in p["cells"]}
    assert statuses == {"not_applicable"}
    assert built["profiles"][1]["params"] == 11_689_512 - 990 * 513


def test_new_writes_a_spec_that_builds(run: Run) -> None:
    assert run("new", "my_net")[0] == 0
    assert run("check", "my_net.yaml")[0] == 0
    assert run("build", "my_net.yaml")[0] == 0
    layers = {row["name"]: row["output"] for row in json.loads(run("show", "my_net.yaml", "--json")[1])}
    assert [layers[f"stage{n}.1.add"] for n in (1, 2, 3)] == [[16, 32, 32], [32, 16, 16], [64, 8, 8]]
    code, _, err = run("new", "my_net")
    assert code == 2
    assert "E0705" in err


def test_new_quotes_a_title_that_is_no_text(run: Run, tmp_path: Path) -> None:
    assert run("new", "true", "-o", str(tmp_path))[0] == 0
    assert "title: 'True'\n" in (tmp_path / "true.yaml").read_text("utf-8")
    assert run("check", str(tmp_path / "true.yaml"))[0] == 0


def test_new_writes_the_schema_that_its_spec_names(run: Run, tmp_path: Path) -> None:
    import jsonschema
    import yaml

    code, out, _ = run("new", "my_net", "-o", "specs")
    assert code == 0
    assert out.splitlines()[:2] == ["wrote specs/my_net.yaml", "wrote specs/archforge.schema.json"]
    text = (tmp_path / "specs" / "my_net.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=archforge.schema.json\n")
    schema = tmp_path / "specs" / "archforge.schema.json"
    assert schema.read_text() == (zoo_folder() / "archforge.schema.json").read_text()
    jsonschema.validate(yaml.safe_load(text), json.loads(schema.read_text()))
    schema.write_text("kept")
    assert "schema" not in run("new", "other_net", "-o", "specs")[1]
    assert schema.read_text() == "kept"


def test_run_on_files(run: Run, tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "tiny.yaml").write_text(TINY)
    assert run("run", "tiny.yaml", "-o", "first.npz", "--tap", "stem")[0] == 0
    with np.load("first.npz") as arrays:
        assert {k: v.shape for k, v in arrays.items()} == {"output": (1, 4), "stem": (1, 5, 6, 6)}
    np.save("x.npy", np.zeros((2, 3, 8, 8), "float32"))
    code, out, _ = run("run", "tiny.yaml", "-i", "x.npy")
    assert code == 0
    assert "output  2x4" in out
    np.save("y.npy", np.zeros((2, 3, 9, 8), "float32"))
    code, _, err = run("run", "tiny.yaml", "-i", "y.npy")
    assert code == 2
    assert "E0607" in err


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_run_says_what_the_backend_leaves_to_the_reference_or_refuses_it(run: Run) -> None:
    code, out, _ = run("run", "rnn_text", "--backend", "numba")
    assert (code, out.splitlines()[0]) == (
        0,
        "rnn_text, profile listing, on numba (rnn on reference kernels) in float32",
    )
    code, out, err = run("run", "rnn_text", "--backend", "numba", "--strict-backend")
    assert (code, out) == (2, "")
    assert "E0702: the backend numba has no kernel for `rnn`" in err


def test_show_collapses_and_selects(run: Run) -> None:
    code, out, _ = run("show", "resnet_18", "--depth", "1")
    assert code == 0
    assert any(line.split()[:3] == ["layer1", "12", "layers"] for line in out.splitlines())
    code, out, _ = run("show", "resnet_18", "--block", "basic")
    assert code == 0
    assert "layer1.0.conv1" in out
    assert "layer1.1" not in out
    code, _, err = run("show", "resnet_18", "--block", "bottelneck")
    assert code == 2
    assert "E0001" in err


def test_specs_come_from_standard_input(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(TINY))
    code, out, _ = run("show", "-")
    assert code == 0
    assert "head" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "nonesuch"],
        ["build", "resnet"],
        ["build", "resnet_50", "--profile", "tochvision"],
        ["build", "resnet_50", "--set", "clases=10"],
        ["build", "resnet_50", "--set", "classes"],
        ["build", "resnet_50", "--input", "3x2y4"],
        ["build", "resnet_50", "--input", "3x8x8", "--backend", "numpi"],
        ["show", "resnet_50", "--shape", "4"],
        ["run", "resnet_18", "-w", "missing.npz"],
        ["verify", "resnet_18", "missing.json"],
        ["check", "missing_folder"],
        ["check", "."],
        ["check", "--record"],
        ["list", "."],
        ["show", "resnet_18", "--input", "image=3x64x64"],
        ["show", "resnet_18", "--input", "input=3x64x64,input=3x32x32"],
        ["show", "resnet_18", "--input", "input=3,64,64"],
        ["show", "resnet_18", "--set", "classes="],
        ["show", "resnet_18", "--set", "classes=1", "--set", "classes=2"],
        ["show", "resnet_18", "--depth", "1", "--json"],
        ["run", "lenet_5", "-o", "out.txt"],
        ["run", "lenet_5", "-o", "nowhere/out.npz"],
        ["run", "lenet_5", "--dtype", "float33"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_says_what_and_ends_with_2(run: Run, arguments: list[str], tmp_path: Path) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err.split(": ")[0].startswith("E0") or ": E0" in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("resnt_50", "did you mean `resnet_50`?"),
        ("qqqqqqqq", "`archforge list` shows the shipped zoo"),
        ("resnet_50@keras", "its profile is named by `--profile keras`"),
    ],
)
def test_a_name_that_is_no_spec_brings_the_nearest_or_the_list(run: Run, name: str, help: str) -> None:
    code, _, err = run("show", name)
    assert code == 2
    assert err.splitlines()[-1].strip() == f"help: {help}"


def test_a_name_too_long_for_a_file_is_no_spec(run: Run) -> None:
    code, _, err = run("show", "x" * 5000)
    assert (code, err[:5]) == (2, "E0002")


@pytest.mark.parametrize("departs", ["", "it has no bias"])
@pytest.mark.parametrize("recommended", ["", "lenet_5"])
def test_a_list_tells_how_a_network_departs_and_which_is_recommended_and_nothing_else(
    run: Run, tmp_path: Path, departs: str, recommended: str
) -> None:
    given = {"departs": departs, "recommended": recommended}
    header = "".join(f"{key}: {text}\n" for key, text in given.items() if text)
    (tmp_path / "tiny.yaml").write_text(TINY.replace("input:", f"{header}input:"), encoding="utf-8")
    code, out, _ = run("list", "tiny.yaml")
    notes = out.splitlines()[2:]
    told = "; ".join(f"{key}: {text}" for key, text in given.items() if text)
    assert (code, notes) == (0, [f"tiny: {told}"] if told else [])


def test_a_build_tells_how_a_network_departs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("input:", "departs: it has no bias\ninput:"))
    code, out, _ = run("build", "tiny.yaml", "--backend", "numpy")
    assert (code, "departs: it has no bias" in out) == (0, True)


def test_the_list_of_the_zoo_tells_of_every_departure_and_of_what_keras_has_besides(run: Run) -> None:
    code, out, _ = run("list")

    def told(note: str) -> list[str]:
        return [line.partition(":")[0] for line in out.splitlines() if note in line]

    assert code == 0
    assert told(": departs: ") == sorted(name for name, spec in networks().items() if spec.header.departs)
    assert "None" not in out
    first = {name: spec.profile(None).model or "" for name, spec in networks().items()}
    keras = [name for name, model in first.items() if model.startswith("keras.")]
    assert told(KERAS_NOTE) == sorted(keras) != []


@pytest.mark.parametrize("own", ["", "source: a paper"])
@pytest.mark.parametrize(
    "cell",
    [
        "documented: 864",
        "approx: 864",
        "approx: 0.86K",
        "documented: 863, computed: 864, because: {a slip: -1}",
    ],
)
def test_a_cell_has_its_own_source_or_that_of_its_profile(
    run: Run, tmp_path: Path, own: str, cell: str
) -> None:
    text = f"{TINY}expect: {{default: {{source: a site, params: {{{cell}, {own}}}}}}}\n"
    (tmp_path / "tiny.yaml").write_text(text, encoding="utf-8")
    code, out, _ = run("check", "tiny.yaml", "--json")
    (found,) = json.loads(out)["specs"][0]["profiles"][0]["cells"]
    assert (code, found["source"]) == (0, "a paper" if own else "a site")


@pytest.mark.parametrize("empty", ["{}", ""])
def test_an_empty_expect_is_no_figure_and_is_not_recorded_over(run: Run, tmp_path: Path, empty: str) -> None:
    text = f"{TINY}expect: {empty}\n"
    (tmp_path / "tiny.yaml").write_text(text, encoding="utf-8")
    assert run("build", "tiny.yaml")[0] == 0
    code, out, _ = run("check", "tiny.yaml")
    assert (code, "default unchecked" in out) == (0, True)
    assert run("check", "--require-expect", "tiny.yaml")[0] == 1
    code, out, _ = run("check", "--record", "tiny.yaml")
    assert (code, "take it out" in out) == (0, True)
    assert (tmp_path / "tiny.yaml").read_text(encoding="utf-8") == text


def test_a_block_with_an_empty_expect_has_no_case_to_check(run: Run, tmp_path: Path) -> None:
    text = "archforge: 1\nkind: blocks\nblocks: {unit: {args: {out: int}, body: {conv: =out}, expect: {}}}\n"
    (tmp_path / "unit.yaml").write_text(text, encoding="utf-8")
    code, out, err = run("check", "unit.yaml")
    assert code == 0
    assert "W0201: nothing stands behind `expect`" in err
    assert out == "! unit\n0 networks, 0 profiles, 0 cells: 0 ok, 1 warning\n"


def test_a_block_is_checked_by_itself(run: Run) -> None:
    code, out, _ = run("check", "inception_resnet_v1:block_17_8")
    assert code == 0
    assert "block_17_8.b 5 (1 explained), block_17_8.c 5 (1 explained)" in out
    assert out.endswith("2 cases of blocks, 10 cells: 8 ok (4 by rule), 2 explained\n")


def test_a_spec_that_ends_in_yml_is_read_by_its_name_and_else_told_of(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(TINY, encoding="utf-8")
    assert run("check", f"{tmp_path}/own.yml")[0] == 0
    for name in (f"{tmp_path}/own", f"{tmp_path}/own.yaml"):
        code, _, err = run("check", name)
        assert (code, err[:5]) == (2, "E0002")
        assert "rename" in err
        assert "own.yml" in err


@pytest.mark.parametrize("command", ["check", "list"])
@pytest.mark.parametrize("file", ["a.yml", "a.YAML", "a.Yml", "a.yaml", "below/a.YML"])
def test_no_spec_of_a_folder_is_passed_over(run: Run, tmp_path: Path, command: str, file: str) -> None:
    (tmp_path / "folder/below").mkdir(parents=True)
    (tmp_path / "folder/b.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "folder" / file).write_text(TINY, encoding="utf-8")
    for name in ("c.txt", ".d.yml", "yaml"):
        (tmp_path / "folder" / name).write_text("no spec", encoding="utf-8")
    code, out, _ = run(command, "folder", "--json")
    found = json.loads(out)
    assert code == 0
    assert {spec["name"] for spec in (found["specs"] if command == "check" else found)} == {"a", "b"}
    if command == "check":
        assert run("check", "folder", "--require-expect")[0] == 1
        assert run("check", "folder", "--record")[0] == 0
        assert run("check", "folder", "--require-expect")[0] == 0
        assert "expect:" in (tmp_path / "folder" / file).read_text(encoding="utf-8")


def test_what_keras_has_besides_is_said_where_its_profiles_are(run: Run) -> None:
    for name in ("resnet_50", "efficientnet_v2_b1"):
        assert run("show", name, "--profile", "keras", "--depth", "1")[1].endswith(f"{KERAS_NOTE}\n")
    assert KERAS_NOTE not in run("show", "resnet_50", "--profile", "torchvision", "--depth", "1")[1]
    card = run("export", "resnet_50", "--to", "card", "--profile", "keras", "-o", "-")[1]
    assert (KERAS_NOTE in card, "The names are those of" in card) == (True, False)


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no such file here")
def test_a_pipe_is_a_file() -> None:
    done = subprocess.run(command("check", "/dev/stdin"), input=TINY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_all_commands_has_the_docstring_of_each(command: str) -> None:
    assert docstring_of(command)
    assert docstring_of(command) == inspect.getdoc(function_of(command))


def test_the_help_of_all_commands_loads_none_of_them() -> None:
    code = """
import atexit, sys
from archforge.cli import main
atexit.register(lambda: print(*sys.modules))
main()
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    loaded = {*done.stdout.splitlines()[-1].split()}
    assert "archforge.cli.app" in loaded
    assert not {f"archforge.cli.{place.partition('.')[0]}" for place in COMMANDS.values()} & loaded
    assert not {"archforge.driver", "archforge.analysis"} & loaded


def test_a_command_may_stand_behind_the_end_of_options(run: Run) -> None:
    assert run("--", "list", "lenet_5") == run("list", "lenet_5")


@pytest.mark.parametrize("command", ["bench", "build", "profile", "run", "show", "tune", "verify"])
def test_the_help_lists_the_backends_that_are_there(
    command: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run(command, "--help")
    assert code == 0
    assert ", ".join(names()) in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize("command", ["", *COMMANDS, *GROUPS])
def test_the_help_of_80_columns_has_all_words_and_no_types_of_python(
    command: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert not re.search(r"<\w|\bstr\b|\bbool\b|\{[A-Z]|…", out)
    # A line of text ends where the next word would not fit.
    above, *_ = out.split("╭")
    for text, after in pairwise(above.splitlines()):
        if text.strip() and after.strip():
            assert len(text.rstrip()) + len(after.split()[0]) > 76


def test_json_also_tells_of_a_wrong_command(run: Run) -> None:
    code, out, err = run("check", "nonesuch", "--json")
    assert code == 2
    assert err.startswith("E0002")
    assert json.loads(out)["diagnostics"][0]["code"] == "E0002"
    assert json.loads(out)["ok"] is False


def golden_file(taps: dict[str, list[int]], **more: Any) -> str:
    """A golden file of `TINY` with taps of those shapes, whose figures are all wrong."""
    figures = {"mean": 9, "std": 1}
    output = {"shape": [1, 4], **figures, "values": [9]}
    content = {"model": "lib.tiny", "input": [1, 3, 8, 8], "output": output}
    tapped = {tap: {"shape": shape, **figures, "first": [9]} for tap, shape in taps.items()}
    return json.dumps({**content, "taps": tapped, **more})


@pytest.mark.parametrize(
    "golden",
    [
        "",
        "[]",
        "{}",
        '{"model": "m", "input": "a", "output": {}, "taps": {}}',
        '{"model": "m", "input": [1, -3, 8, 8], "output": {}, "taps": {}}',
        '{"model": "m", "input": [1, 3, 8, 8], "output": {"shape": [1, 4]}, "taps": {}}',
        (
            '{"model": "m", "input": [1, 3, 8, 8], "taps": {},'
            ' "output": {"shape": [1, 1], "mean": 0, "std": 1, "values": [1, 2]}}'
        ),
        golden_file({"fc": [4]}, idle=["drop"]),
        golden_file({"fc": [4]}, idle=3),
        golden_file({"fc": [4]}, aliases={"linear": "head"}),
        golden_file({"fc": [4]}, aliases={"fc": 3}),
        golden_file({"fc": [4]}, aliases=["fc"]),
        golden_file({"fc": [4]}).replace("[4]", "[1e400]"),
        golden_file({"fc": [4]}).replace("9", "NaN"),
        golden_file({"fc": [4]}).replace("9", f"1{'0' * 400}"),
        golden_file({"fc": [4]}).replace('"std": 1', '"std": -1'),
        golden_file({"fc": [4]}).replace('"std": 1', '"std": "1"'),
        golden_file({"fc": [4]}).replace('"std": 1', '"std": true'),
        golden_file({"fc": [4]}).replace('"std": 1', '"sdt": 1'),
        golden_file({"fc": [4]}).replace('"first": [9]', '"first": []'),
        golden_file({"fc": [4]}).replace('"first": [9]', '"first": [9, 9, 9, 9, 9]'),
        golden_file({"fc": [4]}).replace('"first": [9]', '"first": "9"'),
        golden_file({"fc": [4]}).replace('"first": [9]', '"first": [11.1]'),  # of 4 numbers
        golden_file({"fc": [4]}).replace('"values": [9]', '"values": [[9]]'),
        golden_file({"fc": [4]}).replace("[4]", "[4.0]"),
        golden_file({"fc": [4]}).replace("[4]", "[0]"),
        golden_file({"fc": [4]}).replace("[4]", "[]"),
        golden_file({"fc": [4]}).replace("[1, 3, 8, 8]", "[1, 3, 80000, 80000]"),
        golden_file({"fc": [4]}).replace('"lib.tiny"', "3"),
        golden_file({"fc": [4]}, alias={}),
        golden_file({"fc": [4]}).replace('"taps"', '"model": "lib.other", "taps"'),
        golden_file({"fc": [4]}, idle=["fc", 3]),
        golden_file({"fc": [4]}, idle="fc"),
        golden_file({"fc": [4]}, aliases={"fc": ["head"]}),
        "[" * 100_000,
    ],
)
def test_a_malformed_golden_file_is_refused(run: Run, tmp_path: Path, golden: str) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "golden.json").write_text(golden)
    code, _, err = run("verify", "tiny.yaml", "golden.json")
    assert (code, err[:5]) == (2, "E0601")


def test_a_golden_output_may_be_constant(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "golden.json").write_text(golden_file({"head": [4]}).replace('"std": 1', '"std": 0'))
    code, _, err = run("verify", "tiny.yaml", "golden.json", "--backend", "numpy")
    assert (code, err) == (1, "")


def test_an_unknown_name_that_is_like_none_is_shown_where_the_names_are(run: Run) -> None:
    code, _, err = run("show", "zzzzzzzz")
    assert (code, "help: `archforge list` shows the shipped zoo" in err) == (2, True)


def test_the_seed_is_0_unless_it_is_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = ("run", "tiny.yaml", "--backend", "numpy")
    given, other = (run(*command, "--seed", seed) for seed in ("0", "1"))
    assert run(*command) == given
    assert given[1] != other[1]


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b",
        gzip.compress(b"{}", mtime=0)[:-4],
        gzip.compress(b"[1]", mtime=0),
        b"\x1f\x8bnothing more",
        b"\xff\xfe\xfa",
        b"\0",
    ],
)
@pytest.mark.parametrize("name", ["golden.json", "golden.json.gz"])
def test_a_damaged_golden_file_is_refused(run: Run, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / name).write_bytes(data)
    code, _, err = run("verify", "tiny.yaml", name)
    assert (code, err[:5]) == (2, "E0601")


def test_a_packed_golden_file_is_unpacked_only_so_far(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "golden.json.gz").write_bytes(gzip.compress(b" " * (2**26 + 1), 9))
    code, _, err = run("verify", "tiny.yaml", "golden.json.gz")
    assert (code, "it has more than 67,108,864 bytes" in err) == (2, True)


@pytest.mark.parametrize("change", ["mean", "std", "huge std", "value", "tap", "name of a tap"])
def test_verify_holds_every_figure_of_a_golden_file(run: Run, tmp_path: Path, change: str) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    network = archforge.load(tmp_path / "tiny.yaml")
    model = archforge.compile(
        network, backend="numpy", dtype="float64", weights=rule_weights(network.params), taps=["stem"]
    )
    y, taps = model(rule_input((1, 3, 8, 8)))

    def figures(array: np.ndarray[Any, Any], values: str) -> dict[str, Any]:
        flat = array.ravel()
        return {"shape": array.shape, "mean": flat.mean(), "std": flat.std(), values: flat[:4].tolist()}

    golden: dict[str, Any] = {"model": "lib.tiny", "input": [1, 3, 8, 8]}
    golden["output"] = figures(y, "values")
    golden["taps"] = {"stem": figures(taps["stem"], "first")}
    path = tmp_path / "golden.json"
    path.write_text(json.dumps(golden))
    assert run("verify", "tiny.yaml", "golden.json")[0] == 0
    output, stem = golden["output"], golden["taps"]["stem"]
    if change == "mean":
        output["mean"] += output["std"] * 1e-6
    elif change == "std":
        output["std"] *= 1 + 1e-6
    elif change == "huge std":
        stem["std"] *= 1e12
    elif change == "value":
        output["values"][-1] += output["std"] * 1e-6
    elif change == "tap":
        stem["first"][0] += stem["std"] * 1e-6
    else:
        golden["taps"]["stam"] = golden["taps"].pop("stem")
    path.write_text(json.dumps(golden))
    assert run("verify", "tiny.yaml", "golden.json")[0] == 1


def test_verify_takes_the_profile_of_the_golden_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        f"{TINY}profiles: {{ours: {{}}, theirs: {{model: lib.tiny, classes: 3}}}}\n"
    )
    output = {"shape": [1, 3], "mean": 0, "std": 1, "values": [0, 0, 0]}
    golden = {"model": "lib.tiny", "input": [1, 3, 8, 8], "output": output, "taps": {}}
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    code, out, _ = run("verify", "tiny.yaml", "golden.json")
    assert code == 1
    assert "tiny, profile theirs, against lib.tiny" in out
    assert "3 values compared" in out
    assert "another shape" in run("verify", "tiny.yaml", "golden.json", "-p", "ours")[1]


def test_verify_looks_for_taps_under_the_names_that_the_golden_file_gives(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    taps = {"stem": [5, 6, 6], "drop": [4], "act": [5, 6, 6], "view": [180], "fc": [4]}
    golden = golden_file(taps, aliases={"act": None, "view": "flatten", "fc": "head"}, idle=["drop"])
    (tmp_path / "golden.json").write_text(golden)
    code, out, _ = run("verify", "tiny.yaml", "golden.json")
    assert (code, "3 layers compared" in out, "not here" in out) == (1, True, False)
    (tmp_path / "golden.json").write_text(golden_file(taps))
    _, out, _ = run("verify", "tiny.yaml", "golden.json")
    assert "1 layer compared" in out
    assert "no value here for `drop`, `act`, `view` and 1 more" in out


def test_parameters_that_are_shared_are_shown_once(run: Run, tmp_path: Path) -> None:
    steps = "[{linear: 3, from: =a, share: one}, {linear: 3, from: =b, share: one}]"
    (tmp_path / "two.yaml").write_text(
        f"archforge: 1\ntitle: Two\ninput: {{a: [3], b: [3]}}\ngraph:\n  - add: {steps}\n"
    )
    rows = json.loads(run("show", "two.yaml", "--json")[1])
    assert [row["params"] for row in rows] == [12, 0, 0]
    assert "share=" in run("show", "two.yaml")[1]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "archforge", *arguments]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_streams_that_lack_a_sign_get_another(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("Tiny", "Tiný ✓"), encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for arguments in (["build", "tiny.yaml"], ["build", "tiny.yaml", "--json"], ["check", "lenet_5"]):
        done = subprocess.run(command(*arguments), cwd=tmp_path, env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        if "--json" in arguments:
            assert json.loads(done.stdout.decode(encoding))["title"] == "Tiný ✓"
    assert done.stdout.decode(encoding).startswith("ok lenet_5")


def test_a_reader_that_goes_away_is_no_failed_check(tmp_path: Path) -> None:
    with subprocess.Popen(command("list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_is_said() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command("check", "lenet_5"), stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "E0705: cannot write the output: no space left on device\n")


TERMINAL = """
import os, pty, sys
from itertools import pairwise
from pathlib import Path
pid, terminal = pty.fork()
if not pid:
    os.dup2(os.open("stdout", os.O_WRONLY | os.O_CREAT), 1)
    os.environ["TERM"] = "xterm"
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
shown = b""
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    shown += data
os.waitpid(pid, 0)
sys.stdout.write(shown.decode() + Path("stdout").read_text())
"""
WAITING = """
import logging, sys, time
from archforge.cli import progress
progress.PATIENCE_S = {patience}
with progress.Progress("waiting") as line:
    end = time.monotonic() + (60 if {patience} < 1 else 0)  # a busy machine takes long to import rich
    while line._line is None and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)
    line.say("[running]")
    logging.getLogger("archforge").info("a kernel is compiled")
    time.sleep(0.5)
    with line.paused():
        print("printed")
print("rich" in sys.modules)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("patience", [0.01, 60])
def test_progress_is_shown_on_a_terminal_and_only_if_it_takes_long(tmp_path: Path, patience: float) -> None:
    program = [sys.executable, "-c", TERMINAL, WAITING.format(patience=patience)]
    out = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    if patience < 1:
        assert "waiting" in out
        assert "[running]" in out
        assert "a kernel is compiled" in out
        assert out.endswith("printed\nTrue\n")
    else:
        assert out == "printed\nFalse\n"


def test_no_progress_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from archforge.cli.progress import Progress

    with Progress("waiting") as progress:
        progress.say("running")
        assert progress._timer is None
    assert capsys.readouterr() == ("", "")


def test_our_own_bug_ends_with_70(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    from archforge import driver

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(driver, "open_spec", broken)
    code, _, err = run("show", "resnet_18")
    assert code == 70
    assert "RuntimeError: on purpose" in err
    assert "bug of archforge" in err


def test_check_loads_neither_numpy_nor_jinja2_nor_rich() -> None:
    program = """
import sys
from archforge.backends import available, names
from archforge.cli.app import COMMANDS, GROUPS, docstring_of, function_of
from archforge.cli import main
sys.argv = ["archforge", "check", "resnet_50"]
try:
    main()
except SystemExit:
    pass
print(sorted({"numpy", "jinja2", "rich"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_plugins_of_pydantic_that_are_installed_are_not_looked_for(tmp_path: Path) -> None:
    installed = tmp_path / "loud-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[pydantic]\nloud = loud:plugin\n")
    (tmp_path / "loud.py").write_text("raise RuntimeError('loaded')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    program = [sys.executable, "-m", "archforge", "check", "lenet_5"]
    done = subprocess.run(program, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_tests_behind_a_command_have_their_garbage_collected(run: Run) -> None:
    run("check", "lenet_5")
    assert gc.isenabled()
