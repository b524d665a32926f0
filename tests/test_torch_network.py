"""The same graph in torch, op by op, where torch is installed."""

from __future__ import annotations

import numpy as np
import pytest

from archforge.interchange.torch_network import Unsupported, torch_network
from tests.graphs import one_op
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
