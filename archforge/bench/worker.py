"""One contestant in a process of its own, commanded by lines on its input. Run as a file:

    python -P worker.py KIND FOLDER THREADS NAME OPTIONS

KIND: a module of peers/, a backend of archforge, `export`, which makes the files that all peers load, and
ends, or `prepare-PEER`, which makes those of one peer. FOLDER holds task.json, weights.safetensors and
inputs.npz. OPTIONS: JSON, the options that a backend of archforge is compiled with.

The process answers with one line of JSON when it has computed once and left its outputs as NAME.npz, then
with one for each line with a number of calls; it ends with its input. It imports nothing of archforge by
itself, so that a Python of the peers' own can run it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

__all__: list[str] = []

START = time.perf_counter()

Arrays = Mapping[str, Any]
Call = Callable[[], Any]
# What a kind does: imports its library and says its version; then, given the task, loads the network.
Loader = Callable[["LoadedTask"], Call]


class LoadedTask:
    """A task as it is read from its folder: the network, and the arrays of its inputs."""

    def __init__(self, folder: Path, threads: int, options: Mapping[str, Any]) -> None:
        import numpy as np

        self.folder = folder
        self.threads = threads
        self.options = options
        self.what: dict[str, Any] = json.loads((folder / "task.json").read_text("utf-8"))
        with np.load(folder / "inputs.npz") as arrays:
            self.inputs = {name: arrays[name] for name in arrays.files}

    def library(self, name: str) -> Any:
        """A module that a peer needs."""
        return library(name)

    def network(self) -> Any:
        """The network as a module of torch, with its weights."""
        state = library("torch").load(self.folder / "state.pt", mmap=True, weights_only=True)
        return network(self, state)

    def tensors(self) -> tuple[Any, ...]:
        """The inputs as torch has them."""
        return tuple(map(library("torch").from_numpy, self.inputs.values()))


def archforge(backend: str) -> tuple[str, Loader]:
    """A backend of archforge, which loads the network from a spec and a weights file."""
    from archforge import __version__, backends, driver

    backends.get(backend).lowerings("float32")

    def load(task: LoadedTask) -> Call:
        weights = task.folder / "weights.safetensors"
        run = driver.compile(analysed(task), backend=backend, weights=weights, **task.options)
        return lambda: run.run(task.inputs).outputs

    return __version__, load


def analysed(task: LoadedTask) -> Any:
    """The network of the task's spec, with its profile, arguments and input sizes."""
    from archforge import driver
    from archforge.spec.resolve.sources import setting

    what = task.what
    settings = {name: setting(name, text) for name, text in what["settings"].items()}
    return driver.analyse(
        driver.open_spec(what["spec"]), what["profile"], settings=settings, input_shape=what["input"]
    )


def library(name: str) -> Any:
    """A peer's module. Ends the process with a way out where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        if error.name != top:
            raise
        raise SystemExit(f"{top} is not installed (pip install 'archforge-zoo[bench]')") from None
    except RuntimeError as error:
        # torchvision finds no operators of its own when it was built for another torch, one for GPUs perhaps.
        if "torchvision::" not in str(error):
            raise
        raise SystemExit(
            "torchvision and torch are of different builds: install both from one index"
        ) from None


def export(task: LoadedTask) -> None:
    """Write model.onnx for the peers that read it, and state.pt for torch."""
    package = library("torch")
    read = library("safetensors.torch").load_file
    state = read(task.folder / "weights.safetensors")
    package.save(state, task.folder / "state.pt")
    package.onnx.export(
        network(task, state),
        tuple(package.from_numpy(x) for x in task.inputs.values()),
        str(task.folder / "model.onnx"),
        input_names=list(task.inputs),
        dynamo=False,
        opset_version=17,
    )


def network(task: LoadedTask, state: Arrays) -> Any:
    """The library's network, `LIBRARY.NAME`, or the spec's if the task names none, with the given weights."""
    if task.what["model"] is None:
        from archforge.interchange.torch.network import torch_network
        from archforge.interchange.unsupported import Unsupported

        try:
            return torch_network(analysed(task).graph, state)
        except Unsupported as reason:
            raise SystemExit(str(reason)) from None
    maker, name = task.what["model"].split(".")
    if maker == "torchvision":
        models = library("torchvision").models
        made = models.get_model(name, weights=None, **task.what["model_options"])
    else:
        made = library("timm").create_model(name, **task.what["model_options"])
    # Taken over, not copied.
    keys = made.load_state_dict(state, strict=False, assign=True)
    lacking = [key for key in keys.missing_keys if not key.endswith("num_batches_tracked")]
    if lacking or keys.unexpected_keys:
        raise SystemExit(f"{name} has other weights: {lacking[:1]} {keys.unexpected_keys[:1]}")
    return made.eval()


def peer(kind: str) -> ModuleType | None:
    """The module of peers/ of that name, loaded as a file; None if there is none."""
    file = Path(__file__).with_name("peers") / f"{kind}.py"
    specification = importlib.util.spec_from_file_location(f"peer_{kind}", file)
    if not file.exists() or specification is None or specification.loader is None:
        return None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def opened(kind: str) -> tuple[str, Loader]:
    """The version of a contestant's library, which is imported by now, and what loads the network."""
    module = peer(kind)
    if module is None:
        return archforge(kind)
    for name in module.LIBRARIES:
        library(name)
    return importlib.metadata.version(module.DISTRIBUTION), module.loaded


def saved(outputs: Any) -> list[Any]:
    """The arrays that a network returned, in order."""
    import numpy as np

    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    several = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [np.asarray(y) for y in several]


def peak_kib() -> int:
    """The most memory that was resident in this process so far."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    resource = importlib.import_module("resource")
    unit = 1024 if sys.platform == "darwin" else 1  # bytes there
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // unit


def answer(**facts: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(facts), flush=True)


def answer_times(call: Callable[[], object], calls: int) -> None:
    """Time so many calls, and print the seconds of each with the most memory so far."""
    elapsed = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        elapsed.append(time.perf_counter() - start)
    answer(elapsed_s=elapsed, peak_kib=peak_kib())


def main() -> None:
    kind, folder, threads, name, options = sys.argv[1:]
    os.environ["ARCHFORGE_THREADS"] = threads
    os.environ.setdefault("OPENBLAS_NUM_THREADS", threads)  # NumPy reads it when it is imported
    if kind == "export":
        export(LoadedTask(Path(folder), int(threads), {}))
        return
    if kind.startswith("prepare-"):
        if prepared := getattr(peer(kind.removeprefix("prepare-")), "prepared", None):
            prepared(LoadedTask(Path(folder), int(threads), {}))
        return
    version, load = opened(kind)
    import numpy as np

    imported, imports_kib = time.perf_counter(), peak_kib()
    task = LoadedTask(Path(folder), int(threads), json.loads(options))
    begin = time.perf_counter()
    call = load(task)
    loaded = time.perf_counter()
    outputs = call()
    first = time.perf_counter()
    np.savez(task.folder / f"{name}.npz", *saved(outputs))
    answer(
        version=version,
        imports_s=imported - START,
        load_s=loaded - begin,
        first_call_s=first - loaded,
        imports_kib=imports_kib,
    )
    for line in sys.stdin:
        answer_times(call, int(line))


if __name__ == "__main__":
    main()
