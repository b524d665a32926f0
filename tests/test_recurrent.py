"""Recurrent layers are torch's: names, shapes, order of gates and outputs; and one bias vector less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import archforge
from archforge.ir import TensorType
from archforge.weights import rule_array, rule_input
from tests.op_examples import bind
from tests.zoo import reference

TORCH = reference("torch_recurrent")
KINDS = ("rnn", "lstm", "gru")


@pytest.mark.parametrize("layer", TORCH["layers"], ids=lambda layer: layer["op"])
def test_parameters_and_states_are_those_of_torch(layer: dict[str, Any]) -> None:
    batch, *shape = TORCH["input"]
    op, x = bind(layer["op"], **layer["attributes"]), TensorType(tuple(shape))
    decls = op.params(x)
    assert [[name, list(decl.shape)] for name, decl in decls.items()] == layer["params"]
    params = {name: rule_array(name, decl.shape) for name, decl in decls.items()}
    states = op.reference(params, rule_input((batch, *shape)))
    expected = np.reshape(layer["output"], (batch, *op.infer(x).shape))
    np.testing.assert_allclose(states, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_two_bias_vectors_say_no_more_than_their_sum(kind: str) -> None:
    """Torch's GRU is the exception, whose reset gate weighs the state's alone."""
    setting = {"linear_before_reset": False} if kind == "gru" else {}
    both, one = (bind(kind, hidden=4, biases=n, **setting) for n in (2, 1))
    params = {n: rule_array(n, d.shape) for n, d in both.params(TensorType((6, 3))).items()}
    merged = {n: params[n] for n in one.params(TensorType((6, 3)))}
    merged["bias_ih_l0"] = params["bias_ih_l0"] + params["bias_hh_l0"]
    x = rule_input((2, 6, 3))
    np.testing.assert_allclose(both.reference(params, x), one.reference(merged, x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_state_is_a_slice(kind: str) -> None:
    spec = {"archforge": 1, "input": [6, 3], "graph": [{kind: 4}, {"slice": -1}, "flatten", {"linear": 2}]}
    assert [str(t) for t in archforge.load(spec).graph.types.values()] == ["6x3", "6x4", "1x4", "4", "2"]


def test_states_depend_on_what_came_before_and_on_nothing_later() -> None:
    x = rule_input((1, 6, 3))
    changed = x.copy()
    changed[:, 3] += 1
    for kind in KINDS:
        op = bind(kind, hidden=4)
        params = {n: rule_array(n, d.shape) for n, d in op.params(TensorType((6, 3))).items()}
        before, after = op.reference(params, x), op.reference(params, changed)
        np.testing.assert_array_equal(before[:, :3], after[:, :3])
        assert (np.abs(before - after)[:, 3:].max(axis=2) > 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
def test_in_both_directions_the_second_layer_sees_the_steps_from_the_last(kind: str) -> None:
    both, one = bind(kind, hidden=4, bidirectional=True), bind(kind, hidden=4)
    params = {n: rule_array(n, d.shape) for n, d in both.params(TensorType((6, 3))).items()}
    assert [*params] == [n + end for end in ("", "_reverse") for n in one.params(TensorType((6, 3)))]
    x = rule_input((2, 6, 3))
    back = {n.removesuffix("_reverse"): a for n, a in params.items() if n.endswith("_reverse")}
    expected = [one.reference(params, x), one.reference(back, x[:, ::-1])[:, ::-1]]
    np.testing.assert_array_equal(both.reference(params, x), np.concatenate(expected, axis=2))
