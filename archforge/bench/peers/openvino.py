"""openvino, tuned for latency, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archforge.bench.worker import Call, LoadedTask

__all__ = ["DISTRIBUTION", "LIBRARIES", "loaded"]

DISTRIBUTION = "openvino"
LIBRARIES = ("openvino",)


def loaded(task: LoadedTask) -> Call:
    openvino = task.library("openvino")
    hints = {
        "INFERENCE_NUM_THREADS": task.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    made = openvino.Core().compile_model(str(task.folder / "model.onnx"), "CPU", hints)
    request = made.create_infer_request()
    inputs = dict(enumerate(task.inputs.values()))
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True).to_tuple()
