"""Optimizers and updates: torch's steps, the papers' rules, clipping, decay, averages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.ir import Init, ParamDecl
from archforge.ops.base import Array
from archforge.parts import all_parts
from archforge.recipe import update
from archforge.recipe.base import Optimizer
from archforge.recipe.recipe import Clip, TrainingRecipe
from archforge.recipe.update import Updater, clip_gradients, is_spared
from tests.make_recipe_parts import torch_steps
from tests.recipe_cases import (
    OPTIMIZER_CASES,
    RECIPE_FIGURES,
    STEPS,
    STORED_STEPS,
    OptimizerCase,
    part,
    projected,
    slope,
    start,
)

STORED = json.loads(RECIPE_FIGURES.read_text(encoding="utf-8"))["optimizers"]
WORDS = [*all_parts(Optimizer)]


def decls(params: Mapping[str, Array]) -> dict[str, ParamDecl]:
    return {name: ParamDecl(p.shape, "bias" if name == "bias" else "weight") for name, p in params.items()}


def steps(optimizer: Optimizer, dtype: str = "float64", **recipe: Any) -> list[dict[str, Array]]:
    """The parameters after each step."""
    params = {name: p.astype(dtype) for name, p in start().items()}
    updater = Updater(TrainingRecipe(optimizer=optimizer, **recipe), decls(params), dtype)
    found = []
    for step in range(1, STEPS + 1):
        gradients = {name: slope(name, p, step).astype(dtype) for name, p in params.items()}
        updater.apply(params, gradients, 1.0, step)
        found.append({name: p.copy() for name, p in params.items()})
    return found


@pytest.mark.parametrize("case", [case for case in OPTIMIZER_CASES if str(case) in STORED], ids=str)
def test_the_steps_of_an_optimizer_are_those_of_torch(case: OptimizerCase) -> None:
    after = steps(case.optimizer)
    found = [[x for n, p in after[step - 1].items() for x in projected(n, p)] for step in STORED_STEPS]
    # torch multiplies the momenta of Nadam in float32.
    tolerance = 1e-8 if case.optimizer.word == "nadam" else 1e-12
    np.testing.assert_allclose(found, STORED[str(case)], rtol=tolerance, atol=tolerance)


def test_torch_has_every_optimizer_but_two() -> None:
    assert {case.optimizer.word for case in OPTIMIZER_CASES if str(case) in STORED} == {*WORDS} - {
        "lion",
        "yogi",
    }


def test_the_stored_steps_are_those_that_torch_gives() -> None:
    pytest.importorskip("torch")
    for case in OPTIMIZER_CASES:
        np.testing.assert_allclose(torch_steps(case), STORED.get(str(case), []), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", OPTIMIZER_CASES, ids=str)
def test_float32_steps_are_close_to_float64(case: OptimizerCase) -> None:
    exact, found = steps(case.optimizer)[4], steps(case.optimizer, "float32")[4]
    for name, p in found.items():
        assert p.dtype == np.float32
        np.testing.assert_allclose(p, exact[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", OPTIMIZER_CASES, ids=str)
def test_no_step_depends_on_where_arrays_are_cut(
    case: OptimizerCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = steps(case.optimizer, "float32")
    monkeypatch.setattr(update, "BLOCK", 2)
    for params, wanted in zip(steps(case.optimizer, "float32"), whole, strict=True):
        for name, p in params.items():
            np.testing.assert_array_equal(p, wanted[name])


# The rules of papers, and those of file 003, element by element


def lion(p: float, g: Callable[[float, int], float], lr: float = 1e-4) -> float:
    m = 0.0
    for step in range(1, STEPS + 1):
        slope = g(p, step)
        p, m = p - lr * np.sign(0.9 * m + 0.1 * slope), 0.99 * m + 0.01 * slope
    return p


def yogi(p: float, g: Callable[[float, int], float], lr: float = 1e-2) -> float:
    m, v = 0.0, 1e-6
    for step in range(1, STEPS + 1):
        slope = g(p, step)
        m = 0.9 * m + 0.1 * slope
        v = v - 0.001 * np.sign(v - slope**2) * slope**2
        p = p - lr * m / (1 - 0.9**step) / ((v / (1 - 0.999**step)) ** 0.5 + 1e-3)
    return p


def damped_nesterov(p: float, g: Callable[[float, int], float]) -> float:
    """SGD(lr=0.01, momentum=0.9, nesterov=True) of tanbir/miniDLF, without its decay."""
    v = 0.0
    for step in range(1, STEPS + 1):
        slope = g(p, step)
        v = 0.9 * v + (1 - 0.9) * slope
        p -= 0.01 * (0.9 * v + (1 - 0.9) * slope)
    return p


RULES: Mapping[str, tuple[Callable[..., float], Optimizer]] = {
    "lion": (lion, part(Optimizer, "lion")),
    "yogi": (yogi, part(Optimizer, "yogi")),
    "a gradient weighed by 1 - momentum": (
        damped_nesterov,
        part(Optimizer, "sgd", lr=0.01 * (1 - 0.9), momentum=0.9, nesterov=True),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_that_of_its_source(name: str) -> None:
    rule, optimizer = RULES[name]

    def gradient(p: float, step: int) -> float:
        return float(slope("weight", np.array([p]), step)[0])

    params = {"weight": np.array([1.5])}
    updater = Updater(TrainingRecipe(optimizer=optimizer), decls(params), "float64")
    for step in range(1, STEPS + 1):
        updater.apply(params, {"weight": slope("weight", params["weight"], step)}, 1.0, step)
    assert params["weight"][0] == pytest.approx(rule(1.5, gradient), rel=1e-12)


@pytest.mark.parametrize(
    "settings",
    [{"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, {"dampening": 0.1}],
)
def test_settings_of_sgd_that_have_no_effect_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="momentum"):
        part(Optimizer, "sgd", **settings)


# Updates


@pytest.mark.parametrize("case", OPTIMIZER_CASES, ids=str)
def test_a_run_that_takes_its_state_back_goes_on_as_it_would_have(case: OptimizerCase) -> None:
    recipe = TrainingRecipe(optimizer=case.optimizer, ema=0.9)
    params = {name: p.astype(np.float32) for name, p in start().items()}
    updater = Updater(recipe, decls(params))

    def go(updater: Updater, params: dict[str, Array], first: int, last: int) -> None:
        for step in range(first, last + 1):
            gradients = {name: slope(name, p, step).astype(np.float32) for name, p in params.items()}
            updater.apply(params, gradients, 0.5, step)

    go(updater, params, 1, 6)
    other = Updater(recipe, decls(params))
    others = {name: p.copy() for name, p in params.items()}
    other.restore({name: array.copy() for name, array in updater.state.items()})
    go(updater, params, 7, 12)
    go(other, others, 7, 12)
    for found, wanted in ((others, params), (other.state, updater.state)):
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(array, wanted[name]) for name, array in found.items())


def test_the_state_has_names_of_its_own() -> None:
    recipe = TrainingRecipe(optimizer=part(Optimizer, "adam"), ema=0.9)
    updater = Updater(recipe, {"fc.weight": ParamDecl((2, 3))})
    assert [*updater.state] == ["optimizer.mean.fc.weight", "optimizer.squares.fc.weight", "ema.fc.weight"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda state: state.pop("optimizer.mean.weight"), "E0602"),
        (lambda state: state.update({"optimizer.momentum.weight": state["optimizer.mean.weight"]}), "E0603"),
        (lambda state: state.update({"optimizer.mean.weight": np.zeros(3)}), "E0604"),
    ],
)
def test_a_state_of_another_run_is_refused(change: Callable[[Any], Any], code: str) -> None:
    recipe = TrainingRecipe(optimizer=part(Optimizer, "adam"))
    state = Updater(recipe, decls(start())).state
    change(state)
    with pytest.raises(DiagnosticError, match=r"optimizer\.\w+\.weight") as error:
        Updater(recipe, decls(start())).restore(state)
    assert [d.code for d in error.value.diagnostics] == [code]


def test_the_average_of_parameters_begins_with_the_first_update() -> None:
    recipe = TrainingRecipe(optimizer=part(Optimizer, "sgd", lr=1.0), ema=0.75)
    params = {"a": np.array([1.0]), "b": np.array([5.0])}
    updater = Updater(recipe, decls(params), "float64")
    for step in (1, 2, 3):
        updater.apply(params, {"a": np.array([1.0])}, 1.0, step)
    assert params == {"a": -2, "b": 5}
    wanted = {"a": 0.75 * (0.75 * 0 + 0.25 * -1) + 0.25 * -2, "b": 5}
    assert updater.averaged({**params, "running_mean": np.array([3.0])}) == {**wanted, "running_mean": 3}


def test_the_learning_rate_is_multiplied_by_its_factor() -> None:
    params = {"a": np.array([1.0])}
    updater = Updater(TrainingRecipe(optimizer=part(Optimizer, "sgd", lr=0.5)), decls(params), "float64")
    updater.apply(params, {"a": np.array([1.0])}, 0.5, 1)
    assert params["a"] == 0.75


def test_an_array_whose_elements_lie_apart_is_updated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "BLOCK", 2)
    params = {"a": np.ones((3, 4)).T}
    updater = Updater(TrainingRecipe(optimizer=part(Optimizer, "adam", lr=0.5)), decls(params), "float64")
    updater.apply(params, {"a": np.ones((4, 3))}, 1.0, 1)
    np.testing.assert_allclose(params["a"], 0.5)


def test_decay_spares_norms_and_biases_on_request() -> None:
    network = driver.load("resnet_18", "torchvision").graph.params()
    spared = {name for name, decl in network.items() if is_spared(decl, ("norms", "biases"))}
    trained = {name for name, decl in network.items() if decl.role != "buffer"}
    assert trained - spared == {name for name in trained if len(network[name].shape) > 1}
    assert {name for name, decl in network.items() if is_spared(decl, ("biases",))} == {"fc.bias"}
    assert not any(is_spared(decl, ()) for decl in network.values())
    params = {"weight": np.ones(2), "bias": np.ones(2), "gamma": np.ones(2)}
    three = decls(params) | {"gamma": ParamDecl((2,), "weight", Init("constant", 1.0))}
    sgd = part(Optimizer, "sgd", lr=1.0, weight_decay=0.5)
    zeros = {name: np.zeros(2) for name in params}
    Updater(TrainingRecipe(optimizer=sgd, spare=("norms",)), three, "float64").apply(params, zeros, 1.0, 1)
    assert {name: p[0] for name, p in params.items()} == {"weight": 0.5, "bias": 0.5, "gamma": 1.0}


def test_gradients_are_cut_as_torch_cuts_them() -> None:
    rng = np.random.default_rng(0)
    gradients: dict[str, Array] = {
        "a": rng.standard_normal((3, 4)),
        "b": rng.standard_normal(5).astype(np.float32),
    }
    norm = np.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in gradients.values()))
    before = {name: g.copy() for name, g in gradients.items()}
    clip_gradients(gradients, Clip(norm=2 * norm))
    assert all(np.array_equal(g, before[name]) for name, g in gradients.items())
    clip_gradients(gradients, Clip(norm=0.5))
    for name, g in gradients.items():
        np.testing.assert_allclose(g, before[name] * (0.5 / (norm + 1e-6)), rtol=1e-6)
    clip_gradients(gradients, Clip(value=0.1))
    assert max(np.abs(g).max() for g in gradients.values()) == pytest.approx(0.1)
