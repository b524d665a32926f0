"""One contestant of ../inference.py in a process of its own, commanded by lines on its input.

    python inference.py KIND MODEL FOLDER THREADS

KIND: archforge, torch, onnxruntime or openvino. FOLDER holds weights.npz and input.npy; the output is
left there as KIND.npy, and torch's network as model.onnx for those that read it. Answers `ready VERSION
SECONDS`, then for each line with a number of calls their seconds; ends with its input. The peers' Python
needs no archforge.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]


def archforge(model: str, folder: Path, threads: int, x: Any) -> tuple[Call, str]:
    """The first output alone: libraries leave auxiliary heads out at inference."""
    os.environ["ARCHFORGE_THREADS"] = str(threads)
    package = importlib.import_module("archforge")
    passes, plans = (importlib.import_module(f"archforge.{name}") for name in ("passes", "plan"))
    ir, backends = (importlib.import_module(f"archforge.{name}") for name in ("ir", "backends"))
    graph = package.load(*model.split(":")).graph.graph
    name, value = next(iter(graph.outputs.items()))
    optimised = passes.optimise(ir.infer(dataclasses.replace(graph, outputs={name: value})))
    plan = plans.plan(optimised.graph, backends.get("numba"), "float32")
    with np.load(folder / "weights.npz") as arrays:
        run = plans.load(plan, dict(arrays), optimised.transforms)
    return lambda: run(x), package.__version__


def network(model: str, folder: Path) -> Any:
    """The library's network on the given weights."""
    torch = importlib.import_module("torch")
    with suppress(ImportError):
        importlib.import_module("torchvision_cpu")  # what a CPU-only torch lacks for torchvision
    library, name = model.split(".")
    if library == "torchvision":
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        made = importlib.import_module("torchvision").models.get_model(name, weights=None, **extra)
    else:
        made = importlib.import_module("timm").create_model(name, pretrained=False)
    with np.load(folder / "weights.npz") as arrays:
        state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    missing = made.load_state_dict(state, strict=False)
    lacking = [key for key in missing.missing_keys if not key.endswith("num_batches_tracked")]
    if lacking or missing.unexpected_keys:
        raise SystemExit(f"{model} has other weights: {lacking[:1]} {missing.unexpected_keys[:1]}")
    return made.eval()


def torch(model: str, folder: Path, threads: int, x: Any) -> tuple[Call, str]:
    package = importlib.import_module("torch")
    package.set_num_threads(threads)
    made, given = network(model, folder), package.from_numpy(x)
    package.onnx.export(
        made, (given,), str(folder / "model.onnx"), input_names=["input"], dynamo=False, opset_version=17
    )

    def call() -> Any:
        with package.inference_mode():
            return made(given).numpy()

    return call, package.__version__


def onnxruntime(model: str, folder: Path, threads: int, x: Any) -> tuple[Call, str]:
    package = importlib.import_module("onnxruntime")
    options = package.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would otherwise go on spinning while another contestant is measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = package.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"input": x})[0], package.__version__


def openvino(model: str, folder: Path, threads: int, x: Any) -> tuple[Call, str]:
    package = importlib.import_module("openvino")
    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    made = package.Core().compile_model(str(folder / "model.onnx"), "CPU", hints)
    request = made.create_infer_request()

    def call() -> Any:
        (y,) = request.infer({0: x}, share_inputs=True, share_outputs=True).values()
        return y

    return call, package.__version__


def main() -> None:
    kind, model, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    x = np.load(folder / "input.npy")
    start = time.perf_counter()
    call, version = globals()[kind](model, folder, threads, x)
    np.save(folder / f"{kind}.npy", np.array(call()))
    print("ready", version, f"{time.perf_counter() - start:.3f}", flush=True)
    for line in sys.stdin:
        elapsed = []
        for _ in range(int(line)):
            start = time.perf_counter()
            call()
            elapsed.append(time.perf_counter() - start)
        print(*elapsed, flush=True)


if __name__ == "__main__":
    main()
