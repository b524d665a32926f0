"""onnxruntime, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archforge.bench.worker import Call, LoadedTask

__all__ = ["DISTRIBUTION", "LIBRARIES", "loaded"]

DISTRIBUTION = "onnxruntime"
LIBRARIES = ("onnxruntime",)


def loaded(task: LoadedTask) -> Call:
    onnxruntime = task.library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    # Its threads would otherwise go on spinning while another contestant is measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    file = str(task.folder / "model.onnx")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, task.inputs)
