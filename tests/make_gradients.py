"""torch's gradients, for `tests/data`: of every op's examples at ties and kinks, and of whole networks.

Run it where torch is installed, which `make gradients` does.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from archforge.interchange.torch.network import torch_network
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Gradients
from archforge.ops.base import Array
from tests.gradients import (
    CASES,
    EDGE_GRADIENTS,
    NETWORK_GRADIENTS,
    Case,
    backward,
    edge_inputs,
    loss_gradients,
    network_figures,
    projections,
)
from tests.graphs import one_op
from tests.op_examples import EXAMPLES, OpExample
from tests.zoo import unpacked, write_packed

__all__ = ["torch_gradients", "torch_network_gradients"]


def torch_gradients(example: OpExample) -> Gradients:
    """The gradients that torch's autograd gives on `edge_inputs`. Raises `Unsupported`, for dropouts too."""
    if example.op.is_identity and example.op.differs_in_training:
        raise Unsupported("torch draws other numbers")
    if example.op.attributes().get("cosine"):
        raise Unsupported("the direction of a key of zeros, whose gradient is rounding over the least length")
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
    found = (torch.zeros_like(x) if x.grad is None else x.grad for x in inputs)  # None: nothing of it is read
    return Gradients(tuple(d.numpy() for d in found), {name: a.grad.numpy() for name, a in arrays.items()})


def torch_network_gradients(case: Case) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """The outputs, gradients and new buffers of a network on torch's autograd, float64, by our names."""
    torch: Any = import_module("torch")
    typed, params, inputs = case.arrays()
    state = {name: torch.from_numpy(a.copy()) for name, a in params.items()}
    trained = [name for name, decl in typed.params().items() if decl.role != "buffer"]
    running = {n for n, d in typed.params().items() if d.role == "buffer" and d.init.computed is None}
    for name in trained:
        state[name].requires_grad_()
    found = torch_network(typed, state, training=True)(*map(torch.from_numpy, inputs.values()))
    outputs = dict(zip(typed.outputs.values(), found, strict=True))
    gradients = loss_gradients({name: y.detach().numpy() for name, y in outputs.items()})
    torch.autograd.backward([*outputs.values()], [torch.from_numpy(gradients[name]) for name in outputs])
    return (
        {name: y.detach().numpy() for name, y in outputs.items()},
        {name: state[name].grad.numpy() for name in trained if state[name].grad is not None},
        {name: state[name].numpy() for name in sorted(running)},
    )


def main() -> None:
    """Write both files anew."""
    made_by = f"torch {import_module('torch').__version__}"
    edges = {}
    for example in EXAMPLES:
        try:
            edges[str(example)] = projections(torch_gradients(example))
        except Unsupported as reason:
            print(f"{example}: {reason}")
    lines = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in edges.items()]
    text = ",\n".join([f'  "made by": {json.dumps(made_by)}', *lines])
    EDGE_GRADIENTS.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    networks: dict[str, Any] = {}
    for case in CASES:
        networks[str(case)] = network_figures(*torch_network_gradients(case))
        print(f"{case}: {len(networks[str(case)]['gradients'])} gradients")
    if (unpacked(NETWORK_GRADIENTS) or {}).get("networks") != networks:
        write_packed(NETWORK_GRADIENTS, {"made by": made_by, "networks": networks})


if __name__ == "__main__":
    main()
