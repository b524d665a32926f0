"""torch, traced and frozen, with the fusions of oneDNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archforge.bench.worker import Call, LoadedTask

__all__ = ["DISTRIBUTION", "LIBRARIES", "loaded"]

DISTRIBUTION = "torch"
LIBRARIES = ("torch",)


def loaded(task: LoadedTask) -> Call:
    torch = task.library("torch")
    torch.set_num_threads(task.threads)
    torch.jit.enable_onednn_fusion(True)
    network = task.network()
    inputs = task.tensors()
    with torch.no_grad():
        frozen = torch.jit.freeze(torch.jit.trace(network, inputs))
        frozen(*inputs)  # the fusions are made in the first two calls

    def call() -> Any:
        with torch.no_grad():
            return frozen(*inputs)

    return call
