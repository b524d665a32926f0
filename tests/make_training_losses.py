"""torch's losses in the runs of `training_losses`, for `tests/data/training_losses.json`.

Run it where torch is installed, which `make gradients` does.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from archforge.interchange.torch.network import torch_network
from tests.training_losses import TRAINING_CASES, TRAINING_LOSSES, TrainingCase

__all__ = ["torch_losses"]


def torch_losses(case: TrainingCase) -> list[float]:
    """The loss of each batch before its update, by torch's own autograd and optimizer."""
    torch: Any = import_module("torch")
    typed = case.network.graph
    state = {name: torch.from_numpy(array.copy()) for name, array in case.weights.items()}
    trained = [state[n].requires_grad_() for n, decl in typed.params().items() if decl.role != "buffer"]
    network = torch_network(typed, state, training=True)
    optimizer = torch.optim.SGD(trained, lr=case.lr, momentum=case.momentum)
    x, y = map(torch.from_numpy, case.samples)
    x = x.to(getattr(torch, case.dtype))
    last = typed.nodes[-1].op.kind
    found = []
    for start in range(0, len(x), case.batch):
        part = slice(start, start + case.batch)
        (output,) = network(x[part])
        f = torch.nn.functional
        loss = (f.nll_loss if last == "log_softmax" else f.cross_entropy)(output, y[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def main() -> None:
    """Write the file anew."""
    made_by = f"torch {import_module('torch').__version__}"
    found: dict[str, Any] = {"made by": made_by} | {str(c): torch_losses(c) for c in TRAINING_CASES}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in found.items())
    TRAINING_LOSSES.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
