"""Training runs: what they keep, that they go on as if nothing had happened, and what ends them."""

from __future__ import annotations

import hashlib
import html
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import archforge
from archforge.datasets.arrays import ArraySamples
from archforge.errors import DiagnosticError, TrainingWarning
from archforge.recipe.digests import code_digest
from archforge.spec.resolve.recipe import from_flags, from_python, recipe_of
from archforge.training.checkpoint import read_checkpoint, write_checkpoint
from archforge.training.evaluate import evaluate
from archforge.training.run import TrainingRun
from archforge.training.train import begin
from tests.conftest import Run

# Whatever draws or keeps a state is in it.
SPEC = """
archforge: 1
title: Small
input: [2, 6, 6]
graph:
  - conv: {out: 4, kernel: 3, padding: 1}
  - bn
  - relu
  - dropout: 0.2
  - flatten
  - linear: 3
  - softmax
train:
  loss: cross_entropy
  optimizer: {adam: {lr: 0.01}}
  schedule: {cosine: {}}
  batch: 8
  accumulate: 2
  epochs: 3
  ema: 0.9
  validation: 0.25
"""
KEPT = ("last.safetensors", "best.safetensors", "checkpoint.safetensors", "checkpoint.previous.safetensors")


def samples(number: int = 40) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, number)
    x = rng.standard_normal((number, 2, 6, 6)).astype(np.float32)
    x += y[:, None, None, None]
    return x, y


def train(out: Path | None = None, **options: Any) -> archforge.Trained:
    return archforge.train(SPEC, samples(), out=out, **{"backend": "numpy", **options})


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in KEPT}


class Ending(archforge.Callback):
    """Raises behind one update, as a kill would end the run."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_update(self, run: TrainingRun, loss: float) -> None:
        if run.place.updates == self.update:
            raise InterruptedError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder)
    return folder


@pytest.mark.parametrize("every", [0, 1])
def test_a_run_that_goes_on_ends_as_one_that_was_not_interrupted(
    every: int, whole: Path, tmp_path: Path
) -> None:
    updates = 3 * 2  # of 30 samples, in epochs of two updates
    for update in range(1, updates + 1):
        folder = tmp_path / str(update)
        with pytest.raises(InterruptedError):
            train(folder, callbacks=[Ending(update)], checkpoint_every=every)
        train(folder, resume=(folder / "checkpoint.safetensors").exists())
        found = digests(folder)
        if every:  # the one before the last may be of the middle of an epoch
            del found["checkpoint.previous.safetensors"]
        assert found.items() <= digests(whole).items()
        rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_a_run_that_has_ended_goes_on_to_nothing(whole: Path) -> None:
    before = digests(whole)
    assert train(whole, resume=True).reason == "all 3 epochs are done"
    assert digests(whole) == before


def test_a_run_goes_on_to_more_epochs_and_says_what_has_changed(tmp_path: Path) -> None:
    train(tmp_path / "run")
    with pytest.warns(TrainingWarning, match=r"recipe.epochs was 3 and is 4"):
        trained = train(tmp_path / "run", resume=True, epochs=4)
    assert len(trained.history) == 4


def test_a_checkpoint_from_before_a_key_of_the_recipe_is_under_the_same_conditions(tmp_path: Path) -> None:
    place = tmp_path / "run" / "checkpoint.safetensors"
    train(tmp_path / "run")
    kept = read_checkpoint(place)
    conditions = json.loads(json.dumps(kept.conditions))
    recipe = conditions["recipe"]
    del conditions["ranks"], recipe["sync_bn"], recipe["data"]["augment"], recipe["clip"]["norm"]
    del recipe["optimizer"]["adam"]["weight_decay"], recipe["loss"]["cross_entropy"]["smoothing"]
    del recipe["schedule"][0]["cosine"]["least"]
    recipe["recompute"] = []  # as it was once kept
    write_checkpoint(place, replace(kept, conditions=conditions))
    assert train(tmp_path / "run", resume=True).reason == "all 3 epochs are done"
    recipe["ema"] = 0.5
    write_checkpoint(place, replace(kept, conditions=conditions))
    with pytest.warns(TrainingWarning, match=r"recipe.ema was 0.5 and is 0.9"):
        train(tmp_path / "run", resume=True)


def test_a_folder_in_use_is_refused(whole: Path) -> None:
    with pytest.raises(DiagnosticError, match="--resume goes on with it"):
        train(whole)


def test_a_folder_without_a_checkpoint_begins_anew_and_says_so(tmp_path: Path, whole: Path) -> None:
    with pytest.warns(TrainingWarning, match="W0902: `resume` is without effect: .*run has no checkpoint"):
        train(tmp_path / "run", resume=True)
    assert digests(tmp_path / "run") == digests(whole)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors", "history.csv", "report.html"])
def test_files_that_are_of_no_run_are_not_written_over(name: str, resume: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(DiagnosticError, match=f"holds {name}, which is of no run here"):
        train(tmp_path, resume=resume)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_a_run_that_ends_before_its_first_epoch_hinders_none(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(InterruptedError):
        train(tmp_path / "run", callbacks=[Ending(1)])
    train(tmp_path / "run")
    assert digests(tmp_path / "run") == digests(whole)


def test_resuming_where_no_run_is_says_so_and_leaves_what_is_there(places: tuple[Path, Path]) -> None:
    folder, data = places
    folder.mkdir()
    (folder / "log.txt").write_text("mine")
    done = ended(*command(folder, data, "--epochs=1", "--resume"))
    assert done.returncode == 0
    there = f"{folder} has no checkpoint, and the run begins there"
    assert f"{there}, beside log.txt, which a run does not touch\n" in done.stderr
    assert (folder / "log.txt").read_text() == "mine"
    assert there not in ended(*command(folder, data, "--epochs=1", "--resume")).stderr
    other = folder.with_name("other")
    refused = ended(*command(other, data, "--epochs=1", "--resume", "--warnings=error"))
    assert refused.returncode == 2
    assert f"W0902: `resume` is without effect: {other} has no checkpoint" in refused.stderr


def test_a_checkpoint_of_another_network_is_refused(whole: Path) -> None:
    before = digests(whole)
    with pytest.raises(DiagnosticError, match="E0604"):
        archforge.train(SPEC.replace("out: 4", "out: 5"), samples(), out=whole, resume=True, backend="numpy")
    assert digests(whole) == before


def test_a_new_head_on_trained_weights_learns_alone() -> None:
    weights = train().weights
    other = SPEC.replace("linear: 3", "linear: 4")
    x, y = samples()
    given: dict[str, Any] = {
        "data": (x, np.arange(len(y)) % 4),
        "weights": weights,
        "backend": "numpy",
        "epochs": 1,
    }
    with pytest.raises(DiagnosticError, match=r"`linear.bias` is 3, expected 4\n +help: `reinit` draws"):
        archforge.train(other, **given)
    trained = archforge.train(other, **given, reinit=["linear.*"], freeze=["conv.*", "bn.*"])
    assert trained.weights["linear.bias"].shape == (4,)
    for name in ("conv.weight", "conv.bias", "bn.weight", "bn.bias"):
        assert np.array_equal(trained.weights[name], weights[name])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_batches_that_accumulate_are_as_one(dtype: str, tolerance: float) -> None:
    text = SPEC.replace("  - bn\n", "").replace("  - dropout: 0.2\n", "").replace("adam", "sgd")

    def weights(batch: int, accumulate: int) -> Mapping[str, Any]:
        return archforge.train(
            text, samples(), backend="numpy", dtype=dtype, batch=batch, accumulate=accumulate
        ).weights

    whole = weights(16, 1)
    for other in (weights(8, 2), weights(4, 4)):
        for name, array in whole.items():
            assert np.abs(array - other[name]).max() <= tolerance


def test_what_is_frozen_stays() -> None:
    fresh = archforge.train(SPEC, samples(), backend="numpy", epochs=1, optimizer={"sgd": {"lr": 0.0}}, ema=0)
    trained = train(freeze=["conv*", "bn*"])
    for name, array in fresh.weights.items():
        same = np.array_equal(array, trained.weights[name])
        assert same == (name.startswith(("conv", "bn")) and "running" not in name), name


def test_a_loss_that_is_not_finite_names_the_layer() -> None:
    x, y = samples()
    with pytest.raises(DiagnosticError, match=r"(?s)E0903.*the output of `linear`, a linear, is the first"):
        archforge.train(
            SPEC.replace("  - dropout", "  - relu\n  - dropout"),
            (x, y),
            backend="numpy",
            weights=_huge(),
            epochs=1,
        )


def _huge() -> Mapping[str, Any]:
    network = archforge.load(SPEC)
    arrays = {name: np.ones(decl.shape, np.float32) for name, decl in network.params.items()}
    return arrays | {"linear.weight": np.full(network.params["linear.weight"].shape, 3e38, np.float32)}


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    program = (
        "import resource, sys, tests.test_training as t\n"
        "from pathlib import Path\n"
        "class Full(t.archforge.Callback):\n"
        "    def on_epoch(self, run, figures):\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n    t.train(Path(sys.argv[1]), callbacks=[Full()])\n"
        "except t.DiagnosticError as error:\n    print(error)\n"
    )
    folder = tmp_path / "run"
    done = ended(sys.executable, "-c", program, str(folder))
    assert "E0705" in done.stdout
    train(folder, resume=True)
    assert not list(folder.glob(".archforge-*"))


def test_predictions_are_probabilities_or_classes() -> None:
    trained = train(epochs=20)
    x, y = samples()
    probabilities = trained.predict(x)
    assert probabilities.shape == (40, 3)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (probabilities.argmax(1) == trained.predict(x, argmax=True)).all()
    right = (trained.predict(x, argmax=True) == y).mean()
    assert right == pytest.approx(trained.evaluate((x, y))["accuracy"])
    assert right > 0.8


@pytest.mark.parametrize(("loss", "bound"), [("bce_with_logits", 0.5), ("hinge", 0.0)])
def test_a_single_number_is_the_side_on_which_it_lies(loss: str, bound: float) -> None:
    x, y = samples()
    text = SPEC.replace("linear: 3", "linear: 1").replace("  - softmax\n", "").replace("cross_entropy", loss)
    trained = archforge.train(text, (x, (y > 0).astype(np.float32)[:, None]), epochs=10, backend="numpy")
    classes = trained.predict(x, argmax=True)
    assert classes.shape == (40,)
    assert 0 < classes.mean() < 1
    assert np.array_equal(classes, (trained.predict(x)[:, 0] > bound).astype(int))


def test_a_single_number_of_a_loss_of_values_is_no_class() -> None:
    x, _ = samples()
    text = SPEC.replace("linear: 3", "linear: 1").replace("  - softmax\n", "").replace("cross_entropy", "mse")
    trained = archforge.train(text, (x, x[:, :1, 0, 0]), epochs=1, backend="numpy")
    assert trained.predict(x).shape == (40, 1)
    with pytest.raises(DiagnosticError, match="E0607: `mse` of one number decides between no classes"):
        trained.predict(x, argmax=True)


def test_a_network_of_several_inputs_is_refused() -> None:
    spec = {
        "archforge": 1,
        "input": {"left": [4], "right": [4]},
        "graph": [
            {"linear": 3, "from": "=left", "as": "a"},
            {"linear": 3, "from": "=right"},
            {"add": [[], "=a"]},
        ],
    }
    with pytest.raises(DiagnosticError, match="E0607: a sample has one input, and spec has left, right"):
        archforge.train(spec, samples(), loss="mse", optimizer="adam", backend="numpy")


def test_a_loaded_network_is_trained_as_it_is() -> None:
    network = archforge.load(SPEC)
    assert archforge.train(network, samples(), epochs=1, backend="numpy").network is network
    with pytest.raises(DiagnosticError, match="E0001: a loaded network"):
        archforge.train(network, samples(), profile="other")


def test_evaluating_asks_for_a_loss(tmp_path: Path) -> None:
    network = archforge.load(SPEC.partition("train:")[0])
    weights = {name: np.zeros(decl.shape, np.float32) for name, decl in network.params.items()}
    with pytest.raises(DiagnosticError, match="E0202: the recipe has no loss"):
        evaluate(network, samples(), weights)


def test_weights_that_are_kept_compute_what_was_trained(whole: Path) -> None:
    trained = train()
    x, _ = samples()
    again = archforge.compile(SPEC, weights=whole / "last.safetensors", backend="numpy")(x)
    assert np.abs(again - trained.predict(x)).max() < 1e-6


def test_windows_of_text_are_printed_with_what_follows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one two three\nfour " * 9)
    (tmp_path / "text.yaml").write_text(
        "archforge: 1\ntitle: text\ninput: [6, 11]\ngraph: [{rnn: 16}, {linear: 11}, {softmax: {axis: -1}}]\n"
        "train: {loss: {cross_entropy: {axis: -1}}, optimizer: {adam: 0.02}, epochs: 20, batch: 8}\n"
    )
    arguments = ("text.yaml", "--data", "text.txt", "--out", "run", "--backend", "numpy")
    code, out, _ = run("train", *arguments)
    windows = re.findall(r"^  x = (.{6})\n  y = (.{6})\n  p = (.{6})\n\n", out, re.MULTILINE)
    assert (code, len(windows)) == (0, 3)
    assert all(y[:-1] == x[1:] and y[-3:] == p[-3:] for x, y, p in windows)
    report = (tmp_path / "run/report.html").read_text()
    assert all(f"x = {x}\ny = {y}\np = {p}\n" in html.unescape(report) for x, y, p in windows)
    code, again, _ = run("evaluate", *arguments[:3], "-w", "run/last.safetensors", "--backend", "numpy")
    assert (code, re.findall(r"^  x = (.{6})\n  y = (.{6})\n  p = (.{6})\n\n", again, re.M)) == (0, windows)


# Mistakes in the command line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--lr", "0.1"], '--optimizer "sgd: {lr: ...}"'),
        (["--weight-decay", "1"], '--optimizer "sgd: {weight_decay: ...}"'),
        (["--batch-size", "8"], "options: --batch)"),
        (["--n_epochs", "8"], "options: --epochs)"),
        (["--early-stopping"], "options: --stop)"),
        (["--device", "cuda"], "options: --backend)"),
        (["--nproc-per-node", "2"], "options: --ranks)"),
        (["--sync-batchnorm"], "options: --sync-bn)"),
        (["data.npz"], "samples are given by --data"),
    ],
)
def test_options_of_others_are_told_what_they_are_called_here(given: list[str], told: str, run: Run) -> None:
    code, _, err = run("train", "lenet_1", *given)
    assert code == 2
    assert told in " ".join(re.sub(r"[│╭╮╰╯─]", "", err).split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lr": 0.1}, 'optimizer={"sgd": {"lr": ...}}'),
        ({"batch_size": 8}, "did you mean `batch`?"),
        ({"n_epochs": 8}, "did you mean `epochs`?"),
        ({"xyz": 8}, "it has: none"),
        ({"resume": True}, "`resume` is of a run in a folder"),
        ({"checkpoint_every": 1}, "`checkpoint_every` is of a run in a folder"),
        ({"callbacks": [print]}, "`callbacks` are callbacks, found"),
        ({"data": tuple(part.tolist() for part in samples())}, "np.asarray(x)"),
        ({"data": samples()[0]}, "an array without targets"),
    ],
)
def test_mistakes_in_python_are_told_the_way_out(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DiagnosticError, match=re.escape(told)):
        archforge.train(SPEC, **{"data": samples(), "backend": "numpy", **options})


def test_a_single_callback_needs_no_list() -> None:
    class Last(archforge.Callback):
        def on_epoch(self, run: TrainingRun, figures: Any) -> None:
            run.stop("enough")

    assert train(callbacks=Last()).reason == "enough"


def test_a_pattern_of_a_flag_may_begin_with_a_star() -> None:
    found = recipe_of(archforge.load("lenet_1").spec, None, from_flags({"freeze": "*.bias"}))
    assert found.recipe.freeze == ("*.bias",)


# In processes of their own


def command(folder: Path, data: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "archforge", "train", str(folder.parent / "small.yaml")),
        *("--data", str(data), "--out", str(folder), "--backend", "numpy", *more),
    ]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A folder for a run, and data beside it."""
    (tmp_path / "small.yaml").write_text(SPEC.lstrip().replace("epochs: 3", "epochs: 30"))
    x, y = samples(200)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path / "run", tmp_path / "data.npz"


def ended(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        arguments, capture_output=True, text=True, env=environment, check=False, timeout=120, **options
    )


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_random_goes_on(kills: int, places: tuple[Path, Path]) -> None:
    folder, data = places
    other, epochs = folder.with_name("other"), f"--epochs={6 * kills}"
    assert ended(*command(other, data, epochs)).returncode == 0
    instants = random.Random(kills)
    for _ in range(kills):
        process = subprocess.Popen(
            command(folder, data, epochs, "--resume", "--checkpoint-every", "3"),
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        try:
            process.wait(instants.uniform(0.4, 2.0))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
    done = ended(*command(folder, data, epochs, "--resume"))
    assert done.returncode == 0, done.stderr
    names = ("last.safetensors", "best.safetensors", "checkpoint.safetensors")
    assert {n: digests(folder)[n] for n in names} == {n: digests(other)[n] for n in names}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_a_checkpoint_and_tells_how_to_go_on(
    number: signal.Signals, places: tuple[Path, Path]
) -> None:
    folder, data = places
    process = subprocess.Popen(
        command(folder, data, "--set", "train.epochs=100000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch "):
            break
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"--out {folder}" in error
    assert "--resume" in error
    assert (folder / "checkpoint.safetensors").exists()
    again = ended(*command(folder, data, "--resume", "--set", "train.epochs=1"))
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resume", "yes"),
        ("strict", 1),
        ("checkpoint_every", "x"),
        ("checkpoint_every", -1),
        ("reinit", 3),
        ("out", 3),
    ],
)
def test_values_of_no_kind_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(DiagnosticError, match=f"`{name}`"):
        archforge.train(SPEC, samples(), backend="numpy", **{name: value})


# What results depend on


def squares(factor: float) -> Any:
    """A loss with a number in its closure."""

    def loss(prediction: Any, target: Any) -> Any:
        difference = prediction - np.eye(prediction.shape[1], dtype=prediction.dtype)[target]
        return factor * float((difference**2).mean()), factor * 2 * difference / difference.size

    return loss


def cubes(prediction: Any, target: Any) -> Any:
    difference = prediction - np.eye(prediction.shape[1], dtype=prediction.dtype)[target]
    return float((difference**4).mean()), 4 * difference**3 / difference.size


def test_another_function_as_the_loss_is_told_of(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    cubes.__qualname__ = squares(1.0).__qualname__  # a name tells them not apart
    train(tmp_path / "run", loss=squares(1.0))
    train(tmp_path / "run", loss=squares(1.0), resume=True)
    assert not recwarn.list
    for other in (squares(2.0), cubes):
        with pytest.warns(TrainingWarning, match=r"recipe\.loss\.own\.digest was"):
            train(tmp_path / "run", loss=other, resume=True)


def test_a_function_is_told_by_its_code_and_what_it_was_made_with() -> None:
    class Weighted:
        def __init__(self, weights: Any) -> None:
            self.weights, self.itself = weights, self

        def __call__(self, prediction: Any, target: Any) -> Any:
            return squares(self.weights[0])(prediction, target)

    def kinds(factor: float) -> list[Any]:
        weights = np.array([factor])
        return [squares(factor), Weighted(weights), Weighted(weights).__call__, partial(max, factor), weights]

    ones, again, twos = (list(map(code_digest, kinds(factor))) for factor in (1.0, 1.0, 2.0))
    assert ones == again
    assert {*ones}.isdisjoint(twos)
    assert len({*ones}) == len(ones)


def test_data_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    digest: Any = vars(ArraySamples)["digest"]
    watched = mock.Mock(side_effect=digest.func)
    monkeypatch.setattr(digest, "func", watched)
    train(epochs=1)
    assert watched.call_count == 1


# Where no data are given


@pytest.mark.parametrize(
    ("name", "told"),
    [("rnn_text", "of the format `text`.*a text file"), ("unet", "of the format `masks`.*with masks")],
)
def test_a_network_of_other_data_than_digits_asks_for_them(name: str, told: str) -> None:
    with pytest.raises(DiagnosticError, match=re.compile(told, re.DOTALL)):
        archforge.train(name)


def test_digits_are_no_sequence() -> None:
    spec = {"archforge": 1, "input": [60, 43], "graph": [{"linear": 10}]}
    with pytest.raises(DiagnosticError, match=r"the digits .* are no 60x43"):
        archforge.train(spec)


def test_settings_that_digits_bring_are_no_mistake_of_the_caller() -> None:
    network = archforge.load("lenet_1")
    assert begin(network, None, from_python({"validation": 0.0})).setup.held_back is None
    assert begin(network, None, from_python({"limit": 20})).setup.recipe.stratify
    with pytest.raises(DiagnosticError, match="`stratify` changes nothing"):
        begin(network, None, from_python({"validation": 0.0, "stratify": True}))
