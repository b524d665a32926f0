"""Losses that are written as ops: their gradients, and what is no loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import archforge
from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.parts import all_parts
from archforge.plan.ops_loss import OpsLoss
from archforge.recipe.base import Loss
from archforge.recipe.digests import graph_digest
from archforge.recipe.own_loss import require_gradient
from archforge.recipe.recipe import TrainingRecipe
from tests.recipe_cases import part

SQUARED: list[Any] = [
    {"subtract": ["=prediction", "=target"], "as": "difference"},
    {"multiply": ["=difference", "=difference"]},
]


def graph(steps: list[Any], **inputs: list[int]) -> TypedGraph:
    given = inputs or {"prediction": [4, 3], "target": [4, 3]}
    return archforge.load({"archforge": 1, "title": "own", "input": given, "graph": steps}).graph


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ops_are_a_loss_with_their_own_gradient(dtype: str) -> None:
    loss, mse = OpsLoss.of(graph(SQUARED)), part(Loss, "mse")
    x, y = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype(dtype)
    require_gradient(loss, x, y)
    found, wanted = loss.value(x, y), mse.value(x, y)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-6)
    assert found.gradient.dtype == dtype
    np.testing.assert_allclose(found.gradient, wanted.gradient, rtol=1e-5)
    classes = np.array([[0, 3, 1]] * 5)
    np.testing.assert_allclose(loss.value(x, classes).loss, mse.value(x, classes).loss, rtol=1e-6)


def test_a_cross_entropy_of_ops_is_the_loss_of_that_name() -> None:
    steps = [
        {"log_softmax": 0, "from": "=prediction"},
        {"multiply": ["=x", "=target"]},
        {"scale": -4.0},
    ]
    x, y = np.random.default_rng(0).standard_normal((5, 4)), np.array([0, 3, 2, 1, 1])
    found = OpsLoss.of(graph(steps, prediction=[4], target=[4])).value(x, y)
    wanted = part(Loss, "cross_entropy").value(x, y)
    assert found.loss == pytest.approx(wanted.loss)
    np.testing.assert_allclose(found.gradient, wanted.gradient)


def test_targets_may_have_a_shape_of_their_own() -> None:
    steps = [
        {"global_avg_pool": None, "from": "=prediction"},
        "flatten",
        {"subtract": ["=x", "=target"]},
        "abs",
    ]
    loss = OpsLoss.of(graph(steps, prediction=[2, 3, 3], target=[2]))
    x, y = np.random.default_rng(0).standard_normal((4, 2, 3, 3)), np.arange(8.0).reshape(4, 2)
    require_gradient(loss, x, y)
    assert loss.value(x, y).loss == pytest.approx(np.abs(x.mean((2, 3)) - y).mean())


@pytest.mark.parametrize(
    ("steps", "inputs", "message"),
    [
        (
            [{"relu": None, "from": "=image"}],
            {"image": [3]},
            "takes `prediction` and `target`, and `own` takes image",
        ),
        ([{"linear": 2, "from": "=prediction"}], {"prediction": [3], "target": [3]}, "has `linear.weight`"),
    ],
)
def test_a_graph_that_is_no_loss_is_refused(
    steps: list[Any], inputs: dict[str, list[int]], message: str
) -> None:
    with pytest.raises(DiagnosticError, match=message):
        OpsLoss.of(graph(steps, **inputs))


def test_a_recipe_holds_the_name_of_a_graph() -> None:
    recipe = TrainingRecipe(loss=OpsLoss.of(graph(SQUARED)))
    kept = recipe.to_json()["loss"]["ops"]
    assert kept == {"name": "own", "digest": graph_digest(graph(SQUARED)), "axis": 0}


def test_arrays_that_do_not_fit_are_refused() -> None:
    loss = OpsLoss.of(graph(SQUARED))
    for x, y, message in (
        (np.zeros((2, 4)), np.zeros((2, 4, 3)), "takes predictions of 4x3, found 4"),
        (np.zeros((2, 4, 3)), np.zeros((2, 3)), "do not fit predictions"),
    ):
        with pytest.raises(DiagnosticError, match=message):
            loss.value(x, y)
    assert "ops" not in all_parts(Loss)
