"""The learner of MLX beyond the laws of all learners: zeros, low precision, dropouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archforge.backends import available
from archforge.ops.base import Array
from archforge.plan.backward import training_plan
from archforge.plan.learner import ReferenceLearner
from archforge.weights import rule_weights
from tests.gradients import draws
from tests.graphs import graph, inputs_of, node
from tests.test_learners import learned, learner_of

pytestmark = pytest.mark.skipif("mlx" not in available(), reason="mlx is not installed")


@pytest.mark.parametrize(("kind", "attributes"), [("lp_pool", {"kernel": 2}), ("global_response_norm", {})])
def test_where_a_kernel_has_no_derivative_the_file_of_the_op_has_one(
    kind: str, attributes: dict[str, Any]
) -> None:
    typed = graph(node("conv", "conv", "input", out=4), node("op", kind, "conv", **attributes))
    plan = training_plan(typed)
    learner = learner_of("mlx", plan)
    assert learner.fallbacks == (kind,)
    zeros = {name: np.zeros_like(a) for name, a in inputs_of(typed, 2).items()}
    params = {n: a * (0 if n.startswith("conv") else 1) for n, a in rule_weights(typed.params()).items()}
    assert all(np.isfinite(d).all() for d in learned(learner, params, zeros).gradients.values())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_low_precision_are_float32(dtype: str) -> None:
    from archforge.backends.mlx.learner import MlxLearner

    typed = graph(
        node("conv", "conv", "input", out=4, bias=False), node("bn", "bn", "conv"), node("relu", "relu", "bn")
    )
    plan = training_plan(typed)
    params, inputs = rule_weights(typed.params()), inputs_of(typed, 2)
    wanted = learned(ReferenceLearner(plan), params, inputs, "float64")
    found = learned(MlxLearner(plan, dtype), params, inputs)
    for name, array in found.gradients.items():
        assert array.dtype == np.float32
        scale = np.abs(wanted.gradients[name]).max()
        np.testing.assert_allclose(array, wanted.gradients[name], atol=0.1 * scale)
    np.testing.assert_allclose(found.buffers["bn.running_var"], wanted.buffers["bn.running_var"], rtol=0.02)


def test_a_dropout_drops_what_that_of_its_file_does() -> None:
    typed = graph(
        node("conv", "conv", "input", out=4), node("a", "dropout", "conv"), node("b", "channel_dropout", "a")
    )
    plan = training_plan(typed)
    params, inputs = rule_weights(typed.params()), inputs_of(typed, 3)
    seen: list[Array] = []
    for learner in (ReferenceLearner(plan), learner_of("mlx", plan)):
        arrays, given = ({n: a.astype(np.float32) for n, a in part.items()} for part in (params, inputs))

        def loss(outputs: dict[str, Array]) -> dict[str, Array]:
            seen.append(outputs["b"])
            return {"b": np.ones_like(outputs["b"])}

        learner.learn(arrays, given, draws, loss)  # type: ignore[arg-type]
    np.testing.assert_array_equal(seen[0] == 0, seen[1] == 0)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-5)
