"""MNN, in float32: a network that its converter makes of model.onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archforge.bench.worker import Call, LoadedTask

__all__ = ["DISTRIBUTION", "LIBRARIES", "loaded", "prepared"]

DISTRIBUTION = "MNN"
LIBRARIES = ("MNN",)


def prepared(task: LoadedTask) -> None:
    """Write model.mnn."""
    import subprocess
    import sys
    from pathlib import Path

    task.library("MNN")
    command = Path(sys.executable).with_name("mnnconvert")
    source, target = task.folder / "model.onnx", task.folder / "model.mnn"
    files = ["--modelFile", str(source), "--MNNModel", str(target)]
    done = subprocess.run(
        [str(command), "-f", "ONNX", *files, "--bizCode", "bench"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not target.exists():
        raise SystemExit(f"its converter failed: {' '.join((done.stderr or done.stdout).split()[-20:])}")


def loaded(task: LoadedTask) -> Call:
    import numpy as np

    mnn = task.library("MNN")
    net = mnn.Interpreter(str(task.folder / "model.mnn"))
    session = net.createSession({"numThread": task.threads, "backend": "CPU", "precision": "high"})
    (x,) = task.inputs.values()
    source, target = net.getSessionInput(session), net.getSessionOutput(session)
    if tuple(source.getShape()) != x.shape:
        net.resizeTensor(source, x.shape)
        net.resizeSession(session)
    shape = target.getShape()
    plain = mnn.Halide_Type_Float, mnn.Tensor_DimensionType_Caffe
    given = mnn.Tensor(x.shape, plain[0], x, plain[1])
    taken = mnn.Tensor(shape, plain[0], np.zeros(shape, "float32"), plain[1])

    def call() -> Any:
        source.copyFrom(given)
        net.runSession(session)
        target.copyToHostTensor(taken)
        return np.array(taken.getNumpyData()).reshape(shape)

    return call
