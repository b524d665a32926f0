"""Names of classes: said by profiles, by `--labels`, and printed with probabilities by `archforge run`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

import archforge
from archforge.cli import results
from archforge.data.arrays import write_arrays
from archforge.data.class_names import CLASS_NAMES, class_names, class_texts
from archforge.weights import rule_weights
from tests.conftest import Run
from tests.zoo import expected, networks

# Outputs without names here: the classes of ImageNet-21k, and the features that CLIP compares with texts.
UNNAMED = {21_841, 768}

SPEC = """\
archforge: 1
title: Named
input: [3, 8, 8]
args: {classes: 1000, last: []}
profiles:
  named: {labels: imagenet}
  plain: {}
graph: [global_avg_pool, flatten, {linear: =classes, name: head}, =last]
"""


@pytest.fixture
def classify(run: Run, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs a network whose weights by rule lie in a file on an array, with further arguments."""

    def classify(*arguments: str, name: str = "x.npy", weights: str = "w.npz") -> tuple[int, str, str]:
        Path("named.yaml").write_text(SPEC)
        classes = next((a.removeprefix("classes=") for a in arguments if a.startswith("classes=")), "1000")
        network = archforge.load("named.yaml", classes=int(classes))
        write_arrays("w.npz", rule_weights(network.params))
        folder = Path("data")
        folder.mkdir(exist_ok=True)
        np.save(folder / name, np.random.default_rng(0).standard_normal((3, 8, 8)).astype(np.float32))
        return run("run", "named.yaml", "-i", "data", "-w", weights, "--backend", "numpy", *arguments)

    return classify


Classify = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("word", CLASS_NAMES)
def test_each_class_has_a_name_of_its_own(word: str) -> None:
    names = class_names(word)
    assert len(names) == len({*names}) == 1000
    assert all(name == name.strip() and name.isprintable() for name in names)


def test_profiles_of_the_zoo_with_released_weights_say_whose_their_classes_are() -> None:
    for name, spec in networks().items():
        for decl in map(spec.profile, spec.profile_names):
            named = bool(decl.preprocess) and expected(name, decl.name).get("output") not in UNNAMED
            assert bool(decl.labels) == named, f"{name}, {decl.name}"
            if decl.labels:
                first = expected(name, decl.name)["output"]
                assert str(first).partition(",")[0] == str(len(class_names(decl.labels))), (
                    f"{name}, {decl.name}"
                )


def test_names_of_a_network_with_other_classes_are_none() -> None:
    assert archforge.load("mobilenet_v2", "torchvision").labels[281] == "tabby"
    for classes in (2, 1001, 21841):
        assert archforge.load("mobilenet_v2", "torchvision", classes=classes).labels == ()
    assert archforge.load("mobilenet_v2", "documented").labels == ()


def test_the_largest_values_have_names_and_probabilities(classify: Classify) -> None:
    code, out, err = classify("--top", "3")
    assert code == 0
    assert "labels of profile named" in err
    first, *lines = out.splitlines()
    assert first == "data/x.npy"
    assert len(lines) == 3
    (row,) = map(json.loads, classify("--json", "--top", "1000")[1].splitlines())
    top = row["top"]
    assert sum(p["probability"] for p in top) == pytest.approx(1, abs=1e-5)
    values = np.array([p["value"] for p in top])
    share = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
    np.testing.assert_allclose([p["probability"] for p in top], share, rtol=1e-5)
    for line, p in zip(lines, top, strict=False):
        assert p["label"] == class_names("imagenet")[p["class"]]
        assert line.startswith(f"  {100 * p['probability']:5.1f} %  ")
        assert line.endswith(f" {p['class']:>3}  {p['label']}")


@pytest.mark.parametrize(
    ("arguments", "weights"),
    [(["--set", "classes=2"], "w.npz"), (["-p", "plain"], "w.npz"), (["--labels", "none"], "w.npz"),
     (["--set", "classes=1001"], "w.npz"), ([], "fresh"), ([], "rule")],
)  # fmt: skip
def test_classes_that_nobody_named_have_numbers(
    classify: Classify, arguments: list[str], weights: str
) -> None:
    code, out, _ = classify("--json", *arguments, weights=weights)
    assert code == 0
    assert all(p.keys() == {"class", "value"} for p in json.loads(out)["top"])


def test_the_option_wins(classify: Classify) -> None:
    Path("own.txt").write_text("".join(f"own {i}\n" for i in range(1000)))
    code, out, err = classify("--labels", "own.txt", "--json")
    assert (code, "labels own.txt" in err) == (0, True)
    assert all(p["label"] == f"own {p['class']}" for p in json.loads(out)["top"])
    for arguments in (["-p", "plain"], []):
        out = classify("--labels", "imagenet", "--json", *arguments, weights="rule")[1]
        assert all(p["label"] == class_names("imagenet")[p["class"]] for p in json.loads(out)["top"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--labels", "imagenet", "--set", "classes=2"],
            "imagenet has 1,000 names, the network's output is 2",
        ),
        (["--labels", "imagnet"], "there is no file of labels imagnet\n      help: did you mean `imagenet`?"),
        (["--labels", "nowhere.txt"], "cannot read nowhere.txt"),
    ],
)
def test_names_that_do_not_fit_are_refused(classify: Classify, arguments: list[str], says: str) -> None:
    code, out, err = classify(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"E0601: {says}")


@pytest.mark.parametrize(
    ("last", "probabilities"),
    [
        ("[]", lambda y: np.exp(y) / np.exp(y).sum()),
        ("[softmax]", lambda y: y),
        ("[log_softmax]", np.exp),
        ("[sigmoid]", lambda y: y),
    ],
)
def test_probabilities_are_made_of_what_the_network_gives(
    classify: Classify, last: str, probabilities: Callable[[Any], Any]
) -> None:
    Path("own.txt").write_text("a\nb\nc\n")
    out = classify("--set", "classes=3", "--set", f"last={last}", "--labels", "own.txt", "--json")[1]
    top = json.loads(out)["top"]
    expected = probabilities(np.array([p["value"] for p in top], np.float64))
    np.testing.assert_allclose([p["probability"] for p in top], expected, rtol=1e-5)


def test_a_table_has_names_and_probabilities(classify: Classify) -> None:
    assert classify("-o", "out.csv", "--top", "2")[0] == 0
    head, row = csv.reader(Path("out.csv").read_text().splitlines())
    assert head[1:5] == ["class_1", "label_1", "value_1", "probability_1"]
    assert row[2] == class_names("imagenet")[int(row[1])]
    assert float(row[4]) >= float(row[8])


@pytest.mark.parametrize("columns", [20, 59, 60, 80, 200])
def test_lines_fit_into_the_terminal(
    classify: Classify, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    Path("own.txt").write_text("a\n" + "long " * 40 + "\n" + "\u5bbf" * 60 + "\n")
    _, out, _ = classify("--set", "classes=3", "--labels", "own.txt")
    for line in out.splitlines()[1:]:
        assert cell_len(line) <= max(columns, 16 + results.SHORTEST)
        assert ("\u2588" in line or "\u258f" in line or "0.0 %" in line) == (columns >= results.NARROW)


def test_bars_are_signs_that_the_terminal_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = [results.RankedValue(i, 0.0, "name", p) for i, p in enumerate((1.0, 0.5, 0.01, 0.0, math.nan))]
    widths = [[line[11:35].rstrip() for line in results.bars(ranked)]]
    monkeypatch.setattr(results, "can_show", lambda text: False)
    widths.append([line[11:35].rstrip() for line in results.bars(ranked)])
    assert widths == [["\u2588" * 24, "\u2588" * 12, "\u258e", "", ""], ["#" * 24, "#" * 12, "", "", ""]]


def test_names_of_files_and_classes_cannot_change_the_terminal(classify: Classify) -> None:
    Path("own.txt").write_bytes(b"a\x1b[31m\nb\n")
    code, out, _ = classify("--set", "classes=2", "--labels", "own.txt", name="x\n\x1b[2Jy.npy")
    assert code == 0
    assert "\x1b" not in out
    assert out.splitlines()[0] == r"data/x\n\x1b[2Jy.npy"
    assert r"a\x1b[31m" in out
    assert "\x1b" not in classify("--set", "classes=2", name="x\n\x1b[2Jy.npy")[1]


# Trained here --------------------------------------------------------------------------------------------


def test_classes_that_were_learned_have_the_names_of_the_data(run: Run, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    Path("named.yaml").write_text(SPEC)
    for name, shade in (("dark", 10), ("light", 240)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            pillow.new("RGB", (8, 8), (shade + i,) * 3).save(tmp_path / "data" / name / f"{i}.png")
    two = ("named.yaml", "--set", "classes=2")
    train = ("train", *two, "--data", "data", "--out", "run", "--epochs", "1", "--backend", "numpy")
    assert run(*train, "--optimizer", "sgd", "--loss", "cross_entropy")[0] == 0
    assert run("weights", "convert", "run/last.safetensors", "--to", "named.yaml", "-o", "w.safetensors",
               "--set", "classes=2")[0] == 0  # fmt: skip
    for weights in ("run/last.safetensors", "w.safetensors"):
        code, out, err = run("run", *two, "-w", weights, "-i", "data/dark", "--json", "--backend", "numpy")
        assert (code, f"labels of {weights}" in err) == (0, True)
        (first, *_) = map(json.loads, out.splitlines())
        assert {p["label"]: p["class"] for p in first["top"]} == {"dark": 0, "light": 1}


def test_classes_that_were_learned_without_names_have_numbers(classify: Classify) -> None:
    """Nobody knows that the 1,000 classes of other data are not ImageNet's, if the weights do not say it."""
    classify()
    weights = rule_weights(archforge.load("named.yaml").params)
    for texts, is_named in ((class_texts(()), False), (class_texts(("a", "b")), False), ({}, True)):
        write_arrays("w.safetensors", weights, texts)
        code, out, _ = classify("--json", weights="w.safetensors")
        assert code == 0
        assert ("label" in json.loads(out)["top"][0]) == is_named


@pytest.mark.parametrize("text", ["", "3", "[1]", "[" * 100_000])
def test_names_in_a_file_that_are_none_are_refused(classify: Classify, text: str) -> None:
    classify()
    weights = rule_weights(archforge.load("named.yaml").params)
    write_arrays("w.safetensors", weights, {"archforge.classes": text})
    code, out, err = classify(weights="w.safetensors")
    assert (code, out) == (2, "")
    assert err.startswith("E0601: cannot read w.safetensors: ")
