"""torch, eagerly."""

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
    network = task.network()
    inputs = task.tensors()

    def call() -> Any:
        with torch.inference_mode():
            return network(*inputs)

    return call
