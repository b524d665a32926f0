"""torch's gradients of every op's examples on whole numbers, for `tests/data/edge_gradients.json`.

Run it where torch is installed: `python -m tests.make_edge_gradients`.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from archforge.interchange.torch.network import torch_network
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Gradients
from tests.gradients import backward, edge_inputs, projections
from tests.graphs import one_op
from tests.op_examples import EXAMPLES, OpExample

__all__ = ["EDGE_GRADIENTS", "torch_gradients"]

EDGE_GRADIENTS = Path(__file__).parent / "data" / "edge_gradients.json"


def torch_gradients(example: OpExample) -> Gradients:
    """The gradients that torch's autograd gives on `edge_inputs`. Raises `Unsupported`, for dropouts too."""
    if example.op.is_identity and example.op.differs_in_training:
        raise Unsupported("torch draws other numbers")
    torch: Any = import_module("torch")
    back, _ = backward(example, inputs=edge_inputs(example))
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    state = {
        f"node.{name}" if name else "node": torch.from_numpy(a.copy()) for name, a in back.params.items()
    }
    trained = {n: d for n, d in example.op.params(*example.types).items() if d.role != "buffer"}
    arrays = {name: state[f"node.{name}" if name else "node"].requires_grad_() for name in trained}
    inputs = [torch.from_numpy(x).requires_grad_() for x in back.inputs]
    (y,) = torch_network(typed, state, training=True)(*inputs)
    y.backward(torch.from_numpy(back.dy))
    return Gradients(
        tuple(x.grad.numpy() for x in inputs), {name: a.grad.numpy() for name, a in arrays.items()}
    )


def main() -> None:
    """Write the file anew."""
    found = {}
    for example in EXAMPLES:
        try:
            found[str(example)] = projections(torch_gradients(example))
        except Unsupported as reason:
            print(f"{example}: {reason}")
    made_by = f"torch {import_module('torch').__version__}"
    lines = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in found.items()]
    text = ",\n".join([f'  "made by": {json.dumps(made_by)}', *lines])
    EDGE_GRADIENTS.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
