"""model.py computes what the graph says, needs only NumPy, and reads as people write."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from archforge.export.module import module_of
from archforge.ir import TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array, Example
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, evaluate, inputs_of, one_op
from tests.small import each_network, small_network

# float64; the sums run in another order than the reference's.
TOLERANCE = 1e-12

EXAMPLES = [
    pytest.param(kind, example, id=f"{kind}-{i}")
    for kind, cls in all_ops().items()
    if kind == cls.op
    for i, example in enumerate(cls.examples)
]


def module(source: str) -> ModuleType:
    """The module of that text, which may import NumPy and Python's own packages only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            assert {n.split(".")[0] for n in names} <= {"numpy", "json", "math", "sys"}
    made = ModuleType("model")
    exec(compile(source, "model.py", "exec"), made.__dict__)  # noqa: S102
    return made


def outputs_of(made: ModuleType, typed: TypedGraph, params: Mapping[str, Array]) -> dict[str, Array]:
    given = made.forward(params, *inputs_of(typed).values())
    return given if len(typed.graph.outputs) > 1 else dict.fromkeys(typed.graph.outputs, given)


def assert_equal_to_reference(typed: TypedGraph) -> None:
    params = rule_weights(typed.params())
    expected = evaluate(typed, params, inputs_of(typed))
    found = outputs_of(module(module_of(typed, "Test.")), typed, params)
    assert list(found) == list(typed.graph.outputs)
    for name, value in typed.graph.outputs.items():
        want = expected[value]
        assert found[name].shape == want.shape
        scale = want.std() or 1.0
        assert np.abs(found[name] - want).max() <= TOLERANCE * scale, name


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_each_layer_is_its_ops_reference(kind: str, example: Example) -> None:
    assert_equal_to_reference(one_op(all_ops()[kind](**example.attributes), example.inputs))


@pytest.mark.parametrize("name", GRAPHS)
def test_small_graphs_are_their_reference(name: str) -> None:
    assert_equal_to_reference(GRAPHS[name])


@each_network
def test_networks_are_their_reference(name: str, profile: str) -> None:
    assert_equal_to_reference(small_network(name, profile))
