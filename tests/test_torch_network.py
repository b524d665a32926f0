"""Graphs translated to torch, op by op, where torch is installed."""

from __future__ import annotations

import numpy as np
import pytest

from archforge.interchange.torch.network import torch_network
from archforge.interchange.unsupported import Unsupported
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, evaluate, graph, inputs_of, node, one_op
from tests.op_examples import EXAMPLES, OpExample

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_in_torch_equals_its_reference(example: OpExample) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    arrays = {f"node.{name}" if name else "node": a for name, a in example.params("float64").items()}
    try:
        made = torch_network(typed, {name: torch.from_numpy(a) for name, a in arrays.items()})
    except Unsupported as reason:
        pytest.skip(str(reason))
    with torch.inference_mode():
        (y,) = made(*map(torch.from_numpy, example.inputs("float64")))
    np.testing.assert_allclose(y.numpy(), example.reference("float64"), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_in_torch_gives_its_outputs_in_order(name: str) -> None:
    typed = GRAPHS[name]
    params, inputs = rule_weights(typed.params()), inputs_of(typed)
    made = torch_network(typed, {name: torch.from_numpy(a) for name, a in params.items()})
    with torch.inference_mode():
        found = made(*map(torch.from_numpy, inputs.values()))
    expected = evaluate(typed, params, inputs)
    for y, value in zip(found, typed.outputs.values(), strict=True):
        np.testing.assert_allclose(y.numpy(), expected[value], rtol=1e-10, atol=1e-10)


def test_all_that_torch_lacks_is_said_at_once() -> None:
    typed = graph(
        node("larger", "resize", "input", size=9, mode="linear", corners="asymmetric"),
        node("again", "resize", "larger", size=9, mode="linear", corners="asymmetric"),
        node("pool", "avg_pool", "input", kernel=3, padding=((0, 1), (0, 1))),
        node("flat", "flatten", "pool"),
        outputs={"one": "again", "two": "flat"},
    )
    with pytest.raises(Unsupported) as caught:
        torch_network(typed, {})
    assert str(caught.value) == (
        "torch has no function for `resize` with `corners: asymmetric`; "
        "`avg_pool` that pads one side more than the other"
    )
