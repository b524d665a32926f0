"""Blocks that are computed again on the way back: equal bits, less memory, no more steps than it takes."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.errors import TrainingWarning
from archforge.ir import Scope, TypedGraph
from archforge.plan.arena import lay_out
from archforge.plan.backward import TrainingPlan, training_plan
from archforge.plan.learner import Learned
from archforge.scopes import scope_names, scopes_that_fit
from archforge.weights import rule_weights
from tests.gradients import draws, loss_gradients, train
from tests.graphs import GRAPHS, WEIGHTS, graph, inputs_of, node
from tests.op_examples import EXAMPLES, OpExample
from tests.test_learners import LEARNING, each_backend, learned, learner_of

BATCH = 3


def plans(typed: TypedGraph, recompute: Collection[int]) -> tuple[TrainingPlan, TrainingPlan]:
    """The plan that keeps all, and that which computes scopes again."""
    plan = training_plan(typed, recompute=recompute, of_inputs=typed.inputs)
    return plan.keeping_all(), plan


def scopes_of(typed: TypedGraph, patterns: Sequence[str]) -> set[int]:
    return {scope.index for pattern in patterns for scope in scopes_that_fit(pattern, typed.scopes)}


def scattered(typed: TypedGraph, seed: int) -> tuple[TypedGraph, set[int]]:
    """The graph with its nodes at random in scopes that lie in one another at random, and some of them."""
    rng = np.random.default_rng(seed)
    root = Scope(0, "", "graph", True, None, None)
    scopes = (root, *(Scope(i, f"s{i}", "seq", False, int(rng.integers(i)), None) for i in range(1, 5)))
    # Neighbours are in one scope more often than not, as blocks are.
    places = np.repeat(rng.integers(len(scopes), size=len(typed.nodes)), rng.integers(1, 5))
    nodes = tuple(replace(n, scope=int(place)) for n, place in zip(typed.nodes, places, strict=False))
    chosen = {int(i) for i in range(1, len(scopes)) if rng.random() < 0.7}
    return replace(typed, graph=replace(typed.graph, nodes=nodes, scopes=scopes)), chosen


def assert_same_bits(found: Learned, expected: Learned) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert [*ours] == [*theirs]
        for name, array in theirs.items():
            assert ours[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_equal_to_the_bit_whatever_is_computed_again(name: str, seed: int) -> None:
    typed, recompute = scattered(GRAPHS[name], seed)
    inputs = inputs_of(typed, BATCH)
    passed = [plan.run(WEIGHTS[name], inputs, draws) for plan in plans(typed, recompute)]
    kept, again = (Learned(p.back(loss_gradients(p.outputs)), p.buffers) for p in passed)
    assert_same_bits(again, kept)
    assert_same_bits(*(Learned(p.input_gradients, {}) for p in passed))
    frees = [value for step in (*passed[1].plan.forward, *passed[1].plan.backward) for value in step.frees]
    made = [step.node.name for step in (*passed[1].plan.forward, *passed[1].plan.backward) if step.again]
    assert len(frees) <= len({*frees}) + len(made)


@each_backend
@pytest.mark.parametrize(
    "name", ["chain", "residual", "identities", "shared", "branches", "linear_over_time"]
)
def test_learners_find_equal_bits_whatever_is_computed_again(name: str, backend: str) -> None:
    typed, recompute = scattered(GRAPHS[name], seed=0)
    inputs = inputs_of(typed, BATCH)
    kept, again = (learner_of(backend, plan) for plan in plans(typed, recompute))
    for _ in range(2):  # memory is used again
        assert_same_bits(learned(again, WEIGHTS[name], inputs), learned(kept, WEIGHTS[name], inputs))


NETWORKS: list[Any] = [
    ("densenet_small", {"input": (1, 32, 32)}, ["dense_block", "dense_layer", "transition"]),
    ("resnet_2_2_2_cifar", {}, ["*"]),
    ("mlp_mnist", {}, []),
    ("lstm_text", {}, []),
    pytest.param("mobilenet_v3_small", {"input": (3, 64, 64)}, ["*", "*.block.*"], marks=pytest.mark.slow),
    pytest.param(
        "convnext_v2_atto", {"input": (3, 64, 64)}, ["stages.?", "*.blocks.?"], marks=pytest.mark.slow
    ),
    pytest.param("googlenet_small", {"input": (1, 64, 64)}, ["*"], marks=pytest.mark.slow),
]


@each_backend
@pytest.mark.parametrize(("name", "settings", "patterns"), NETWORKS)
def test_networks_find_equal_bits(
    name: str, settings: dict[str, Any], patterns: list[str], backend: str
) -> None:
    typed = driver.load(name, **settings).graph
    recompute = scopes_of(typed, patterns) if patterns else {s.index for s in typed.scopes[1:]}
    params, inputs = rule_weights(typed.params()), inputs_of(typed, BATCH)
    kept, again = (learned(learner_of(backend, p), params, inputs) for p in plans(typed, recompute))
    assert_same_bits(again, kept)


# Peak memory for values that are all kept, as a multiple of that with blocks computed again, at most.
FACTORS = [
    ("densenet_small", ["dense_layer"], 1.38),
    ("densenet_small", ["dense_block", "dense_layer"], 1.49),
    ("densenet_121", ["dense_layer"], 2.29),
    ("densenet_121", ["features.denseblock?", "dense_layer", "transition"], 4.19),
    ("resnet_20_cifar", ["basic"], 2.15),
    ("resnet_50", ["bottleneck"], 2.53),
    ("mobilenet_v2", ["inverted"], 2.04),
]


@pytest.mark.parametrize(("name", "patterns", "factor"), FACTORS)
def test_planned_memory_falls_by_the_stated_factor(name: str, patterns: list[str], factor: float) -> None:
    typed = driver.load(name).graph
    kept, again = plans(typed, scopes_of(typed, patterns))
    assert kept.peak_elements >= factor * again.peak_elements


@pytest.mark.skipif("numba" not in LEARNING, reason="numba is not installed")
@pytest.mark.parametrize(("name", "patterns", "factor"), [FACTORS[1], FACTORS[4]])
def test_the_arena_of_a_tape_falls_as_the_plan_says(name: str, patterns: list[str], factor: float) -> None:
    learner: Any = importlib.import_module("archforge.backends.numba.training.learner")
    typed = driver.load(name).graph
    params = {n: np.zeros(decl.shape, np.float32) for n, decl in typed.params().items()}
    sizes = []
    for plan in plans(typed, scopes_of(typed, patterns)):
        made = learner.NumbaLearner(plan)
        made.bind(params)
        sizes.append(lay_out(made.recorded(8).buffers())[1])
    assert sizes[0] >= 0.95 * factor * sizes[1]


def test_a_step_is_made_again_only_where_a_gradient_reads_what_it_makes() -> None:
    scopes = (Scope(0, "", "graph", True, None, None), Scope(1, "block", "block", True, 0, None))
    conv: dict[str, Any] = {"out": 4, "kernel": 3, "padding": 1, "scope": 1}
    typed = graph(
        node("first", "conv", "input", **conv),
        node("norm", "bn", "first", scope=1),
        node("relu", "relu", "norm", scope=1),
        node("second", "conv", "relu", **conv),
        node("sum", "add", "second", "input", scope=1),
        node("fc", "flatten", "sum"),
        scopes=scopes,
    )
    kept, again = plans(typed, {1})
    assert [(s.node.name, s.again, s.saves) for s in again.backward] == [
        ("fc", False, False),
        ("first", True, False),
        ("norm", True, True),
        ("relu", True, False),
        ("sum", False, False),
        ("second", False, False),
        ("relu", False, False),
        ("norm", False, False),
        ("first", False, False),
    ]
    assert not any(step.saves for step in again.forward)
    assert [s.node.name for s in kept.forward if s.saves] == ["norm"]
    assert {s.node.name: s.frees for s in again.forward}["second"] == ("relu",)


@pytest.mark.parametrize("last_reads", [True, False])
def test_of_a_block_in_a_block_is_made_what_is_read_and_let_go_of_between(last_reads: bool) -> None:
    scopes = (
        Scope(0, "", "graph", True, None, None),
        Scope(1, "outer", "block", True, 0, None),
        Scope(2, "inner", "block", True, 1, None),
    )
    last = node("last", "silu", "third", scope=1) if last_reads else node("last", "add", "third", scope=1)
    typed = graph(
        node("first", "conv", "input", out=4, scope=1),
        node("second", "conv", "first", out=4, scope=2),
        node("sigmoid", "sigmoid", "second", scope=2),
        node("third", "conv", "sigmoid", out=4, scope=2),
        last,
        scopes=scopes,
    )

    def made_again(recompute: set[int]) -> list[str]:
        return [s.node.name for s in plans(typed, recompute)[1].backward if s.again]

    inner = ["second", "sigmoid"]
    assert made_again({1}) == ["first", *inner, *["third"] * last_reads]
    assert made_again({2}) == inner
    # For what leads to `third`, and once more for its own gradient.
    assert made_again({1, 2}) == ["first", *[*inner, "third"] * last_reads, *inner]


@pytest.mark.parametrize("backend", [name for name in LEARNING if name != "mlx"])
def test_what_an_op_saves_is_let_go_of_too(backend: str) -> None:
    scopes = (Scope(0, "", "graph", True, None, None), Scope(1, "block", "block", True, 0, None))
    typed = graph(
        node("states", "lstm", "input", hidden=3, scope=1),
        node("fc", "linear", "states", out=2),
        inputs={"input": (4, 3)},
        scopes=scopes,
    )

    def is_saved(plan: TrainingPlan) -> bool:
        """True if what the recurrent op saves is there when the loss is computed."""
        refs: list[weakref.ref[Any]] = []
        alive: list[bool] = []
        lstm = type(typed.nodes[0].op)
        original = lstm.train

        def watched(self: Any, *args: Any, **options: Any) -> Any:
            made = original(self, *args, **options)
            refs.extend(weakref.ref(array) for array in made.saved)
            return made

        def loss(outputs: Mapping[str, Any]) -> Any:
            alive.append(any(ref() is not None for ref in refs))
            return loss_gradients(outputs)

        with mock.patch.object(lstm, "train", watched):
            params = {n: a.astype("float32") for n, a in rule_weights(typed.params()).items()}
            inputs = {n: a.astype("float32") for n, a in inputs_of(typed, BATCH).items()}
            learner_of(backend, plan).learn(params, inputs, draws, loss)
        return alive[-1]

    assert [is_saved(plan) for plan in plans(typed, {1})] == [True, False]


def test_frozen_blocks_are_not_computed_again() -> None:
    typed = driver.load("resnet_2_2_2_cifar").graph
    last = [n for n in typed.params() if not n.startswith("fc")]
    plan = training_plan(typed, frozen=last, recompute=scopes_of(typed, ["*"]))
    assert not any(step.again for step in plan.backward)
    assert not any(step.saves for step in plan.forward)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_says_how_much_it_saves(example: OpExample) -> None:
    inputs = example.inputs("float64", BATCH)
    made = train(example, example.params("float64"), inputs)
    saved = made.saved if isinstance(made.saved, tuple | list) else [made.saved]
    of_samples = [a.size for a in saved if a is not None and a.ndim == inputs[0].ndim]
    assert sum(of_samples) == BATCH * example.op.saved_elements(*example.types)
    assert all(a.ndim == 1 for a in saved if a is not None and a.ndim != inputs[0].ndim)


def test_patterns_are_for_blocks_and_scopes_and_take_the_outermost() -> None:
    scopes = driver.load("densenet_121").graph.scopes
    assert len(scopes_that_fit("dense_layer", scopes)) == 58
    assert [s.name for s in scopes_that_fit("features.denseblock*", scopes)] == [
        f"features.denseblock{i}" for i in range(1, 5)
    ]
    assert [s.name for s in scopes_that_fit("*", scopes)] == ["features"]
    assert scopes_that_fit("densenet_121", scopes) == []
    assert all(scopes_that_fit(name, scopes) for name in scope_names(scopes))


SPEC = {
    "archforge": 1,
    "title": "Noisy",
    "input": [1, 8, 8],
    "blocks": {
        "unit": {"body": [{"conv": {"out": 8, "kernel": 3, "padding": 1}}, "bn", "relu", {"dropout": 0.2}]}
    },
    "graph": [{"unit": {}, "repeat": 3}, "flatten", {"linear": 3}],
}
RECIPE: dict[str, Any] = {
    "loss": "cross_entropy",
    "optimizer": "sgd",
    "epochs": 2,
    "batch": 8,
    "validation": 0.25,
}


def samples() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((40, 1, 8, 8)).astype("float32"), np.arange(40) % 3


class OneEpoch(archforge.Callback):
    def on_epoch(self, run: Any, figures: Any) -> None:
        run.stop("that will do")


def figures(trained: archforge.Trained) -> list[tuple[float, ...]]:
    return [(row["loss"], row["val_loss"], row["val_accuracy"]) for row in trained.history]


@pytest.mark.parametrize("backend", [name for name in LEARNING if name != "mlx"])
def test_a_run_with_blocks_computed_again_is_the_same_run(backend: str, tmp_path: Any, recwarn: Any) -> None:
    options = RECIPE | {"backend": backend}
    kept = archforge.train(SPEC, samples(), **options)
    again = archforge.train(SPEC, samples(), **options, recompute=["unit"])
    assert figures(again) == figures(kept)
    assert all(again.weights[name].tobytes() == array.tobytes() for name, array in kept.weights.items())
    # A run goes on with or without it, as one.
    out = tmp_path / "run"
    archforge.train(SPEC, samples(), **options, out=out, callbacks=[OneEpoch()])
    resumed = archforge.train(SPEC, samples(), **options, recompute="unit", out=out, resume=True)
    assert figures(resumed) == figures(kept)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recompute": "unit", "backend": "mlx"}, "the backend mlx keeps all values"),
        ({"recompute": "whole"}, "memory is as much"),
    ],
)
def test_what_saves_no_memory_is_told_of(changes: dict[str, Any], told: str) -> None:
    if changes.get("backend", "numpy") not in LEARNING:
        pytest.skip("not installed")
    graph = [{"name": "whole", "seq": SPEC["graph"]}]
    with pytest.warns(TrainingWarning, match=told):
        archforge.train(
            {**SPEC, "graph": graph}, samples(), **RECIPE | {"epochs": 1, "backend": "numpy"} | changes
        )
