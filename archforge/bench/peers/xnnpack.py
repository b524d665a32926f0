"""XNNPACK, by way of ExecuTorch: a program that is made of what torch exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archforge.bench.worker import Call, LoadedTask

__all__ = ["DISTRIBUTION", "LIBRARIES", "loaded", "prepared"]

DISTRIBUTION = "executorch"
LIBRARIES = ("torch", "executorch.extension.pybindings.portable_lib")


def prepared(task: LoadedTask) -> None:
    """Write model.pte."""
    torch = task.library("torch")
    lowered = task.library("executorch.exir").to_edge_transform_and_lower
    partitioner = task.library(
        "executorch.backends.xnnpack.partition.xnnpack_partitioner"
    ).XnnpackPartitioner()
    network = task.network()
    inputs = task.tensors()
    program = lowered(torch.export.export(network, inputs), partitioner=[partitioner]).to_executorch()
    (task.folder / "model.pte").write_bytes(program.buffer)


def loaded(task: LoadedTask) -> Call:
    task.library("torch")
    runtime = task.library("executorch.extension.pybindings.portable_lib")
    runtime._unsafe_reset_threadpool(task.threads)
    program = runtime._load_for_executorch(str(task.folder / "model.pte"))
    inputs = task.tensors()
    return lambda: program.forward(inputs)
