"""Gradients of ops: each example against a directional derivative and, at ties and kinks, against torch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from archforge.ir import Gradients
from archforge.ops import all_ops
from archforge.ops.base import Op
from tests.gradients import EDGE_GRADIENTS, backward, edge_inputs, projections, train
from tests.make_gradients import torch_gradients
from tests.op_examples import EXAMPLES, OpExample

STORED = json.loads(EDGE_GRADIENTS.read_text(encoding="utf-8"))
STORED_EXAMPLES = [e for e in EXAMPLES if str(e) in STORED]
OPS = sorted({*all_ops().values()}, key=lambda cls: cls.op)


@pytest.mark.parametrize("cls", OPS, ids=lambda cls: cls.op)
def test_every_op_has_a_gradient(cls: type[Op]) -> None:
    assert cls.gradient is not Op.gradient


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_gradient_is_the_directional_derivative(example: OpExample) -> None:
    back, found = backward(example)
    trained = [n for n, d in example.op.params(*example.types).items() if d.role != "buffer"]
    assert {*found.params} == {*trained}
    rng = np.random.default_rng(3)
    moves = tuple(rng.standard_normal(x.shape) for x in back.inputs)
    param_moves = {name: rng.standard_normal(back.params[name].shape) for name in trained}

    def loss(step: float) -> float:
        params = {n: p + step * param_moves[n] if n in param_moves else p for n, p in back.params.items()}
        inputs = tuple(x + step * move for x, move in zip(back.inputs, moves, strict=True))
        return float((train(example, params, inputs).output * back.dy).sum())

    # A central difference of fourth order, whose steps stay on one side of the kinks of these inputs.
    h = 1e-5
    slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    products = [
        *(d * move for d, move in zip(found.inputs, moves, strict=True)),
        *(d * param_moves[name] for name, d in found.params.items()),
    ]
    size = sum(float(np.abs(p).sum()) for p in products)
    assert abs(sum(float(p.sum()) for p in products) - slope) <= 1e-7 * size


@pytest.mark.parametrize("example", STORED_EXAMPLES, ids=str)
def test_at_ties_and_kinks_a_gradient_is_that_of_torch(example: OpExample) -> None:
    _, found = backward(example, inputs=edge_inputs(example))
    assert_close(projections(found), STORED[str(example)])


def test_every_op_has_gradients_of_torch_but_for_dropouts() -> None:
    found = {example.op.kind for example in STORED_EXAMPLES}
    dropouts = {cls.op for cls in OPS if cls.is_identity and cls.train is not Op.train}
    assert found == {cls.op for cls in OPS} - dropouts
    assert STORED.keys() - {"made by"} == {str(example) for example in STORED_EXAMPLES}


@pytest.mark.parametrize("example", STORED_EXAMPLES, ids=str)
def test_the_stored_gradients_are_those_that_torch_gives(example: OpExample) -> None:
    pytest.importorskip("torch")
    assert_close(projections(torch_gradients(example)), STORED[str(example)])


def assert_close(found: dict[str, list[float]], wanted: dict[str, list[float]]) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-7, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_gradients_have_the_shapes_and_the_dtype_of_their_arrays(example: OpExample, dtype: str) -> None:
    back, found = backward(example, dtype)
    assert [d.shape for d in found.inputs] == [x.shape for x in back.inputs]
    assert all(d.shape == back.params[name].shape for name, d in found.params.items())
    assert {d.dtype for d in (*found.inputs, *found.params.values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_float32_gradients_are_close_to_float64(example: OpExample) -> None:
    (_, exact), (_, found) = backward(example), backward(example, "float32")
    wanted = [*exact.inputs, *exact.params.values()]
    for d, w in zip([*found.inputs, *found.params.values()], wanted, strict=True):
        np.testing.assert_allclose(d, w, rtol=1e-4, atol=1e-5 * max(1, np.abs(w).max()))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_gradient_reads_what_it_says_and_changes_nothing(example: OpExample) -> None:
    back, found = backward(example)
    unread = {"inputs", "output"} - example.op.gradient_reads
    again = back._replace(
        inputs=tuple(np.full_like(x, np.nan) for x in back.inputs) if "inputs" in unread else back.inputs,
        output=np.full_like(back.output, np.nan) if "output" in unread else back.output,
    )
    for x in (*again.inputs, again.output, again.dy, *again.params.values()):
        x.flags.writeable = False
    assert_equal(example.op.gradient(again), found)


@pytest.mark.parametrize("cls", OPS, ids=lambda cls: cls.op)
def test_what_a_gradient_says_it_reads_it_needs(cls: type[Op]) -> None:
    needed = set()
    for example in (e for e in EXAMPLES if e.op.kind == cls.op):
        back, found = backward(example)
        others = tuple(1 - x for x in back.inputs)
        for read, change in (("inputs", {"inputs": others}), ("output", {"output": 2 - 3 * back.output})):
            other = example.op.gradient(back._replace(**change))
            if not all(map(np.array_equal, _arrays(other), _arrays(found))):
                needed.add(read)
    assert needed == cls.gradient_reads


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_gradients_that_are_not_wanted_change_no_others(example: OpExample) -> None:
    _, both = backward(example)
    _, inputs = backward(example, of_params=False)
    _, params = backward(example, of_inputs=False)
    assert_equal(Gradients(inputs.inputs, params.params), both)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_gradients_of_large_inputs_are_finite(example: OpExample, dtype: str) -> None:
    inputs = tuple(1e3 * x for x in example.inputs(dtype))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        _, found = backward(example, dtype, inputs=inputs)
    assert all(np.isfinite(d).all() for d in _arrays(found))


@pytest.mark.parametrize("elements", [1, 100])
@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.op.kind == "conv"], ids=str)
def test_a_convolution_in_parts_is_the_whole(
    example: OpExample, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, gradients = backward(example)
    monkeypatch.setattr("archforge.ops.window.PART", elements)
    parts, found = backward(example)
    for ours, theirs in zip(
        [parts.output, *_arrays(found)], [whole.output, *_arrays(gradients)], strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def _arrays(gradients: Gradients) -> list[np.ndarray]:
    return [*gradients.inputs, *(gradients.params[name] for name in sorted(gradients.params))]


def assert_equal(found: Gradients, wanted: Gradients) -> None:
    for d, w in zip(_arrays(found), _arrays(wanted), strict=True):
        np.testing.assert_array_equal(d, w)
