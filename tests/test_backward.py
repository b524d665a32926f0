"""Training plans: gradients of small graphs, of frozen ones, and what a plan lets go of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from archforge.ir import TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array
from archforge.plan.backward import TrainingPlan, training_plan
from archforge.weights import rule_weights
from tests.gradients import CASES, NETWORK_GRADIENTS, Case, draws, loss_gradients, network_figures
from tests.graphs import GRAPHS, graph, inputs_of, node
from tests.make_gradients import torch_network_gradients
from tests.zoo import family, networks, reference

Gradients = dict[str, Array]


def gradients(
    plan: TrainingPlan, params: Mapping[str, Array], inputs: Mapping[str, Array]
) -> tuple[float, Gradients]:
    """A loss that weighs each element of each output, and its gradients."""
    passed = plan.run(params, inputs, draws)
    weights = loss_gradients(passed.outputs)
    loss = sum(float((weights[name] * y).sum()) for name, y in passed.outputs.items())
    return loss, passed.back(weights)


def arrays_of(typed: TypedGraph) -> tuple[dict[str, Array], dict[str, Array]]:
    return dict(rule_weights(typed.params())), inputs_of(typed, batch=3)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_of_a_graph_are_its_directional_derivative(name: str) -> None:
    plan = training_plan(GRAPHS[name])
    params, inputs = arrays_of(plan.typed)
    _, found = gradients(plan, params, inputs)
    assert found.keys() <= plan.trained
    rng = np.random.default_rng(0)
    moves = {n: rng.standard_normal(params[n].shape) for n in sorted(plan.trained)}

    def loss(step: float) -> float:
        moved = params | {n: params[n] + step * move for n, move in moves.items()}
        return gradients(plan, moved, inputs)[0]

    h = 1e-6
    slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    products = [float((d * moves[n]).sum()) for n, d in found.items()]
    assert abs(sum(products) - slope) <= 1e-6 * sum(map(abs, products)) + 1e-9


@pytest.mark.parametrize("name", GRAPHS)
def test_what_a_plan_lets_go_of_is_not_read_again(name: str) -> None:
    plan = training_plan(GRAPHS[name])
    keeping = replace(
        plan,
        forward=tuple(replace(s, frees=()) for s in plan.forward),
        backward=tuple(replace(s, frees=()) for s in plan.backward),
    )
    arrays = arrays_of(plan.typed)
    (loss, found), (kept_loss, kept) = gradients(plan, *arrays), gradients(keeping, *arrays)
    assert loss == kept_loss
    assert found.keys() == kept.keys()
    assert all(np.array_equal(found[n], kept[n]) for n in kept)


@pytest.mark.parametrize("name", GRAPHS)
def test_in_the_end_no_value_is_held(name: str) -> None:
    plan = training_plan(GRAPHS[name])
    freed = [v for step in (*plan.forward, *plan.backward) for v in step.frees]
    used = {*plan.typed.inputs, *(s.node.name for s in plan.forward)}
    assert len(freed) == len({*freed})
    unread = {v for v in plan.typed.inputs if not any(v in s.node.inputs for s in plan.forward)}
    assert used - {*freed} <= (unread if plan.backward else {*plan.outputs} | unread)


def test_a_value_lives_no_longer_than_a_gradient_reads_it() -> None:
    typed = graph(
        node("conv", "conv", "input", out=4, kernel=3),
        node("relu", "relu", "conv"),
        node("scale", "scale", "relu", factor=2.0),
        node("flat", "flatten", "scale"),
        node("fc", "linear", "flat", out=2),
    )
    plan = training_plan(typed)
    assert {s.node.name: s.frees for s in plan.forward} == {
        "conv": (),  # relu reads its own output, and the way back asks the shape alone
        "relu": ("conv",),
        "scale": (),
        "flat": ("scale",),
        "fc": (),
    }
    assert {s.node.name: s.frees for s in plan.backward} == {
        "fc": ("flat", "fc"),
        "flat": (),
        "scale": (),
        "relu": ("relu",),
        "conv": ("input",),
    }


def test_frozen_parameters_get_no_gradient_and_nothing_goes_back_behind_them() -> None:
    typed = GRAPHS["chain"]
    arrays = arrays_of(typed)
    _, everything = gradients(training_plan(typed), *arrays)
    frozen = {n for n in typed.params() if n.startswith(("conv1", "bn1", "conv2"))}
    plan = training_plan(typed, frozen=frozen)
    _, found = gradients(plan, *arrays)
    assert found.keys() == everything.keys() - frozen
    assert all(np.array_equal(found[n], everything[n]) for n in found)
    assert [s.node.name for s in plan.backward] == ["bn3", "fc"]


def test_an_input_gets_no_gradient() -> None:
    plan = training_plan(GRAPHS["chain"])
    first = plan.backward[-1]
    assert (first.node.name, first.of_inputs, first.of_params) == ("conv1", frozenset(), True)


def test_the_loss_may_read_any_value_and_leave_out_an_output() -> None:
    typed = GRAPHS["conv_is_output"]
    params, inputs = arrays_of(typed)
    passed = training_plan(typed, ["conv"]).run(params, inputs, draws)
    assert passed.outputs.keys() == {"conv"}
    both = training_plan(typed).run(params, inputs, draws)
    found = both.back({"conv": np.ones_like(passed.outputs["conv"])})
    assert found.keys() == passed.back({"conv": np.ones_like(passed.outputs["conv"])}).keys()


def test_running_statistics_move_towards_those_of_the_batch() -> None:
    typed = graph(node("bn", "bn", "input", momentum=0.25))
    params, inputs = arrays_of(typed)
    passed = training_plan(typed).run(params, inputs, draws)
    (x,) = inputs.values()
    expected = 0.75 * params["bn.running_mean"] + 0.25 * x.mean((0, 2, 3))
    np.testing.assert_allclose(passed.buffers["bn.running_mean"], expected, rtol=1e-12)
    unbiased = 0.75 * params["bn.running_var"] + 0.25 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(passed.buffers["bn.running_var"], unbiased, rtol=1e-12)


@pytest.mark.parametrize("kind", ["dropout", "channel_dropout", "stochastic_depth"])
def test_a_dropout_keeps_the_mean_and_draws_anew(kind: str) -> None:
    typed = graph(node("conv", "conv", "input", out=64), node("drop", kind, "conv", rate=0.25))
    params, inputs = arrays_of(typed)
    seen: list[str] = []

    def drawing(name: str) -> Generator:
        seen.append(name)
        return draws(name)

    big = {name: np.repeat(x, 200, axis=0) for name, x in inputs.items()}
    dropped = training_plan(typed).run(params, big, drawing).outputs["drop"]
    plain = training_plan(typed, ["conv"]).run(params, big, drawing).outputs["conv"]
    assert "drop" in seen
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], (plain / 0.75)[kept], rtol=1e-12)
    assert abs(kept.mean() - 0.75) < 0.06


@pytest.mark.parametrize("kind", [kind for kind, cls in all_ops().items() if "rate" in cls.model_fields])
def test_what_is_always_dropped_is_0_and_gives_nothing_back(kind: str) -> None:
    typed = graph(node("conv", "conv", "input", out=4), node("drop", kind, "conv", rate=1))
    params, inputs = arrays_of(typed)
    passed = training_plan(typed).run(params, inputs, draws)
    assert not passed.outputs["drop"].any()
    gradients = passed.back({"drop": np.ones_like(passed.outputs["drop"])})
    assert not any(gradient.any() for gradient in gradients.values())


NETWORKS = reference(NETWORK_GRADIENTS)["networks"]


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c.is_large else ()) for c in CASES], ids=str
)
def test_gradients_of_a_network_are_those_of_torch(case: Case) -> None:
    typed, params, inputs = case.arrays()
    passed = training_plan(typed).run(params, inputs, draws)
    outputs = passed.outputs
    found = network_figures(outputs, passed.back(loss_gradients(outputs)), passed.buffers)
    assert_close(found, NETWORKS[str(case)])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_stored_gradients_of_a_network_are_those_that_torch_gives(case: Case) -> None:
    pytest.importorskip("torch")
    assert_close(network_figures(*torch_network_gradients(case)), NETWORKS[str(case)])


def assert_close(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Gradients to 1e-10 of the network's largest: those of biases before a batch norm are rounding alone."""
    assert found["gradients"].keys() == wanted["gradients"].keys()
    assert found["buffers"].keys() == wanted["buffers"].keys()
    assert found["outputs"].keys() == wanted["outputs"].keys()
    assert found["largest"] == pytest.approx(wanted["largest"], rel=1e-8)
    for name, values in wanted["gradients"].items():
        assert found["gradients"][name] == pytest.approx(values, rel=0, abs=1e-10 * wanted["largest"]), name
    for part in ("outputs", "buffers"):
        for name, values in wanted[part].items():
            assert found[part][name] == pytest.approx(values, rel=1e-8, abs=1e-8), name


# Families that have none stored, and what holds their gradients in its place.
WITHOUT_STORED = {
    "ssd_300_vgg_16": "the smallest picture that it takes has 257 pixels a side, on which VGG-16 runs for "
    "minutes; its ops are those of `vgg_11_small` and of the other networks that detect",
    "mambaout": "its linear layers go along the channels of a map, which the writer for torch refuses; "
    "`test_gradients.py` holds that way back by differences, on the op's examples",
}


def test_every_family_of_the_zoo_has_a_network_with_stored_gradients() -> None:
    stored = {family(case.name) for case in CASES}
    assert not stored & WITHOUT_STORED.keys()
    assert stored | WITHOUT_STORED.keys() == set(map(family, networks()))
