"""Outputs with converted weights beside those of the network that a file is of, `--verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.arrays import write_arrays
from archforge.weights import rule_weights
from tests.conftest import TINY, Run

TORCH = "`make test-interchange` installs it"
OTHER = TINY.replace("stem", "first").replace("head", "last")


@pytest.fixture
def convert(run: Run, tmp_path: Path) -> Any:
    """Runs a conversion with `--verify` of a small network's file of ONNX to a spec."""
    pytest.importorskip("onnx")
    for name, text in (("tiny", TINY), ("other", OTHER), ("ended", f"{TINY}  - softmax\n"),
                       ("steeper", TINY.replace("- relu", "- leaky_relu: 0.1"))):  # fmt: skip
        Path(f"{name}.yaml").write_text(text)

    def convert(of: str, to: str, *arguments: str) -> tuple[int, str, str]:
        write_arrays("w.npz", rule_weights(archforge.load(f"{of}.yaml").params))
        assert run("export", f"{of}.yaml", "--to", "onnx", "-w", "w.npz", "-o", "net.onnx")[0] == 0
        spec = ("--to", f"{to}.yaml")
        return run("weights", "convert", "net.onnx", *spec, "-o", "out.npz", "--verify", *arguments)

    return convert


@pytest.mark.parametrize(
    ("of", "to", "behind"),
    [
        ("tiny", "tiny", ""),
        ("tiny", "other", ""),
        ("ended", "ended", ""),
        ("ended", "tiny", " behind a softmax"),
    ],
)
def test_equal_outputs_are_told_and_weights_written(convert: Any, of: str, to: str, behind: str) -> None:
    code, out, _ = convert(of, to)
    *_, told, last = out.splitlines()
    assert (code, last) == (0, "wrote out.npz")
    assert f"outputs{behind} and those of onn" in told
    code, out, _ = convert(of, to, "--json")
    found = json.loads(out)["verification"]
    assert (code, found["softmax"]) == (0, bool(behind))
    assert 0 <= found["worst"] <= found["tolerance"] < found["moved"]


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--mapping", "m.json"]])
def test_outputs_that_differ_leave_nothing_written(convert: Any, arguments: list[str]) -> None:
    code, out, _ = convert("tiny", "steeper", *arguments)
    assert code == 1
    assert not Path("out.npz").exists()
    assert not Path("m.json").exists()
    if "--json" in arguments:
        assert json.loads(out)["ok"] is False
    else:
        assert out.splitlines()[-1].endswith(" of the largest value apart; nothing is written")


def test_outputs_that_do_not_change_with_the_input_are_told(convert: Any, run: Run) -> None:
    """Right weights of a first layer are not told from wrong by a last layer that gives its bias alone."""
    convert("tiny", "tiny")
    arrays = dict(np.load("w.npz"))
    write_arrays("w.npz", {**arrays, "head.weight": 0 * arrays["head.weight"]})
    assert run("export", "tiny.yaml", "--to", "onnx", "-w", "w.npz", "-o", "net.onnx")[0] == 0
    code, out, _ = run("weights", "convert", "net.onnx", "--to", "tiny.yaml", "-o", "out.npz", "--verify")
    assert (code, "little is proved" in out) == (0, True)


def test_what_nothing_runs_is_refused(convert: Any, run: Run) -> None:
    convert("tiny", "tiny")
    Path("out.npz").unlink()
    code, _, err = run("weights", "convert", "w.npz", "--to", "tiny.yaml", "-o", "out.npz", "--verify")
    assert (code, err.splitlines()[0]) == (
        2,
        "E0001: nothing here runs the network that w.npz belongs to, for `--verify`",
    )
    assert not Path("out.npz").exists()


def test_inputs_of_another_size_are_told(convert: Any) -> None:
    Path("small.yaml").write_text(TINY.replace("[3, 8, 8]", "[3, 11, 6]"))
    code, _, err = convert("tiny", "small")
    assert (code, err.splitlines()[0]) == (2, "E0801: the input 'input' of net.onnx is 3x8x8, and not 3x11x6")


@pytest.mark.parametrize("classes", [1000, 7])
@pytest.mark.parametrize("profile", ["torchvision", "timm"])
def test_weights_of_torchvision_are_run_there(run: Run, tmp_path: Path, classes: int, profile: str) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    models = pytest.importorskip("torchvision.models", reason=TORCH)
    torch.manual_seed(0)
    torch.save({"model": models.mobilenet_v2(num_classes=classes).state_dict()}, "w.pth")
    settings = [] if classes == 1000 else ["--set", f"classes={classes}"]
    command = ["weights", "convert", "w.pth", "--to", "mobilenet_v2", "-p", profile, *settings]
    code, out, _ = run(*command, "-o", "out.npz", "--verify")
    assert (code, "those of torchvision.mobilenet_v2" in out) == (0, True)
    Path("out.npz").unlink()
    code, out, _ = run(*command, "--set", "bn.eps=1e-2", "-o", "out.npz", "--verify")
    assert (code, Path("out.npz").exists()) == (1, False)
