"""Learners of backends learn what the op files' own gradients do: every op, whole networks, every thread."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest

from archforge.backends import available, get
from archforge.ir import (
    Backward,
    Example,
    Gradients,
    Graph,
    Node,
    Op,
    ParamDecl,
    TensorType,
    TypedGraph,
    infer,
)
from archforge.ops.base import Array
from archforge.plan.backward import TrainingPlan, training_plan
from archforge.plan.learner import Learned, Learner, Learning, ReferenceLearner
from archforge.weights import rule_weights
from tests.gradients import CASES, Case, draws, loss_gradients
from tests.graphs import GRAPHS, WEIGHTS, graph, inputs_of, node
from tests.op_examples import EXAMPLES, OpExample

BATCH = 3
# Of the largest gradient of a parameter, in float32 beside float64.
TOLERANCE = 1e-5

LEARNING = [name for name in available() if isinstance(get(name), Learning)]
each_backend = pytest.mark.parametrize("backend", LEARNING)


class Leaf(Op):
    """A test's own op that returns its parameter, whose gradient is thus that of the value itself."""

    op: ClassVar[str] = "leaf"
    examples: ClassVar = (Example({}, ((2, 3),)),)

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        return {"value": ParamDecl((BATCH, *inputs[0].shape))}

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return params["value"]

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((), {"value": back.dy})


def learner_of(backend: str, plan: TrainingPlan) -> Learner:
    chosen = get(backend)
    assert isinstance(chosen, Learning)
    return chosen.learner(plan, "float32")


def learned(
    learner: Learner, params: Mapping[str, Array], inputs: Mapping[str, Array], dtype: str = "float32"
) -> Learned:
    """Copies of what a learner finds for a loss that weighs each element of each output."""
    cast = {name: np.array(a, dtype) for name, a in params.items()}
    given = {name: np.array(a, dtype) for name, a in inputs.items()}

    def loss(outputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: d.astype(dtype) for name, d in loss_gradients(outputs).items()}

    found = learner.learn(cast, given, draws, loss)
    return Learned(*({n: a.copy() for n, a in part.items()} for part in found))


def assert_alike(found: Learned, expected: Learned, tolerance: float, least: float = 1e-2) -> None:
    """Equal to within `tolerance` of each array's largest number, which counts as at least `least` of that of
    all arrays."""
    for ours, theirs in zip(found, expected, strict=True):
        assert [*ours] == [*theirs]
        largest = {name: float(np.abs(array).max()) for name, array in theirs.items()}
        for name, array in theirs.items():
            assert ours[name].shape == array.shape
            scale = max(largest[name], least * max(largest.values()))
            worst = float(np.abs(ours[name] - array).max())
            assert worst <= tolerance * scale, f"{name}: {worst / scale:.1e}"


def example_graph(example: OpExample, *, with_leaves: bool) -> TypedGraph:
    """The op by itself, on inputs or on values that are parameters, so that they get gradients."""
    names = [f"x{i}" for i in range(len(example.types))]
    leaves = tuple(Node(f"leaf_{n}", Leaf(), (n,), 0, params_of=f"leaf_{n}") for n in names)
    read = tuple(n.name for n in leaves) if with_leaves else tuple(names)
    op = Node("op", example.op, read, 0, params_of="op")
    inputs = dict(zip(names, example.types, strict=True))
    return infer(Graph("example", inputs, (*leaves * with_leaves, op), {"op": "op"}))


# On values that get gradients, and where there is something to learn, on an input of the network.
each_use = pytest.mark.parametrize(
    ("example", "with_leaves"),
    [
        pytest.param(example, with_leaves, id=f"{example} on {'values' if with_leaves else 'an input'}")
        for example in EXAMPLES
        for with_leaves in ([True, False] if example.op.params(*example.types) else [True])
    ],
)


@each_backend
@each_use
def test_gradients_of_every_example_are_those_of_its_file(
    example: OpExample, with_leaves: bool, backend: str
) -> None:
    typed = example_graph(example, with_leaves=with_leaves)
    plan = training_plan(typed)
    values = dict(zip(typed.inputs, example.inputs("float64", BATCH), strict=True))
    params = {f"op.{name}" if name else "op": a for name, a in example.params("float64").items()}
    if with_leaves:
        params |= {f"leaf_{name}.value": a for name, a in values.items()}
    expected = learned(ReferenceLearner(plan), params, values, "float64")
    learner = learner_of(backend, plan)
    for _ in range(2):  # memory is used again
        assert_alike(learned(learner, params, values), expected, TOLERANCE)


@each_backend
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_of_the_hand_made_graphs_are_those_of_the_op_files(name: str, backend: str) -> None:
    plan = training_plan(GRAPHS[name])
    inputs = inputs_of(GRAPHS[name], batch=BATCH)
    expected = learned(ReferenceLearner(plan), WEIGHTS[name], inputs, "float64")
    found = learned(learner_of(backend, plan), WEIGHTS[name], inputs)
    assert_alike(found, expected, TOLERANCE, least=1.0)


@each_backend
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_told_when_they_are_complete_once_and_in_order(name: str, backend: str) -> None:
    plan = training_plan(GRAPHS[name])
    params = {full: np.array(a, np.float32) for full, a in WEIGHTS[name].items()}
    inputs = {full: np.array(a, np.float32) for full, a in inputs_of(GRAPHS[name], batch=BATCH).items()}
    told: list[tuple[str, Array]] = []

    def complete(name: str, gradient: Array) -> None:
        told.append((name, gradient.copy()))

    found = learner_of(backend, plan).learn(params, inputs, draws, loss_gradients, complete)
    assert [name for name, _ in told] == [*plan.reached_from(plan.outputs)] == [*found.gradients]
    for name, gradient in told:
        np.testing.assert_array_equal(gradient, found.gradients[name], name)


def odd_convolution(seed: int) -> TypedGraph:
    """A convolution of odd sizes, whose input gets a gradient too."""
    rng = np.random.default_rng(seed)

    def pick(*choices: int) -> int:
        return int(rng.choice(choices))

    channels, kernel = pick(3, 8, 16, 20, 35), (pick(1, 2, 3, 5), pick(1, 3, 4))
    groups = pick(1, 1, channels, 4 if channels % 4 == 0 else 1)
    stride = pick(1, 2), pick(1, 2, 3)
    if groups == channels:  # where windows leave gaps, there is no kernel
        stride = min(stride[0], kernel[0]), min(stride[1], kernel[1])
    conv: dict[str, Any] = {
        "out": channels if groups == channels else pick(4, 16, 36, 68),
        "kernel": kernel,
        "stride": stride,
        "dilation": (1, pick(1, 1, 2)),
        "padding": tuple((pick(0, 1, 2), pick(0, 1, 2)) for _ in range(2)),
        "groups": groups,
        "bias": bool(pick(0, 1)),
    }
    behind = [node("act", "relu6" if pick(0, 1) else "relu", "conv")] if pick(0, 1) else []
    return graph(
        node("scale", "layer_scale", "input"),
        node("conv", "conv", "scale", **conv),
        *behind,
        inputs={"input": (channels, pick(6, 9, 13, 19), pick(8, 11, 17))},
    )


def grouped_convolution(groups: int, inputs: int, outputs: int, kernel: tuple[int, int]) -> TypedGraph:
    """A convolution of groups of so many channels, of which the last combined ones may be fewer."""
    attributes: dict[str, Any] = {"kernel": kernel, "stride": (1, 2), "padding": 1, "groups": groups}
    conv = node("conv", "conv", "scale", out=groups * outputs, **attributes)
    return graph(node("scale", "layer_scale", "input"), conv, inputs={"input": (groups * inputs, 6, 9)})


GROUPED = [
    (11, 8, 8, (3, 3)),
    (7, 24, 24, (3, 3)),
    (5, 12, 20, (1, 3)),
    (3, 40, 24, (1, 1)),
    (9, 2, 4, (3, 2)),
]


@each_backend
@pytest.mark.parametrize(
    "typed",
    [*(pytest.param(odd_convolution(seed), id=str(seed)) for seed in range(16))]
    + [pytest.param(grouped_convolution(*case), id=str(case)) for case in GROUPED],
)
def test_gradients_of_odd_convolutions_are_those_of_the_op_files(typed: TypedGraph, backend: str) -> None:
    plan = training_plan(typed)
    params, inputs = rule_weights(typed.params()), inputs_of(typed, BATCH)
    expected = learned(ReferenceLearner(plan), params, inputs, "float64")
    learner = learner_of(backend, plan)
    assert "conv" not in learner.fallbacks
    assert_alike(learned(learner, params, inputs), expected, TOLERANCE)


@pytest.mark.skipif("numba" not in LEARNING, reason="numba is not installed")
@pytest.mark.parametrize("which", [0, -1], ids=["small tiles", "large tiles"])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 7), (2, 2)], ids=str)
def test_gradients_by_winograd_are_those_of_the_op_files(kernel: tuple[int, int], which: int) -> None:
    cost = importlib.import_module("archforge.backends.numba.families.winograd_cost")
    typed = graph(
        node("scale", "layer_scale", "input"),
        node("conv", "conv", "scale", out=36, kernel=kernel, padding=((1, 0), (0, 2))),
        node("relu", "relu", "conv"),
        inputs={"input": (20, 13, 11)},
    )
    plan = training_plan(typed)
    params, inputs = rule_weights(typed.params()), inputs_of(typed, BATCH)
    expected = learned(ReferenceLearner(plan), params, inputs, "float64")

    def form(op: Any, x: TensorType, images: int) -> Any:
        return [*cost.possible_forms(op, x)][which]

    with mock.patch.object(cost, "trained_form", form):
        assert_alike(learned(learner_of("numba", plan), params, inputs), expected, TOLERANCE)


NAMES = ("lenet_5_mnist", "mobilenet_v2", "resnet_20_cifar", "squeezenet_1_1")
NETWORKS = [case for case in CASES if case.name in NAMES]


def deviations(found: Learned, expected: Learned) -> list[float]:
    """The largest deviation of gradients and of buffers, in parts of the largest number of all."""
    worst = []
    for ours, theirs in zip(found, expected, strict=True):
        assert [*ours] == [*theirs]
        largest = max((float(np.abs(a).max()) for a in theirs.values()), default=1.0)
        apart = (float(np.abs(ours[name] - a).max()) for name, a in theirs.items())
        worst.append(max(apart, default=0.0) / largest)
    return worst


@each_backend
@pytest.mark.parametrize("case", NETWORKS, ids=str)
def test_gradients_of_networks_are_as_near_as_those_of_the_op_files(case: Case, backend: str) -> None:
    typed, params, inputs = case.arrays()
    plan = training_plan(typed)
    exact = learned(ReferenceLearner(plan), params, inputs, "float64")
    reference = deviations(learned(ReferenceLearner(plan), params, inputs), exact)
    found = deviations(learned(learner_of(backend, plan), params, inputs), exact)
    # What rounding does depends on the network: float32 is no better in another order.
    assert all(ours <= 4 * theirs + TOLERANCE for ours, theirs in zip(found, reference, strict=True))


@each_backend
def test_a_learner_follows_its_parameters_and_sizes_of_batches(backend: str) -> None:
    typed = GRAPHS["chain"]
    plan = training_plan(typed)
    learner, reference = learner_of(backend, plan), ReferenceLearner(plan)
    params = {name: np.array(a, np.float32) for name, a in WEIGHTS["chain"].items()}

    def assert_follows(params: Mapping[str, Array], images: int) -> None:
        inputs = {name: a.astype(np.float32) for name, a in inputs_of(typed, images).items()}
        found, expected = (each.learn(params, inputs, draws, loss_gradients) for each in (learner, reference))
        copies = Learned(*({n: np.array(a) for n, a in part.items()} for part in found))
        assert_alike(copies, expected, 10 * TOLERANCE, least=1.0)

    for images in (3, 5, 2, 3):
        assert_follows(params, images)
        for array in params.values():
            array *= 1.1
    assert_follows({name: array.copy() for name, array in params.items()}, 3)
    assert_follows({name: np.asfortranarray(array) for name, array in params.items()}, 3)


@each_backend
def test_a_loss_that_raises_leaves_the_learner_as_it_was(backend: str) -> None:
    plan = training_plan(GRAPHS["chain"])
    learner, inputs = learner_of(backend, plan), inputs_of(plan.typed, BATCH)
    expected = learned(learner, WEIGHTS["chain"], inputs)

    def refusing(outputs: Mapping[str, Array]) -> dict[str, Array]:
        raise ValueError("no")

    given = {name: np.array(a, np.float32) for name, a in (WEIGHTS["chain"] | inputs).items()}
    with pytest.raises(ValueError, match="no"):
        learner.learn(given, {name: given[name] for name in inputs}, draws, refusing)
    again = learned(learner, WEIGHTS["chain"], inputs)
    assert all(np.array_equal(again.gradients[n], a) for n, a in expected.gradients.items())


@each_backend
def test_an_output_that_the_loss_leaves_out_gives_no_gradients(backend: str) -> None:
    typed = graph(
        node("trunk", "linear", "input", out=4),
        node("head", "linear", "trunk", out=2),
        node("other", "linear", "trunk", out=3),
        inputs={"input": (5,)},
        outputs={"head": "head", "other": "other"},
    )
    plan = training_plan(typed)
    params, inputs = rule_weights(typed.params()), inputs_of(typed, BATCH)
    arrays = {name: np.array(a, np.float32) for name, a in params.items()}
    given = {"input": inputs["input"].astype(np.float32)}

    def trained_by(learner: Learner, wanted: set[str]) -> set[str]:
        found = learner.learn(arrays, given, draws, lambda y: {n: np.ones_like(y[n]) for n in wanted})
        return {name.partition(".")[0] for name in found.gradients}

    for learner in (ReferenceLearner(plan), learner_of(backend, plan)):
        assert trained_by(learner, {"head"}) == {"trunk", "head"}
        assert trained_by(learner, {"other"}) == {"trunk", "other"}
        assert trained_by(learner, set()) == set()


def digest(backend: str, name: str) -> str:
    """The hash of all bits that a learner finds for a network, twice in the same way."""
    case = next(case for case in CASES if case.name == name)
    typed, params, inputs = case.arrays()
    learner = learner_of(backend, training_plan(typed))
    first, second = (learned(learner, params, inputs) for _ in range(2))
    bits = [b"".join(a.tobytes() for part in found for a in part.values()) for found in (first, second)]
    assert bits[0] == bits[1]
    return hashlib.sha256(bits[0]).hexdigest()


@pytest.mark.skipif("numba" not in LEARNING, reason="numba is not installed")
@pytest.mark.parametrize("name", ["lenet_5_mnist", "resnet_20_cifar"])
def test_bits_do_not_depend_on_threads(name: str) -> None:
    code = f"from tests.test_learners import digest; print(digest('numba', {name!r}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"ARCHFORGE_THREADS": threads, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "3")
    }
    assert len(found) == 1
