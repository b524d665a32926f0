"""ncnn, in float32, which has no batches: a network that pnnx makes of what torch traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archforge.bench.worker import Call, LoadedTask

__all__ = ["DISTRIBUTION", "LIBRARIES", "loaded", "prepared"]

DISTRIBUTION = "ncnn"
LIBRARIES = ("ncnn",)


def prepared(task: LoadedTask) -> None:
    """Write model.ncnn.param and model.ncnn.bin."""
    _alone(task)
    torch, pnnx = task.library("torch"), task.library("pnnx")
    network = task.network()
    inputs = task.tensors()
    with torch.no_grad():
        pnnx.export(network, str(task.folder / "model.pt"), inputs, fp16=False)


def loaded(task: LoadedTask) -> Call:
    import numpy as np

    ncnn = task.library("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = task.threads
    net.opt.openmp_blocktime = 0  # milliseconds that its threads spin for, while others are measured
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(task.folder / "model.ncnn.param"))
    net.load_model(str(task.folder / "model.ncnn.bin"))
    (sample,) = (x[0] for x in task.inputs.values())
    (source,), (target,) = net.input_names(), net.output_names()

    def call() -> Any:
        with net.create_extractor() as extractor:
            extractor.input(source, ncnn.Mat(sample))
            return np.array(extractor.extract(target)[1])[None]

    return call


def _alone(task: LoadedTask) -> None:
    if len(task.inputs) > 1 or any(len(x) > 1 for x in task.inputs.values()):
        raise SystemExit("ncnn has no batches, and is given one input here")
