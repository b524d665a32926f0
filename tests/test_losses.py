"""Losses: each against a directional derivative, torch's figures, and the ends of its range."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.ops.base import Array
from archforge.parts import all_parts
from archforge.recipe.base import Loss
from archforge.recipe.digests import code_digest
from archforge.recipe.own_loss import OwnLoss, gradient_deviation, require_gradient
from archforge.spec.resolve.recipe import from_python, recipe_of
from tests.make_recipe_parts import torch_loss
from tests.recipe_cases import LOSS_CASES, RECIPE_FIGURES, LossCase, part, projected

STORED = json.loads(RECIPE_FIGURES.read_text(encoding="utf-8"))["losses"]
WORDS = [*all_parts(Loss)]


@pytest.mark.parametrize("case", LOSS_CASES, ids=str)
def test_a_gradient_of_a_loss_is_the_directional_derivative(case: LossCase) -> None:
    assert gradient_deviation(case.loss, case.prediction(), case.target()) <= 1e-7


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if str(case) in STORED], ids=str)
def test_a_loss_is_that_of_torch(case: LossCase) -> None:
    loss, gradient = case.loss.value(case.prediction(), case.target())
    found = [loss, *projected(str(case), gradient)]
    np.testing.assert_allclose(found, STORED[str(case)], rtol=1e-12, atol=1e-13)


def test_torch_has_every_loss_but_hinge() -> None:
    assert {case.loss.word for case in LOSS_CASES if str(case) in STORED} == {*WORDS} - {"hinge"}


def test_the_stored_losses_are_those_that_torch_gives() -> None:
    pytest.importorskip("torch")
    for case in LOSS_CASES:
        np.testing.assert_allclose(torch_loss(case), STORED.get(str(case), []), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("case", LOSS_CASES, ids=str)
def test_a_loss_changes_nothing_and_its_gradient_has_the_dtype_of_the_prediction(case: LossCase) -> None:
    exact = case.loss.value(case.prediction(), case.target())
    prediction, target = case.prediction().astype(np.float32), case.target()
    for array in (prediction, target):
        array.flags.writeable = False
    loss, gradient = case.loss.value(prediction, target)
    assert (gradient.dtype.name, gradient.shape) == ("float32", prediction.shape)
    assert gradient.flags.writeable
    assert loss == pytest.approx(exact.loss, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(gradient, exact.gradient, rtol=1e-4, atol=1e-5 * np.abs(exact.gradient).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LOSS_CASES, ids=str)
def test_losses_of_extreme_predictions_are_finite(case: LossCase, dtype: str) -> None:
    x = case.prediction(scale=1e4)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = case.loss.value(x.astype(dtype), case.target())
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


# A mean over predictions that is weighted by their classes depends on the classes of each batch.
EVEN = [case for case in LOSS_CASES if not getattr(case.loss, "weights", ())]


@pytest.mark.parametrize("case", EVEN, ids=str)
def test_a_loss_of_two_batches_is_the_sum_or_the_mean_of_theirs(case: LossCase) -> None:
    x, y = case.prediction(), case.target()
    first, second, both = (case.loss.value(x[s], y[s]) for s in (slice(2), slice(2, None), slice(None)))
    shares = (2 / len(x), 1 - 2 / len(x)) if case.loss.is_mean else (1, 1)
    assert both.loss == pytest.approx(shares[0] * first.loss + shares[1] * second.loss, rel=1e-12)
    parts = [share * value.gradient for share, value in zip(shares, (first, second), strict=True)]
    np.testing.assert_allclose(both.gradient, np.concatenate(parts), rtol=1e-12)


@pytest.mark.parametrize("word", WORDS)
def test_a_loss_of_no_samples_is_0(word: str) -> None:
    loss, gradient = part(Loss, word).value(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    assert (loss, gradient.shape) == (0, (0, 3))


@pytest.mark.parametrize("word", ["cross_entropy", "nll"])
def test_targets_of_an_ignored_class_alone_move_nothing(word: str) -> None:
    loss, gradient = part(Loss, word, ignore=255).value(-np.ones((2, 3)), np.full(2, 255))
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("word", WORDS)
def test_numbers_of_classes_are_the_same_as_ones_and_zeros(word: str) -> None:
    case = next(case for case in LOSS_CASES if case.loss.word == word and case.of_classes)
    hot = np.eye(case.shape[0])[case.target()]
    found, wanted = (case.loss.value(case.prediction(), y) for y in (case.target(), hot))
    assert found.loss == pytest.approx(wanted.loss, rel=1e-15)
    np.testing.assert_array_equal(found.gradient, wanted.gradient)


def test_losses_by_hand() -> None:
    y = np.array([[0.5, -2.0]])
    assert part(Loss, "hinge").value(y, np.array([[1, -1]])).loss == 0.25
    assert part(Loss, "hinge").value(y, np.array([[0, 1]])).loss == (1.5 + 3) / 2
    assert part(Loss, "hinge").value(y, np.array([1])).loss == (1.5 + 3) / 2
    assert part(Loss, "mse", reduction="batch_mean").value(y, np.array([[0, 0]])).loss == 4.25
    assert part(Loss, "huber").value(y, np.zeros((1, 2))).loss == (0.125 + 1.5) / 2
    assert part(Loss, "cross_entropy").value(np.zeros((2, 4)), np.array([0, 3])).loss == pytest.approx(
        np.log(4)
    )
    assert part(Loss, "kl").value(np.zeros((1, 4)), np.array([[1, 0, 0, 0]])).loss == pytest.approx(np.log(4))


def test_masks_may_lack_the_axis_of_one_channel() -> None:
    prediction, mask = np.random.default_rng(0).standard_normal((2, 1, 3, 4)), np.eye(3, 4, dtype=int)
    loss = part(Loss, "bce_with_logits")
    masks = np.stack([mask, 1 - mask])
    assert loss.value(prediction, masks).loss == loss.value(prediction, masks[:, None]).loss


MISFITS = [
    ({}, (4, 3), np.zeros(5, int), "targets of 5 int64 do not fit predictions of 4x3"),
    ({}, (4, 3), np.zeros(4), "targets of 4 float64 do not fit predictions of 4x3"),
    ({}, (4, 3), np.zeros((4, 2)), "do not fit"),
    ({}, (4, 3), np.array([0, 1, 2, 3]), "the target 3 is no class of a prediction of 3 classes"),
    ({}, (4, 3), np.array([0, -1, 2, 0]), "the target -1 is no class"),
    ({"axis": 1}, (4, 3), np.zeros(4, int), "there is no axis 1 in an input of 3"),
]


@pytest.mark.parametrize("misfit", MISFITS, ids=lambda misfit: misfit[-1])
@pytest.mark.parametrize("word", WORDS)
def test_targets_that_do_not_fit_are_refused(word: str, misfit: Any) -> None:
    settings, shape, target, message = misfit
    with pytest.raises(DiagnosticError, match=message) as error:
        part(Loss, word, **settings).value(np.full(shape, 0.5), target)
    assert [d.code for d in error.value.diagnostics] == ["E0607"]


def test_weights_are_as_many_as_the_classes() -> None:
    with pytest.raises(DiagnosticError, match="there are 2 weights for 3 classes"):
        part(Loss, "cross_entropy", weights=(1.0, 2.0)).value(np.zeros((1, 3)), np.array([0]))


def test_bce_takes_probabilities() -> None:
    with pytest.raises(DiagnosticError, match=r"takes probabilities, found 1\.5"):
        part(Loss, "bce").value(np.full((1, 2), 1.5), np.zeros((1, 2)))


@pytest.mark.parametrize("word", WORDS)
def test_predictions_that_are_not_numbers_give_no_number(word: str) -> None:
    assert np.isnan(part(Loss, word).value(np.full((2, 3), np.nan), np.array([0, 1])).loss)


# Losses of one's own


def weighed(prediction: Array, target: Array) -> tuple[float, Array]:
    """Squares, of which those above the target count double."""
    difference = prediction - target
    factor = np.where(difference > 0, 2, 1)
    return float((factor * difference**2).mean()), 2 * factor * difference / difference.size


def test_a_function_stands_where_a_loss_is_asked_for() -> None:
    spec = driver.open_spec("lenet_5_mnist")
    recipe = recipe_of(spec, None, from_python({"loss": weighed, "losses": {"output": weighed}})).recipe
    assert recipe.loss == recipe.losses["output"] == OwnLoss.of(weighed)
    kept = recipe.to_json()["loss"]["own"]
    assert kept == {"name": "weighed", "digest": code_digest(weighed), "is_sum": False}
    with pytest.raises(DiagnosticError, match="E0308"):
        from_python({"loss": OwnLoss})


def test_a_function_is_a_loss() -> None:
    loss, (x, y) = OwnLoss.of(weighed), np.random.default_rng(0).standard_normal((2, 3, 4))
    require_gradient(loss, x, y)
    found = loss.value(x.astype(np.float32), y)
    assert found.loss == pytest.approx(weighed(x, y)[0])
    assert found.gradient.dtype == np.float32
    assert loss.name == "weighed"
    assert loss.said() == "own (name weighed)"
    assert "own" not in all_parts(Loss)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: (weighed(x, y)[0], 2 * weighed(x, y)[1]), "is not its derivative: it is 4"),
        (lambda x, y: (weighed(x, y)[0], weighed(x, y)[1] * np.nan), "is not its derivative: it is nan off"),
        (lambda x, y: weighed(x, y)[0], "gave a float"),
        (
            lambda x, y: (weighed(x, y)[0], weighed(x, y)[1].sum()),
            "a gradient of a scalar for a prediction of 3x4",
        ),
        (lambda x, y: ((x - y) ** 2, 2 * (x - y)), "gave an array of 3x4 for a number"),
    ],
)
def test_a_function_that_is_no_loss_is_refused(function: Any, message: str) -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 3, 4))
    with pytest.raises(DiagnosticError, match=message):
        require_gradient(OwnLoss.of(function), x, y)


# Classes

SCORES = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])


@pytest.mark.parametrize("word", WORDS)
def test_the_predicted_class_is_that_of_the_greatest_number(word: str) -> None:
    found = part(Loss, word).classes(SCORES, np.array([1, 1]))
    assert found is not None
    assert (found.predicted.tolist(), found.right.tolist(), found.number) == ([1, 0], [1, 1], 3)


def test_numbers_that_are_no_classes_have_none() -> None:
    assert {word for word in WORDS if part(Loss, word).classes(SCORES, SCORES) is None} == {
        "mse",
        "mae",
        "huber",
    }


def test_a_number_by_itself_is_on_one_of_two_sides() -> None:
    masks = np.array([[1, 0, 0], [1, 1, 0]])
    for word, prediction in (("bce", SCORES), ("bce_with_logits", SCORES - 0.5), ("hinge", SCORES - 0.5)):
        found = part(Loss, word).classes(prediction, masks)
        assert found is not None
        assert found.predicted.tolist() == [[0, 1, 0], [1, 0, 0]]
        assert (found.right.tolist(), found.number) == (masks.tolist(), 2)


def test_a_function_of_scores_has_classes_where_targets_are_their_numbers() -> None:
    loss = OwnLoss.of(weighed)
    found = loss.classes(SCORES, np.array([1, 1]))
    assert found is not None
    assert (found.predicted.tolist(), found.number) == ([1, 0], 3)
    assert loss.classes(SCORES, np.array([1, 9])) is None
    assert loss.classes(SCORES, SCORES) is loss.classes(SCORES[:, :1], np.array([[1], [0]])) is None


def test_an_ignored_class_is_negative() -> None:
    found = part(Loss, "cross_entropy", ignore=255).classes(SCORES, np.array([255, 2]))
    assert found is not None
    assert found.right.tolist() == [-1, 2]
